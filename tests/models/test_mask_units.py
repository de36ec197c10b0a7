"""The memory order: pooled groups are spatial neighbours, and every reorder can be undone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hiera_video import HieraConfig
from hiera_video.errors import ConfigError
from hiera_video.models.attention import pool_tokens
from hiera_video.models.mask_units import TokenGrid, UnitMask, take_units
from tests.models.small import IMAGE, VIDEO

CASES: dict[str, dict[str, Any]] = {
    "image": {**IMAGE, "image_size": [64, 96]},
    "pre-training pools twice": {**IMAGE, "image_size": [64, 96], "num_query_pool": 2},
    "clip": {**VIDEO, "image_size": [6, 64, 96]},
    "units that span time": {
        **VIDEO,
        "image_size": [8, 64, 96],
        "query_stride": [2, 2, 2],
        "masked_unit_size": [4, 8, 8],
        "num_query_pool": 2,
    },
    "units larger than all poolings": {
        **IMAGE,
        "image_size": [128, 64],
        "masked_unit_size": [16, 16],
    },
}


def make_grid(name: str) -> TokenGrid:
    config = HieraConfig(**CASES[name])
    return TokenGrid.of_input(config, tuple(config.image_size))


def coordinates(grid: TokenGrid) -> torch.Tensor:
    """Each token's place as its features, ``(1, *size, axes)``."""
    axes = torch.meshgrid(*(torch.arange(n) for n in grid.size), indexing="ij")
    return torch.stack(axes, -1).unsqueeze(0)


@pytest.mark.parametrize("name", CASES)
def test_reroll_undoes_unroll(name: str) -> None:
    grid = make_grid(name)
    x = coordinates(grid)
    units = grid.unroll(x)
    assert units.shape == (1, grid.num_units, grid.tokens_per_unit, len(grid.size))
    assert torch.equal(grid.reroll(units), x)
    by_unit = grid.reroll_units(units)
    assert by_unit.shape == (1, grid.num_units, *grid.unit_size, len(grid.size))
    first = tuple(slice(n) for n in grid.unit_size)
    assert torch.equal(by_unit[0, 0], x[0][first])


@pytest.mark.parametrize("name", CASES)
def test_units_are_boxes_in_raster_order(name: str) -> None:
    grid = make_grid(name)
    units = grid.unroll(coordinates(grid))[0]
    starts = units.amin(1)
    assert torch.equal(units.amax(1) - starts + 1, torch.tensor(grid.unit_size).expand_as(starts))
    assert starts.tolist() == sorted(starts.tolist())


@pytest.mark.parametrize("name", CASES)
def test_pooled_groups_are_spatial_neighbours_at_every_level(name: str) -> None:
    grid = make_grid(name)
    stride = torch.tensor(grid.query_stride)
    x = coordinates(grid)
    units = grid.unroll(x)
    num_poolings = HieraConfig(**CASES[name]).num_query_pool
    for count in range(1, num_poolings + 1):
        groups = units.unflatten(2, (-1, int(stride.prod())))
        spread = groups.amax(3) - groups.amin(3)
        assert torch.equal(spread, (stride**count - stride ** (count - 1)).expand_as(spread))
        units = pool_tokens(units, int(stride.prod()), dim=2)
        pooled = grid.pooled(count)
        raster = coordinates(pooled) * stride**count + stride**count - 1
        assert torch.equal(pooled.reroll(units), raster)


@pytest.mark.parametrize("name", CASES)
def test_reference_order_is_a_permutation(name: str) -> None:
    grid = make_grid(name)
    order = grid.reference_order(grid.num_units)
    assert torch.equal(order.sort().values, torch.arange(grid.num_units * grid.tokens_per_unit))
    if name == "image":  # the reference: stride 2x2, three times, units fastest
        x = coordinates(grid)
        theirs = x.view(1, 2, 2, 2, 2, 3, 2, 2, 2, 2).permute(0, 4, 8, 3, 7, 2, 6, 1, 5, 9)
        assert torch.equal(grid.unroll(x).flatten(1, 2)[:, order], theirs.reshape(1, -1, 2))


def test_sizes_that_units_do_not_divide() -> None:
    config = HieraConfig(**IMAGE)
    with pytest.raises(ConfigError, match=r"100 on axis W \(nearest: 96 or 128\)"):
        TokenGrid.of_input(config, (64, 100))


def test_mask_keeps_the_smallest_noise() -> None:
    noise = torch.tensor([[0.3, 0.1, 0.9, 0.5], [0.0, 0.7, 0.2, 0.1]])
    mask = UnitMask.from_noise(noise, 0.5)
    assert mask.keep_mask.tolist() == [[True, True, False, False], [True, False, False, True]]
    assert mask.visible.tolist() == [[0, 1], [0, 3]]
    assert mask.hidden.tolist() == [[2, 3], [1, 2]]
    assert mask.ids_restore.tolist() == [[1, 0, 3, 2], [0, 3, 2, 1]]
    x = torch.randn(2, 4, 3)
    restored = mask.restore(take_units(x, mask.visible), take_units(x, mask.hidden))
    assert torch.equal(restored, x)


def test_mask_that_hides_everything_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"mask_ratio=0\.9 hides all of an input's 4 mask units"):
        UnitMask.from_noise(torch.rand(1, 4), 0.9)
    # In floating point, a tenth of ten is less than one: the bound itself hides all, too.
    with pytest.raises(
        ConfigError, match=r"mask_ratio=0\.9 .* 10 mask units: wanted less than 0\.9"
    ):
        UnitMask.from_noise(torch.rand(1, 10), 0.9)
