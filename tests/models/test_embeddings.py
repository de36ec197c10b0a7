"""Patch embedding of visible units alone: the same tokens for a share of the work."""

from __future__ import annotations

import pytest
import torch
from einops import rearrange
from torch.utils.flop_counter import FlopCounterMode

from hiera_video import HieraConfig, HieraForPreTraining
from hiera_video.models.embeddings import (
    PatchEmbedding,
    sine_cosine_table,
    zero_hidden_units,
)
from hiera_video.models.mask_units import TokenGrid, UnitMask, take_units
from tests.models.small import DECODER, VIDEO

CONFIGS = {
    "image": HieraConfig(image_size=[96, 64], embed_dim=8, num_heads=[1, 1, 1, 1]),
    "clip": HieraConfig(
        image_size=[4, 64, 96],
        embed_dim=8,
        num_heads=[1, 1, 1, 1],
        patch_size=[3, 7, 7],
        patch_stride=[2, 4, 4],
        patch_padding=[1, 3, 3],
        query_stride=[1, 2, 2],
        masked_unit_size=[1, 8, 8],
    ),
}


@pytest.fixture(params=CONFIGS)
def config(request: pytest.FixtureRequest) -> HieraConfig:
    return CONFIGS[request.param]


def draw(config: HieraConfig) -> tuple[PatchEmbedding, torch.Tensor, TokenGrid, UnitMask]:
    torch.manual_seed(0)
    pixel_values = torch.randn(3, 3, *config.image_size)
    grid = TokenGrid.of_input(config, tuple(config.image_size))
    mask = UnitMask.from_noise(torch.rand(3, grid.num_units), 0.5)
    return PatchEmbedding(config), pixel_values, grid, mask


def test_visible_tokens_are_those_of_the_whole_input_with_hidden_pixels_zeroed(
    config: HieraConfig,
) -> None:
    embedding, pixel_values, grid, mask = draw(config)
    tokens = embedding.projection(zero_hidden_units(pixel_values, grid, mask))
    everything = grid.unroll(rearrange(tokens, "b d ... -> b ... d"))
    expected = take_units(everything, mask.visible)
    torch.testing.assert_close(embedding(pixel_values, grid, mask), expected)


def test_hidden_pixels_do_not_reach_visible_tokens(config: HieraConfig) -> None:
    embedding, pixel_values, grid, mask = draw(config)
    visible = zero_hidden_units(torch.ones_like(pixel_values), grid, mask)
    changed = torch.where(visible == 0, torch.full_like(pixel_values, 9.0), pixel_values)
    assert embedding(changed, grid, mask).equal(embedding(pixel_values, grid, mask))


def test_hidden_units_are_never_embedded(config: HieraConfig) -> None:
    embedding, pixel_values, grid, mask = draw(config)
    flops = []
    for given in (None, mask):
        with FlopCounterMode(display=False) as counter:
            embedding(pixel_values, grid, given)
        flops.append(counter.get_total_flops())
    assert flops[1] == flops[0] * mask.visible.shape[1] / grid.num_units


def test_sine_cosine_positions_are_told_apart_and_neighbours_alike() -> None:
    """Every position has a row of its own, and nearer ones are more alike along each axis."""
    table = sine_cosine_table((4, 1, 16), 24)
    assert table.shape == (4, 1, 16, 24)
    assert table.abs().max() <= 0.5
    rows = table.flatten(0, 2)
    distances = torch.cdist(rows, rows).fill_diagonal_(1)
    assert distances.min() > 0.1
    from_first = (table[:, 0, 0] - table[0, 0, 0]).norm(dim=-1)
    assert from_first.equal(from_first.sort().values)
    assert not table[..., 12:].diff(dim=0).any()  # the last axis's share says nothing of the first


def test_position_tables_start_as_the_config_says() -> None:
    config = HieraConfig(**{**VIDEO, **DECODER, "position_initializer": "sine_cosine"})
    torch.manual_seed(0)
    model = HieraForPreTraining(config)
    tables = {n: p for n, p in model.named_parameters() if "position_embedding" in n}
    assert len(tables) == 3  # space, time, decoder
    for table in tables.values():
        assert table.equal(sine_cosine_table(table.shape[:-1], table.shape[-1]))
    assert model.decoder.mask_token.std() < 0.05
