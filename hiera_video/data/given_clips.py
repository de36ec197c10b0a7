"""Views of clips and images that code has: those that an evaluation takes of their files.

Axes: B views, T frames, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hiera_video.config.clip_groups import ClipSettings, EvaluateSettings
from hiera_video.data.clips import VideoPart, clip_duration
from hiera_video.data.given_pictures import ChannelOrder, frame_bytes
from hiera_video.data.sampling import evaluation_clips
from hiera_video.data.transforms import EvaluationViews
from hiera_video.data.video_segment import places_in, view_shape
from hiera_video.errors import ConfigError


def each_video(given: Any) -> Iterator[Any]:
    """The videos in ``given``: paths; arrays and tensors of frames, with four axes; lists of
    frames. Lists may hold lists, and arrays more than one.

    Raises:
        ConfigError: for anything else.
    """
    if isinstance(given, str | Path):
        yield given
    elif isinstance(given, list | tuple):
        if given and all(_is_frame(one) for one in given):
            yield given
            return
        for one in given:
            yield from each_video(one)
    elif isinstance(given, np.ndarray | Tensor) and given.ndim in (4, 5):
        yield from [given] if given.ndim == 4 else given
    elif isinstance(given, np.ndarray | Tensor):
        raise ConfigError(f"wanted frames (T, H, W, C) or (T, C, H, W), got {tuple(given.shape)}")
    else:
        raise ConfigError(
            f"wanted paths, arrays, tensors or lists of frames, got {type(given).__name__}"
        )


def _is_frame(one: Any) -> bool:
    is_array = isinstance(one, np.ndarray | Tensor)
    return isinstance(one, Image.Image) or (is_array and one.ndim in (2, 3))


def frames_of(video: Any, num_channels: int, order: ChannelOrder = None) -> Tensor:
    """The frames ``(T, C, H, W)`` of a video that is an array, a tensor, or a list of frames.

    Raises:
        ConfigError: for frames of several sizes, values that are no bytes, and other channels than
            a model takes.
    """
    if not isinstance(video, list | tuple):
        return frame_bytes(video, num_channels, order)
    frames = [frame_bytes(frame, num_channels, order) for frame in video]
    sizes = {tuple(frame.shape[-2:]) for frame in frames}
    if len(sizes) > 1:
        raise ConfigError(f"frames of one video have several sizes (H, W): {sorted(sizes)}")
    return torch.stack(frames)


def views_of(
    frames: Tensor, clip: ClipSettings, evaluate: EvaluateSettings, *, do_sample_frames: bool
) -> Tensor:
    """The views ``(B, C, T, crop_size, crop_size)`` of frames, uint8; crops of a clip follow each
    other.

    Args:
        frames: uint8 ``(T, C, H, W)``.
        do_sample_frames: whether the frames are a whole video, of which clips are taken. Otherwise
            they are the clip.

    Raises:
        ConfigError: if they are no clip as the model takes it, or none can be taken from them.
    """
    num_frames = len(frames)
    plans: Sequence[Sequence[int]] = [range(num_frames)]
    if do_sample_frames:
        plans = _sampled(num_frames, clip, evaluate.num_clips)
    elif num_frames != clip.num_frames:
        raise ConfigError(
            f"{num_frames} frames, and the model takes {clip.num_frames}; do_sample_frames=True "
            "takes clips from a longer video"
        )
    elif evaluate.num_clips > 1:
        raise ConfigError(
            f"num_clips={evaluate.num_clips}: frames are one clip, unless do_sample_frames=True"
        )
    view = EvaluationViews(clip, evaluate.num_crops)
    views = torch.empty((len(plans) * view.num_crops, *view_shape(clip)), dtype=torch.uint8)
    chosen = ((frames[index].cpu(), places) for index, places in places_in(plans).items())
    return view.of_clips(chosen, views)


def _sampled(num_frames: int, clip: ClipSettings, num_clips: int) -> list[list[int]]:
    if num_frames == 0:
        raise ConfigError("a video has no frames")
    if clip.frames_per_second:
        raise ConfigError(
            f"clip.frames_per_second={clip.frames_per_second:g}: the rate of frames that are not "
            "in a file is not known; give the frames of a clip"
        )
    part = VideoPart(0, num_frames, Fraction(1))
    if clip.short_video == "refuse" and num_frames < clip_duration(clip, Fraction(1)):
        raise ConfigError(f"{num_frames} frames are shorter than a clip, and short_video=refuse")
    return evaluation_clips(part, clip, num_clips)
