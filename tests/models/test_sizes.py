"""Inputs of any size that mask units divide."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hiera_video import (
    HieraBackbone,
    HieraConfig,
    HieraForImageClassification,
    HieraForPreTraining,
    HieraForVideoClassification,
    HieraModel,
)
from hiera_video.errors import ConfigError
from hiera_video.models.embeddings import PositionEmbedding, resize_table
from hiera_video.models.mask_units import TokenGrid
from tests.models.small import DECODER, IMAGE, VIDEO, clips, images
from tests.parity.compare import randomize

SIZES: list[tuple[dict[str, Any], tuple[int, ...]]] = [
    (IMAGE, (32, 64)),
    (IMAGE, (96, 160)),
    (VIDEO, (2, 64, 64)),
    (VIDEO, (6, 96, 64)),
    ({**VIDEO, "separate_position_embeddings": False}, (8, 32, 96)),
    ({**VIDEO, "global_position_size": [1, 3, 3]}, (6, 32, 96)),
    ({**IMAGE, "global_position_size": [7, 5]}, (96, 32)),
]


def random_input(size: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("base", "size"), SIZES)
def test_all_models_at_other_sizes(base: dict[str, Any], size: tuple[int, ...]) -> None:
    config = HieraConfig(**{**base, **DECODER})
    tokens = tuple(n // s for n, s in zip(size, config.patch_stride, strict=True))
    pixel_values = random_input(size)

    model = HieraModel(config)
    output = model(pixel_values, output_hidden_states=True, interpolate_pos_encoding=True)
    assert output.reshaped_hidden_states[0].shape == (2, *tokens, 24)

    backbone = HieraBackbone(config)
    backbone.hiera.load_state_dict(model.state_dict(), strict=False)
    (feature_map,) = backbone(pixel_values, interpolate_pos_encoding=True).feature_maps
    normed = backbone.norms["stage4"](output.reshaped_hidden_states[-1]).movedim(-1, 1)
    assert torch.allclose(feature_map, normed, atol=1e-5)

    pretraining = HieraForPreTraining(config)
    output = pretraining(pixel_values, interpolate_pos_encoding=True)
    patches = [n // p for n, p in zip(size, (2, 16, 16)[-len(size) :], strict=True)]
    assert output.logits.shape == (2, torch.tensor(patches).prod(), 3 * 16 * 16)
    output.loss.backward()
    for name, parameter in pretraining.named_parameters():
        assert parameter.grad is not None, name

    cls = HieraForVideoClassification if config.is_video else HieraForImageClassification
    assert cls(config)(pixel_values, interpolate_pos_encoding=True).logits.shape == (2, 2)


@pytest.mark.parametrize("size", [(8, 224, 320), (64, 224, 224), (32, 448, 448)])
def test_published_sizes(size: tuple[int, ...]) -> None:
    """Shapes only, on the meta device."""
    with torch.device("meta"):
        config = HieraConfig(**{**VIDEO, "image_size": [16, 224, 224]})
        model = HieraForVideoClassification(config)
        output = model(
            torch.empty(1, 3, *size), interpolate_pos_encoding=True, output_hidden_states=True
        )
    assert output.reshaped_hidden_states[-1].shape[1:4] == (
        size[0] // 2,
        size[1] // 32,
        size[2] // 32,
    )


def test_same_size_is_left_alone() -> None:
    model = HieraForVideoClassification(HieraConfig(**VIDEO)).eval()
    randomize(model)
    resized = model(clips(), interpolate_pos_encoding=True).logits
    assert torch.equal(resized, model(clips()).logits)
    table = torch.randn(2, 4, 4, 8)
    assert resize_table(table, (2, 4, 4)) is table


def test_resized_model_equals_one_with_a_resized_table() -> None:
    model = HieraForImageClassification(HieraConfig(**IMAGE)).eval()
    randomize(model)
    large = HieraForImageClassification(HieraConfig(**{**IMAGE, "image_size": [96, 160]})).eval()
    state = dict(model.state_dict())
    name = "hiera.position_embedding.joint"
    state[name] = resize_table(state[name], (24, 40))
    large.load_state_dict(state)
    pixel_values = images(96, 160)
    wanted = large(pixel_values).logits
    assert torch.allclose(model(pixel_values, interpolate_pos_encoding=True).logits, wanted)


def test_tables_that_are_linear_stay_so() -> None:
    """Linear over time, bicubic over space: a plane stays a plane, away from the borders."""
    rows = torch.arange(8.0).view(1, 8, 1, 1).expand(4, 8, 8, 1)
    times = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 8, 8, 1)
    resized = resize_table(rows + 10 * times, (8, 16, 24))
    assert resized.shape == (8, 16, 24, 1)
    inner = resized[2:-2, 5:-5, 8:-8, 0]
    assert torch.allclose(inner.diff(dim=0), torch.tensor(5.0), atol=1e-4)
    assert torch.allclose(inner.diff(dim=1), torch.tensor(0.5), atol=1e-1)
    assert torch.allclose(inner.diff(dim=2), torch.tensor(0.0), atol=1e-4)


def test_window_part_repeats_with_the_units_at_every_size() -> None:
    config = HieraConfig(**{**VIDEO, "global_position_size": [1, 4, 4]})
    positions = PositionEmbedding(config)
    torch.nn.init.normal_(positions.window)
    for size in ((4, 64, 64), (8, 96, 32)):
        grid = TokenGrid.of_input(config, size)
        units = positions(grid)
        assert units.shape == (1, grid.num_units, 64, 24)
        assert torch.allclose(units, units[:, :1].expand_as(units))
    torch.nn.init.normal_(positions.spatial)
    assert not torch.allclose(positions(grid)[:, 0], positions(grid)[:, 1])


def test_size_that_units_do_not_divide() -> None:
    model = HieraModel(HieraConfig(**IMAGE))
    with pytest.raises(ConfigError, match=r"72 on axis H \(nearest: 64 or 96\)"):
        model(torch.zeros(1, 3, 72, 64), interpolate_pos_encoding=True)
    with pytest.raises(ConfigError, match="other sizes: interpolate_pos_encoding=True"):
        model(torch.zeros(1, 3, 96, 64))


def test_time_before_channels_is_told() -> None:
    """The order of ``transformers``."""
    model = HieraModel(HieraConfig(**VIDEO))
    message = r"wanted \(B, 3, 4, 64, 64\); yours looks like .* use \.transpose\(1, 2\)"
    with pytest.raises(ConfigError, match=message):
        model(torch.zeros(1, 4, 3, 64, 64))
    with pytest.raises(ConfigError, match="other sizes: interpolate_pos_encoding=True"):
        model(torch.zeros(1, 3, 2, 64, 64))
