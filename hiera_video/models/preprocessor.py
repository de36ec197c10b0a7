"""How pixels become a model's input: kept beside the weights, so that these need no recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hiera_video.config import ClipSettings, ImageSettings
from hiera_video.errors import CheckpointError, ConfigError
from hiera_video.files import atomic_path
from hiera_video.models.checkpoints import PREPROCESSOR_FILE
from hiera_video.models.config import HieraConfig
from hiera_video.models.layouts import preprocessor_path


def save_preprocessor(directory: Path, clip: ClipSettings) -> None:
    """Write ``preprocessor.json``: clip sampling, view size and normalisation."""
    with atomic_path(directory / PREPROCESSOR_FILE) as path:
        path.write_text(json.dumps(clip.model_dump(), indent=2) + "\n", encoding="utf-8")


def load_preprocessor(
    source: Path, config: HieraConfig, overrides: Mapping[str, Any] | None = None
) -> ClipSettings:
    """Read the ``preprocessor.json`` in ``source``, or beside it if it is a file of weights.

    Weights that were published without one get what the official repository does, in views of the
    model's own size. Clips: stride 4, mean 0.45 and deviation 0.225. Images: ImageNet's mean and
    deviation, and the middle of a picture whose short side is 8/7 of the view.

    Args:
        overrides: fields of :class:`ClipSettings` to change, as the user gave them.

    Raises:
        CheckpointError: if it cannot be understood, or contradicts the model.
        ConfigError: if ``overrides`` do.
    """
    clip = _read(preprocessor_path(source), config)
    if not overrides:
        return clip
    try:
        clip = type(clip)(**{**clip.model_dump(), **overrides})
    except ConfigError as error:
        faults = [f"clip.{key}: {text}" if key else f"clip: {text}" for key, text in error.faults]
        raise ConfigError("; ".join(faults)) from None
    if misfit := _misfit(clip, config):
        raise ConfigError(f"clip: {misfit}")
    return clip


def _read(path: Path, config: HieraConfig) -> ClipSettings:
    num_frames, height, width = _view(config)
    if height != width:
        raise CheckpointError(
            f"{path.parent}: views are square, and the model takes {height}x{width}"
        )
    if not path.exists() and not config.is_video:
        return ImageSettings(crop_size=height, short_side=round(height * 8 / 7))
    if not path.exists():
        return ClipSettings(num_frames=num_frames, crop_size=height)
    try:
        clip = ClipSettings(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, ConfigError) as error:
        raise CheckpointError(f"{path}: cannot be understood ({error})") from None
    if misfit := _misfit(clip, config):
        raise CheckpointError(f"{path}: {misfit}")
    return clip


def _view(config: HieraConfig) -> list[int]:
    """Frames, height and width that the model takes."""
    return config.image_size if config.is_video else [1, *config.image_size]


def _misfit(clip: ClipSettings, config: HieraConfig) -> str | None:
    """Why the model cannot take such clips, if it cannot."""
    if [clip.num_frames, clip.crop_size, clip.crop_size] != _view(config):
        return (
            f"clips of {clip.num_frames} frames at {clip.crop_size} pixels do not fit "
            f"the model's image_size={config.image_size}"
        )
    if len(clip.mean) != config.num_channels:
        return f"mean={list(clip.mean)} does not fit the model's num_channels={config.num_channels}"
    return None
