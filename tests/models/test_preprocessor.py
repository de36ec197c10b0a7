"""What is kept about pixels beside the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hiera_video import HieraConfig
from hiera_video.config import ClipSettings
from hiera_video.errors import CheckpointError, ConfigError
from hiera_video.models.preprocessor import load_preprocessor, save_preprocessor
from hiera_video.models.variants import variant_config

VIDEO = variant_config("hiera_base_16x224")


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    clip = ClipSettings(stride=3, frames_per_second=30, short_side=256, mean=(0.1, 0.2, 0.3))
    save_preprocessor(tmp_path, clip)
    assert load_preprocessor(tmp_path, VIDEO) == clip


def test_it_is_found_beside_a_file_of_weights(tmp_path: Path) -> None:
    clip = ClipSettings(stride=3)
    save_preprocessor(tmp_path, clip)
    for name in ("model.safetensors", "hiera_base_16x224.pth"):
        (tmp_path / name).touch()
        assert load_preprocessor(tmp_path / name, VIDEO) == clip


def test_published_weights_get_the_published_sampling(tmp_path: Path) -> None:
    clip = load_preprocessor(tmp_path, VIDEO)
    assert (clip.num_frames, clip.stride, clip.crop_size) == (16, 4, 224)
    assert (clip.mean, clip.std) == ((0.45,) * 3, (0.225,) * 3)


def test_what_contradicts_the_model_is_refused(tmp_path: Path) -> None:
    save_preprocessor(tmp_path, ClipSettings(num_frames=8))
    with pytest.raises(CheckpointError, match=r"clips of 8 frames at 224 pixels do not fit"):
        load_preprocessor(tmp_path, VIDEO)


@pytest.mark.parametrize("text", ["{", "[1]", '{"num_frame": 16}', '{"stride": "x"}'])
def test_what_cannot_be_understood_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "preprocessor.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"preprocessor\.json: cannot be understood"):
        load_preprocessor(tmp_path, VIDEO)


def test_settings_of_clips_can_be_given(tmp_path: Path) -> None:
    save_preprocessor(tmp_path, ClipSettings(stride=3, frames_per_second=25))
    given = {"frames_per_second": None, "short_side": 256, "sampling": "videomae"}
    clip = load_preprocessor(tmp_path, VIDEO, given)
    assert clip == ClipSettings(stride=3, short_side=256, sampling="videomae")
    (tmp_path / "preprocessor.json").unlink()
    published = load_preprocessor(tmp_path, VIDEO, {"frames_per_second": 30})
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
    tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_preprocessor(tmp_path, VIDEO, given)


def test_models_of_images(tmp_path: Path) -> None:
    """Published ones are evaluated in the middle 224 pixels of 256, with ImageNet's colours."""
    published = load_preprocessor(tmp_path, HieraConfig())
    assert (published.num_frames, published.crop_size, published.short_side) == (1, 224, 256)
    assert (published.mean, published.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert published.interpolation == "bicubic"
    own = ClipSettings(num_frames=1, stride=1, short_side=240, mean=(0.1, 0.2, 0.3))
    save_preprocessor(tmp_path, own)
    assert load_preprocessor(tmp_path, HieraConfig()) == own
    with pytest.raises(CheckpointError, match="clips of 1 frames at 224 pixels do not fit"):
        load_preprocessor(tmp_path, VIDEO)


def test_views_that_are_not_square_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="views are square, and the model takes 224x192"):
        load_preprocessor(tmp_path, VIDEO.model_copy(update={"image_size": [16, 224, 192]}))
