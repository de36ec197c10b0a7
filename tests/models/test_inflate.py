"""Video models that start from image checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hiera_video import (
    HieraConfig,
    HieraForImageClassification,
    HieraForPreTraining,
    create_model,
)
from hiera_video.errors import CheckpointError, ConfigError
from hiera_video.models.registry import inflate_from_images
from tests.models.small import DECODER, IMAGE, VIDEO, clips, images
from tests.parity.compare import randomize


def still_clip(pixel_values: torch.Tensor, num_frames: int) -> torch.Tensor:
    return pixel_values.unsqueeze(2).repeat(1, 1, num_frames, 1, 1)


def save_images(folder: Path, **changes: object) -> Any:
    config = HieraConfig.from_dict({**IMAGE, "num_labels": 5}, **changes)
    model = HieraForImageClassification(config).eval()
    randomize(model)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("window_aware", [False, True])
@pytest.mark.parametrize("separate", [False, True])
def test_still_clip_gives_what_the_image_gives(
    separate: bool, window_aware: bool, tmp_path: Path
) -> None:
    size = {"global_position_size": [5, 6]} if window_aware else {}
    of_images = save_images(tmp_path, **size)
    of_clips = inflate_from_images(tmp_path, 6, separate_position_embeddings=separate)
    assert of_clips.config.image_size == [6, 64, 64]
    expected = of_images(images()).logits
    found = of_clips(still_clip(images(), 6)).logits
    assert torch.allclose(found, expected, atol=1e-4 * expected.abs().max().item())


def test_encoder_and_head_are_kept_and_time_is_new(tmp_path: Path) -> None:
    of_images = save_images(tmp_path)
    of_clips: Any = inflate_from_images(tmp_path, 4)
    for name, weight in of_images.hiera.encoder.state_dict().items():
        assert torch.equal(of_clips.hiera.encoder.state_dict()[name], weight)
    assert torch.equal(of_clips.classifier.weight, of_images.classifier.weight)
    assert of_clips.hiera.position_embedding.temporal.shape == (2, 1, 1, 24)
    of_clips.train()(clips(), labels=torch.tensor([0, 1])).loss.backward()
    assert of_clips.hiera.position_embedding.temporal.grad.abs().max() > 0
    kernel = of_clips.hiera.patch_embedding.projection.weight.grad
    assert all(kernel[:, :, frame].abs().max() > 0 for frame in range(3))


def test_average_inflation(tmp_path: Path) -> None:
    of_images = save_images(tmp_path)
    of_clips = inflate_from_images(tmp_path, 4, inflation="average")
    assert of_clips.inflated
    kernel = of_clips.hiera.patch_embedding.projection.weight
    wanted = of_images.hiera.patch_embedding.projection.weight
    assert torch.allclose(kernel.sum(2), wanted, atol=1e-6)
    assert torch.equal(kernel[:, :, 0], kernel[:, :, 2])
    with pytest.raises(ConfigError, match="inflation='mean': wanted center or average"):
        inflate_from_images(tmp_path, 4, inflation="mean")  # type: ignore[arg-type]


def test_other_size_and_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_images(tmp_path)
    of_clips = inflate_from_images(tmp_path, num_labels=3, image_size=[8, 96, 64])
    assert of_clips(clips(8, 96, 64)).logits.shape == (2, 3)
    assert "classifier is newly initialized (3 labels instead of 5)" in caplog.text


def test_from_pretraining(tmp_path: Path) -> None:
    HieraForPreTraining(HieraConfig(**{**IMAGE, **DECODER})).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="give num_labels"):
        inflate_from_images(tmp_path, 4)
    of_clips = inflate_from_images(tmp_path, 4, num_labels=3)
    assert of_clips.config.num_query_pool == 3
    assert of_clips(clips()).logits.shape == (2, 3)


def test_clips_are_refused(tmp_path: Path) -> None:
    HieraForPreTraining(HieraConfig(**{**VIDEO, **DECODER})).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="takes clips already"):
        inflate_from_images(tmp_path)


def test_named_models_of_clips_start_from_images(tmp_path: Path) -> None:
    of_images = save_images(tmp_path)
    fields = {name: IMAGE[name] for name in ("embed_dim", "depths", "num_heads")}
    of_clips: Any = create_model(
        "hiera_base_16x224", pretrained=tmp_path, image_size=[4, 64, 64], **fields
    )
    assert of_clips.inflated
    expected = of_images(images()).logits
    found = of_clips(still_clip(images(), 4)).logits
    assert torch.allclose(found, expected, atol=1e-4 * expected.abs().max().item())


def test_pretraining_on_clips_starts_from_the_encoder_of_images(tmp_path: Path) -> None:
    of_images: Any = HieraForPreTraining(HieraConfig(**{**IMAGE, **DECODER}))
    of_images.save_pretrained(tmp_path)
    fields = {name: IMAGE[name] for name in ("embed_dim", "depths", "num_heads")}
    of_clips: Any = create_model(
        "mae_hiera_base_16x224", pretrained=tmp_path, image_size=[4, 64, 64], **fields, **DECODER
    )
    for name, weight in of_images.hiera.encoder.state_dict().items():
        assert torch.equal(of_clips.hiera.encoder.state_dict()[name], weight)
    assert of_clips(clips()).loss.isfinite()
