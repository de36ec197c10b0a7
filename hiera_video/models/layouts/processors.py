"""The two files by which ``transformers`` knows how pixels become a model's input.

They follow from the clip settings in ``preprocessor.json``, which stays the one that this package
reads; the classes that they name are in :mod:`hiera_video.integrations.transformers`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hiera_video.config.clip_groups import ClipSettings, ImageSettings
from hiera_video.errors import ConfigError
from hiera_video.models.config import HieraConfig

#: Ours.
PREPROCESSOR_FILE = "preprocessor.json"
#: Of images, or of single frames; of clips.
IMAGE_PROCESSOR_FILE = "preprocessor_config.json"
VIDEO_PROCESSOR_FILE = "video_preprocessor_config.json"
#: The class that ours name in the first.
OWN_IMAGE_PROCESSOR = "HieraVideoImageProcessor"
PROCESSOR_FILES = (IMAGE_PROCESSOR_FILE, VIDEO_PROCESSOR_FILE)

#: Options whose values clip settings take for granted.
ALWAYS = {
    "do_convert_rgb": True,
    "do_resize": True,
    "do_center_crop": True,
    "do_rescale": True,
    "do_normalize": True,
    "do_pad": False,
    "data_format": "channels_first",
}

#: Numbers of interpolations in Pillow, by which ``transformers`` calls them.
RESAMPLE = {"bilinear": 2, "bicubic": 3}


def default_clip(config: HieraConfig) -> ClipSettings | None:
    """The settings of the official repository, with views of the model's own size: those of weights
    that were published without any. None where views would not be square."""
    *num_frames, height, width = config.image_size
    if height != width:
        return None
    if num_frames:
        return ClipSettings(num_frames=num_frames[0], crop_size=height)
    return ImageSettings(crop_size=height, short_side=round(height * 8 / 7))


def processor_files(config: HieraConfig, preprocessor: bytes | None) -> dict[str, dict[str, Any]]:
    """The values of the files, by name: both for a model of clips, the first for one of images.

    Args:
        preprocessor: the bytes of ``preprocessor.json``; without them, :func:`default_clip` counts.

    Returns:
        No files where the settings cannot be understood, or are for other inputs than the model's.
    """
    try:
        clip = ClipSettings(**json.loads(preprocessor)) if preprocessor else default_clip(config)
    except (ValueError, TypeError, ConfigError):
        return {}
    if clip is None or len(clip.mean) != config.num_channels:
        return {}
    return clip_files(clip, config.is_video)


def clip_files(clip: ClipSettings, is_video: bool | None = None) -> dict[str, dict[str, Any]]:
    """The same of clip settings, which are known to fit their model.

    Args:
        is_video: whether the model takes clips; default: whether they have more than one frame.
    """
    files = {IMAGE_PROCESSOR_FILE: {"image_processor_type": OWN_IMAGE_PROCESSOR}}
    if not clip.is_image if is_video is None else is_video:
        files[VIDEO_PROCESSOR_FILE] = {"video_processor_type": "HieraVideoVideoProcessor"}
    return {name: {**kind, **processor_values(clip)} for name, kind in files.items()}


def processor_values(clip: ClipSettings) -> dict[str, Any]:
    """The clip settings in the words of ``transformers``, and all of them under ``clip``."""
    return {
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": clip.short_side or clip.crop_size},
        "resample": RESAMPLE[clip.interpolation],
        "do_center_crop": True,
        "crop_size": {"height": clip.crop_size, "width": clip.crop_size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(clip.mean),
        "image_std": list(clip.std),
        "clip": clip.model_dump(mode="json"),
    }


def clip_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of clip settings that words of ``transformers`` stand for; other names stay.

    The reverse of :func:`processor_values`.

    Raises:
        ConfigError: if no clip settings stand for them: crops that are not square, for instance.
    """
    fields = {k: v for k, v in values.items() if v is not None and not _is_as_always(k, v)}
    for word, name in (("image_mean", "mean"), ("image_std", "std")):
        if word in fields:
            fields[name] = fields.pop(word)
    if "size" in fields:
        fields["short_side"] = _only_side(fields.pop("size"), "size", {"shortest_edge"})
    if isinstance(fields.get("crop_size"), Mapping | list | tuple):
        fields["crop_size"] = _only_side(fields["crop_size"], "crop_size", {"height", "width"})
    if "resample" in fields:
        fields["interpolation"] = _interpolation(fields.pop("resample"))
    return fields


def _is_as_always(word: str, value: Any) -> bool:
    """Whether an option is what clip settings always do."""
    if word == "rescale_factor":
        wanted: Any = "1/255"
        is_so = isinstance(value, int | float) and abs(value * 255 - 1) < 1e-9
    elif word in ALWAYS:
        wanted, is_so = ALWAYS[word], value == ALWAYS[word]
    else:
        return False
    if not is_so:
        raise ConfigError(f"{word}={value}: wanted {wanted}, as {PREPROCESSOR_FILE} has no other")
    return True


def _only_side(value: Any, word: str, names: set[str]) -> int:
    """The one length that a size has: a number, or an object of ``names``."""
    if isinstance(value, int):
        return value
    sides = (
        value if isinstance(value, Mapping) else dict(zip(("height", "width"), value, strict=False))
    )
    if {*sides} != names or len({*sides.values()}) != 1:
        wanted = " and ".join(sorted(names)) + (", the same" if len(names) > 1 else "")
        raise ConfigError(f"{word}={value}: wanted {wanted}, as {PREPROCESSOR_FILE} has no other")
    length: int = next(iter(sides.values()))
    return length


def _interpolation(resample: Any) -> str:
    for name, number in RESAMPLE.items():
        if resample == number:
            return name
    wanted = ", ".join(f"{number} ({name})" for name, number in RESAMPLE.items())
    raise ConfigError(f"resample={resample}: wanted {wanted}, as {PREPROCESSOR_FILE} has no other")
