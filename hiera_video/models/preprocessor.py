"""``preprocessor.json``: how pixels become a model's input. With it, weights need no recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hiera_video.config.clip_groups import ClipSettings, ImageSettings
from hiera_video.config.image_options import ImageOptions
from hiera_video.errors import CheckpointError, ConfigError, reason_of
from hiera_video.files import atomic_path, reading
from hiera_video.models.config import HieraConfig
from hiera_video.models.config_files import read_config
from hiera_video.models.layouts import (
    PREPROCESSOR_FILE,
    Checkpoint,
    find_checkpoint,
    read_checkpoint,
)
from hiera_video.models.layouts.files import WEIGHTS_FILE
from hiera_video.models.layouts.processors import (
    IMAGE_PROCESSOR_FILE,
    OWN_IMAGE_PROCESSOR,
    clip_files,
    default_clip,
)
from hiera_video.models.pretrained import PretrainedModel


def dump_preprocessor(clip: ClipSettings) -> bytes:
    """The bytes of ``preprocessor.json``: clip sampling, view size and normalisation."""
    return (json.dumps(clip.model_dump(), indent=2) + "\n").encode()


def load_preprocessor(
    model: PretrainedModel, overrides: Mapping[str, Any] | None = None
) -> ClipSettings:
    """The clip settings of a loaded model, from the ``preprocessor.json`` of its checkpoint.

    Weights that were published without that file get the settings of the official repository, with
    views of the model's own size. Clips: stride 4, mean 0.45 and deviation 0.225. Images: mean and
    deviation of ImageNet, and the centre of a picture whose short side is 8/7 of the view.

    Args:
        overrides: fields of :class:`ClipSettings` to change, as the user gave them.

    Raises:
        CheckpointError: if the file cannot be understood, or contradicts the model.
        ConfigError: if ``overrides`` are not valid, or contradict the model.
    """
    clip = _stored(model)
    if not overrides:
        return clip
    clip = changed_clip(clip, overrides)
    if misfit := _misfit(clip, model.config):
        raise ConfigError(f"clip: {misfit}")
    return clip


def changed_clip(clip: ClipSettings, overrides: Mapping[str, Any]) -> ClipSettings:
    """The settings with other values.

    Raises:
        ConfigError: if these are not valid.
    """
    try:
        return type(clip)(**{**clip.model_dump(), **overrides})
    except ConfigError as error:
        faults = [f"clip.{key}: {text}" if key else f"clip: {text}" for key, text in error.faults]
        raise ConfigError("; ".join(faults)) from None


def read_rules(source: str | Path) -> ClipSettings | ImageOptions:
    """What a checkpoint says about pixels, without its weights.

    ``preprocessor.json`` counts where it exists; else ``preprocessor_config.json``, as the image
    checkpoints of ``transformers`` have it; else the defaults of :func:`load_preprocessor`.

    Raises:
        CheckpointError: if there is no such checkpoint, or its files cannot be understood.
        ConfigError: if ``preprocessor_config.json`` has an option that cannot be.
    """
    path = find_checkpoint(source)
    folder = path if path.is_dir() else path.parent
    file = folder / PREPROCESSOR_FILE
    if file.is_file():
        with reading(file, CheckpointError):
            return _read(file.read_bytes(), str(source))
    file = folder / IMAGE_PROCESSOR_FILE
    # Beside a .pth file may be what belongs to another model.
    if file.is_file() and (path.is_dir() or path.name == WEIGHTS_FILE):
        values = read_config(file)
        if values.get("image_processor_type") != OWN_IMAGE_PROCESSOR:
            return ImageOptions.of_file(values, str(file))
    checkpoint = read_checkpoint(source)
    return _default(checkpoint.config, str(source))


def save_clip(clip: ClipSettings, folder: str | Path, *, for_transformers: bool = True) -> None:
    """Write ``preprocessor.json``, and what follows from it for ``transformers``; atomically."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = {PREPROCESSOR_FILE: dump_preprocessor(clip)}
    for name, values in clip_files(clip).items() if for_transformers else ():
        files[name] = (json.dumps(values, indent=2) + "\n").encode()
    for name, content in files.items():
        with atomic_path(folder / name) as path:
            path.write_bytes(content)


def known_clip(checkpoint: Checkpoint, source: str) -> dict[str, Any]:
    """The known settings of the clips that weights were trained on: fields of
    :class:`ClipSettings`.

    With a ``preprocessor.json`` all are known. Without it: the number of frames, the size of square
    views, and the mean and deviation of the published models.

    Args:
        source: where the checkpoint is, for messages.

    Raises:
        CheckpointError: if ``preprocessor.json`` cannot be understood, or contradicts the
            checkpoint.
    """
    config = checkpoint.config
    if checkpoint.preprocessor is not None:
        return _parse(checkpoint.preprocessor, config, source).model_dump()
    num_frames, height, width = _view(config)
    known: dict[str, Any] = {"num_frames": num_frames}
    if height == width:
        known["crop_size"] = height
    published = ClipSettings() if config.is_video else ImageSettings()
    if len(published.mean) == config.num_channels:
        known |= {"mean": published.mean, "std": published.std}
    return known


def _stored(model: PretrainedModel) -> ClipSettings:
    default = _default(model.config, model.source)
    if model.preprocessor is None:
        return default
    return _parse(model.preprocessor, model.config, model.source)


def _default(config: HieraConfig, source: str) -> ClipSettings:
    default = default_clip(config)
    if default is None:
        _, height, width = _view(config)
        raise CheckpointError(f"{source}: views are square, and the model takes {height}x{width}")
    return default


def _parse(preprocessor: bytes, config: HieraConfig, source: str) -> ClipSettings:
    clip = _read(preprocessor, source)
    if misfit := _misfit(clip, config):
        raise CheckpointError(f"{source}: {PREPROCESSOR_FILE}: {misfit}")
    return clip


def _read(preprocessor: bytes, source: str) -> ClipSettings:
    try:
        return ClipSettings(**json.loads(preprocessor))
    except (ValueError, TypeError, ConfigError) as error:
        raise CheckpointError(
            f"{source}: {PREPROCESSOR_FILE}: cannot be understood ({reason_of(error)})"
        ) from None


def _view(config: HieraConfig) -> list[int]:
    """The frames, height and width that a model takes."""
    return config.image_size if config.is_video else [1, *config.image_size]


def _misfit(clip: ClipSettings, config: HieraConfig) -> str | None:
    """The reason why a model cannot take such clips, or None if it can."""
    if [clip.num_frames, clip.crop_size, clip.crop_size] != _view(config):
        return (
            f"clips of {clip.num_frames} frames at {clip.crop_size} pixels do not fit "
            f"the model's image_size={config.image_size}"
        )
    if len(clip.mean) != config.num_channels:
        return f"mean={list(clip.mean)} does not fit the model's num_channels={config.num_channels}"
    return None
