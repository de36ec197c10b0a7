"""What is kept about pixels beside the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hiera_video import HieraConfig, HieraModel
from hiera_video.config.clip_groups import ClipSettings
from hiera_video.errors import CheckpointError, ConfigError
from hiera_video.models.preprocessor import dump_preprocessor, load_preprocessor
from hiera_video.models.variants import variant_config
from tests.models.small import VIDEO as SMALL

VIDEO = variant_config("hiera_base_16x224")


def model(config: HieraConfig = VIDEO, preprocessor: bytes | None = None) -> HieraModel:
    """One without weights, as loaded from a checkpoint with this ``preprocessor.json``."""
    with torch.device("meta"):
        model = HieraModel(config)
    model.preprocessor = preprocessor
    return model


def test_what_was_saved_comes_back() -> None:
    clip = ClipSettings(stride=3, frames_per_second=30, short_side=256, mean=(0.1, 0.2, 0.3))
    assert load_preprocessor(model(VIDEO, dump_preprocessor(clip))) == clip


def test_it_is_found_beside_a_file_of_weights(tmp_path: Path) -> None:
    clip = ClipSettings(num_frames=4, crop_size=64, stride=3)
    saved = HieraModel(HieraConfig(**SMALL))
    saved.preprocessor = dump_preprocessor(clip)
    saved.save_pretrained(tmp_path)
    for source in (tmp_path, tmp_path / "model.safetensors"):
        assert load_preprocessor(HieraModel.from_pretrained(source)) == clip


def test_published_weights_get_the_published_sampling() -> None:
    clip = load_preprocessor(model())
    assert (clip.num_frames, clip.stride, clip.crop_size) == (16, 4, 224)
    assert (clip.mean, clip.std) == ((0.45,) * 3, (0.225,) * 3)


def test_what_contradicts_the_model_is_refused() -> None:
    of_eight = dump_preprocessor(ClipSettings(num_frames=8))
    with pytest.raises(CheckpointError, match=r"clips of 8 frames at 224 pixels do not fit"):
        load_preprocessor(model(VIDEO, of_eight))


@pytest.mark.parametrize("text", [b"{", b"[1]", b'{"num_frame": 16}', b'{"stride": "x"}', b"\xff"])
def test_what_cannot_be_understood_is_refused(text: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"preprocessor\.json: cannot be understood"):
        load_preprocessor(model(VIDEO, text))


def test_settings_of_clips_can_be_given() -> None:
    stored = dump_preprocessor(ClipSettings(stride=3, frames_per_second=25))
    given = {"frames_per_second": None, "short_side": 256, "sampling": "videomae"}
    clip = load_preprocessor(model(VIDEO, stored), given)
    assert clip == ClipSettings(stride=3, short_side=256, sampling="videomae")
    published = load_preprocessor(model(), {"frames_per_second": 30})
    assert published == ClipSettings(frames_per_second=30)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_frames": 8}, "clip: clips of 8 frames at 224 pixels do not fit the model's image_s"),
        ({"crop_size": 192}, "clip: clips of 16 frames at 192 pixels do not fit"),
        ({"strid": 2}, r"clip\.strid: unknown key, did you mean stride\?"),
        ({"short_side": 8}, "clip: short_side=8 is smaller than crop_size=224"),
        ({"mean": [0.5], "std": [0.5]}, r"clip: mean=\[0\.5\] does not fit the model's num_ch"),
    ],
)
def test_settings_that_do_not_fit_the_model_are_refused(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_preprocessor(model(), given)


def test_models_of_images() -> None:
    """Published ones are evaluated in the middle 224 pixels of 256, with ImageNet's colours."""
    published = load_preprocessor(model(HieraConfig()))
    assert (published.num_frames, published.crop_size, published.short_side) == (1, 224, 256)
    assert (published.mean, published.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert published.interpolation == "bicubic"
    own = ClipSettings(num_frames=1, stride=1, short_side=240, mean=(0.1, 0.2, 0.3))
    assert load_preprocessor(model(HieraConfig(), dump_preprocessor(own))) == own
    with pytest.raises(CheckpointError, match="clips of 1 frames at 224 pixels do not fit"):
        load_preprocessor(model(VIDEO, dump_preprocessor(own)))


def test_views_that_are_not_square_are_refused() -> None:
    wide = VIDEO.model_copy(update={"image_size": [16, 224, 192]})
    with pytest.raises(CheckpointError, match="views are square, and the model takes 224x192"):
        load_preprocessor(model(wide))
