"""Attention inside windows of mask units (SAM 2), for images, clips and masked inputs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from hiera_video import (
    HieraConfig,
    HieraForImageClassification,
    HieraForPreTraining,
    HieraForVideoClassification,
    HieraModel,
)
from hiera_video.errors import ConfigError
from hiera_video.models.registry import inflate_from_images
from hiera_video.models.windows import UnitWindows
from tests.models.small import DECODER, IMAGE, VIDEO, clips, images
from tests.parity.compare import randomize

#: What the image encoders of SAM 2 have, for windows of 2x2 mask units.
WINDOWED: dict[str, Any] = {
    "window_units": 2,
    "global_attention_blocks": [2],
    "global_position_size": [3, 3],
    "global_position_antialias": False,
}


def make(**fields: Any) -> HieraModel:
    model = HieraModel(HieraConfig(**{**IMAGE, **fields})).eval()
    randomize(model)
    return model


def states(model: HieraModel, pixels: Tensor, **arguments: Any) -> tuple[Tensor, ...]:
    with torch.no_grad():
        output: Any = model(
            pixels, output_hidden_states=True, interpolate_pos_encoding=True, **arguments
        )
    return output.hidden_states


def test_tokens_attend_to_their_window_and_its_zeros() -> None:
    """By hand: 3x5 mask units in windows of 2x2, of which five are not full."""
    model = make(**WINDOWED, image_size=[96, 160])
    stage: Any = model.encoder.stages[2]
    block, grid = stage[0].attention, stage[1].attention
    assert (block.scope, grid.scope) == ("all", "window")
    x = torch.randn(1, 15, 4, 96)
    windows = UnitWindows((3, 5), 2)
    found, _ = grid(x, windows=windows)
    for row, column in ((0, 0), (1, 3), (2, 4)):
        rows = [row // 2 * 2, row // 2 * 2 + 1]
        columns = [column // 2 * 2, column // 2 * 2 + 1]
        zeros = torch.zeros(1, 4, 96)
        units = [x[:, 5 * r + c] if r < 3 and c < 5 else zeros for r in rows for c in columns]
        place = rows.index(row) * 2 + columns.index(column)
        alone, _ = grid(torch.stack(units, 1))
        assert torch.allclose(found[:, 5 * row + column], alone[:, place], atol=1e-5)


def test_windows_come_back_in_their_places() -> None:
    x = torch.randn(2, 2 * 3 * 5, 4, 8)
    windows = UnitWindows((2, 3, 5), 2)
    gathered = windows.gather(x)
    assert gathered.shape == (2 * 6, 2 * 4, 4, 8)
    assert torch.equal(windows.scatter(gathered), x)


@pytest.mark.parametrize("fields", [{"window_units": 2}, {"global_attention_blocks": [3, 4]}])
def test_one_window_and_global_blocks_are_plain_attention(fields: dict[str, Any]) -> None:
    pairs = zip(
        states(make(**{"window_units": 1, **fields}), images()),
        states(make(), images()),
        strict=True,
    )
    for mine, other in pairs:
        assert torch.equal(mine, other)


def test_a_mask_that_hides_nothing_changes_nothing() -> None:
    """The same result by a boolean mask over all visible units as by windows of units."""
    windowed = make(**WINDOWED, image_size=[128, 128], mask_ratio=0.0)
    masked = HieraModel(windowed.config, is_mae=True).eval()
    masked.load_state_dict(windowed.state_dict())
    pixels = images(128, 128)
    for mine, other in zip(states(masked, pixels), states(windowed, pixels), strict=True):
        assert torch.allclose(mine, other, atol=1e-4)


def test_visible_units_attend_inside_their_windows() -> None:
    visible = torch.tensor([[0, 6, 14, 16, 29]])  # of 2 times of 3x5 mask units
    windows = UnitWindows.of_input((2, 3, 5), 2, visible)
    assert windows is not None
    assert windows.same is not None
    # (0,0,0) (0,1,1) (0,2,4) (1,0,1) (1,2,4): the first window, and the last one.
    assert windows.same[0].int().tolist() == [
        [1, 1, 0, 1, 0],
        [1, 1, 0, 1, 0],
        [0, 0, 1, 0, 1],
        [1, 1, 0, 1, 0],
        [0, 0, 1, 0, 1],
    ]
    assert UnitWindows.of_input((2, 3, 5), 5, visible) is None


@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
def test_a_still_clip_gives_what_the_image_gives(size: tuple[int, int]) -> None:
    config = HieraConfig(**{**IMAGE, **WINDOWED, "num_labels": 5, "image_size": list(size)})
    of_images = HieraForImageClassification(config).eval()
    randomize(of_images)
    of_clips = inflate_from_images(of_images.to_checkpoint(), 6)
    pixels = images(*size)
    with torch.no_grad():
        expected = of_images(pixels, output_hidden_states=True)
        found = of_clips(pixels.unsqueeze(2).repeat(1, 1, 6, 1, 1), output_hidden_states=True)
    for still, image in zip(
        found.reshaped_hidden_states, expected.reshaped_hidden_states, strict=True
    ):
        for time in range(still.shape[1]):
            assert torch.allclose(still[:, time], image, atol=1e-5 * image.abs().max().item())


def test_attention_weights_of_windows() -> None:
    model = make(**WINDOWED, image_size=[96, 160])
    with torch.no_grad():
        weights: Any = model(images(96, 160), output_attentions=True).attentions
    shapes = [tuple(stage.shape) for stage in weights]
    assert shapes == [
        (2, 1, 15, 64, 64),
        (2, 2, 15, 16, 64),
        (2, 4, 6, 16, 16),
        (2, 8, 6, 4, 16),
    ]
    for stage in weights:
        assert torch.allclose(stage.sum(-1), torch.ones(()), atol=1e-5)


def test_gradients_with_and_without_recomputing() -> None:
    config = HieraConfig(**{**VIDEO, **WINDOWED, **DECODER, "global_position_size": [2, 3, 3]})
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(0)
        model = HieraForPreTraining(config).train()
        if recompute:
            model.gradient_checkpointing_enable()
        noise = torch.rand(2, 30, generator=torch.Generator().manual_seed(1))
        output: Any = model(clips(4, 96, 160), noise=noise, interpolate_pos_encoding=True)
        output.loss.backward()
        gradients.append([p.grad for p in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_layer_scale_and_pooled_skips() -> None:
    config = HieraConfig(**{**VIDEO, "num_labels": 3}, skip="pooling", layer_scale_init=0.1)
    model = HieraForVideoClassification(config)
    stage: Any = model.hiera.encoder.stages[1]
    block = stage[0]
    assert block.skip is None
    assert torch.equal(block.scale1.weight, torch.full((48,), 0.1))
    x = torch.randn(2, 8, 64, 24)
    torch.nn.init.zeros_(block.scale1.weight)
    torch.nn.init.zeros_(block.scale2.weight)
    groups = x.unflatten(2, (16, 4))
    assert torch.equal(block(x)[0], torch.cat([groups.amax(3), groups.mean(3)], -1))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"global_attention_blocks": [1]}, "without window_units, all are"),
        ({"window_units": 2, "global_attention_blocks": [5]}, "wanted numbers from 0 to 4"),
        ({"skip": "pooling", "embed_dim_multiplier": 3.0}, "skip=pooling doubles the width"),
    ],
)
def test_fields_that_do_not_fit(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HieraConfig(**{**IMAGE, **fields})
