"""The two files by which ``transformers`` knows how pixels become a model's input.

They follow from the clip settings in ``preprocessor.json``, which stays the one that this package
reads; the classes that they name are in :mod:`hiera_video.integrations.transformers`.
"""

from __future__ import annotations

import json
from typing import Any

from hiera_video.config.clip_groups import ClipSettings, ImageSettings
from hiera_video.errors import ConfigError
from hiera_video.models.config import HieraConfig

#: Ours.
PREPROCESSOR_FILE = "preprocessor.json"
#: Of images, or of single frames; of clips.
IMAGE_PROCESSOR_FILE = "preprocessor_config.json"
VIDEO_PROCESSOR_FILE = "video_preprocessor_config.json"
PROCESSOR_FILES = (IMAGE_PROCESSOR_FILE, VIDEO_PROCESSOR_FILE)

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
    files = {IMAGE_PROCESSOR_FILE: {"image_processor_type": "HieraVideoImageProcessor"}}
    if config.is_video:
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
