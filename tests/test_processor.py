"""``load_clips``: from a file to what a model takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hiera_video import (
    HieraConfig,
    HieraForImageClassification,
    HieraForVideoClassification,
    create_model,
    load_clips,
)
from hiera_video.config.clip_groups import EvaluateSettings
from hiera_video.errors import ConfigError, VideoError
from hiera_video.evaluation.predict import PredictionOptions, predict
from tests.models.small import IMAGE
from tests.support import TinyDataset, read_manifest


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> HieraForVideoClassification:
    return HieraForVideoClassification.from_pretrained(tiny_checkpoint)


@pytest.fixture(scope="module")
def video(tiny_dataset: TinyDataset) -> Path:
    return tiny_dataset.folder / read_manifest(tiny_dataset.val)[0][0]


@pytest.mark.parametrize("overrides", [{}, {"stride": 3}])
def test_probabilities_are_those_of_predict(
    model: HieraForVideoClassification, tiny_checkpoint: Path, video: Path, overrides: Any
) -> None:
    (prediction,) = predict(
        str(tiny_checkpoint), [video], EvaluateSettings(), PredictionOptions(overrides)
    )
    clips = load_clips(str(video), model, **overrides)
    config = model.config
    assert clips.shape == (5 * 3, 3, *config.image_size)
    with torch.inference_mode():
        probabilities = model(clips).logits.softmax(-1).mean(0).tolist()
    assert config.id2label is not None
    found = {name: probabilities[index] for index, name in config.id2label.items()}
    assert found == pytest.approx(dict(prediction.classes), abs=1e-6)


def test_clips_and_crops_can_be_chosen(model: HieraForVideoClassification, video: Path) -> None:
    crops_of_both = load_clips(video, model, num_clips=2)
    first, second = load_clips(video, model, num_clips=2, num_crops=1)
    assert crops_of_both.shape[0] == 6
    assert torch.equal(first, crops_of_both[1])  # the middle one of three
    assert torch.equal(second, crops_of_both[4])
    assert not torch.equal(first, second)


def test_a_model_of_images_takes_crops_of_one(tiny_images: TinyDataset) -> None:
    image = tiny_images.folder / read_manifest(tiny_images.val)[0][0]
    model = HieraForImageClassification(HieraConfig(**IMAGE))
    size = model.config.image_size
    assert load_clips(image, model).shape == (1, 3, *size)
    assert load_clips(image, model, num_crops=3).shape == (3, 3, *size)
    with pytest.raises(ConfigError, match="the model takes images, which have 1 clip"):
        load_clips(image, model, num_clips=2)


def test_clips_have_the_device_and_type_of_the_model(
    model: HieraForVideoClassification, video: Path
) -> None:
    half = HieraForVideoClassification(model.config).half()
    clips = load_clips(video, half, num_clips=1, num_crops=1)
    assert clips.dtype == torch.float16
    with torch.device("meta"):
        elsewhere = HieraForVideoClassification(model.config)
    assert load_clips(video, elsewhere).device.type == "meta"


def test_a_model_without_a_checkpoint_has_the_official_defaults(video: Path) -> None:
    model = create_model("hiera_base_16x224", embed_dim=8, depths=[1, 1, 1, 1])
    assert load_clips(video, model, num_clips=1, num_crops=1).shape == (1, 3, 16, 224, 224)


def test_what_cannot_be_used_is_said(
    model: HieraForVideoClassification, video: Path, tiny_images: TinyDataset
) -> None:
    image = tiny_images.folder / read_manifest(tiny_images.val)[0][0]
    with pytest.raises(VideoError, match=r"gone\.mp4: no such file or directory"):
        load_clips("gone.mp4", model)
    with pytest.raises(VideoError, match="image"):
        load_clips(image, model)
    with pytest.raises(ConfigError, match="num_clips"):
        load_clips(video, model, num_clips=0)
    with pytest.raises(ConfigError, match=r"clip\.strde"):
        load_clips(video, model, strde=2)
    with pytest.raises(ConfigError, match="decoder=decor: did you mean decord"):
        load_clips(video, model, decoder="decor")  # type: ignore[arg-type]
