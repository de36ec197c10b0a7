"""The rules that cut clips out of videos, by name (``clip.sampling``): our own rule, and those
behind published results.

A rule chooses a clip of T frames from a video of n frames. A clip spans L frames: T times its
stride, at the rate that the stride counts (``segments``: the whole video). Rules return frame
numbers that exist in the video: unless ``clip.short_video`` is set, each treats videos shorter than
a clip as its source does.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from random import Random
from typing import NamedTuple

import numpy as np
import torch

from hiera_video.config.clip_groups import ClipSettings
from hiera_video.data.clips import VideoPart, clip_duration, spread_frames


class ClipShape(NamedTuple):
    """T frames, ``stride`` apart, that span L frames of the video."""

    num_frames: int
    stride: int
    span: Fraction


class Rule(NamedTuple):
    """``training(n, shape, generator)`` returns a random clip, ``testing(n, shape, N)`` N clips
    spread over the video; ``crop_offset(free, k, N)`` is where crop k of N begins along a side that
    is ``free`` pixels longer than the crop."""

    training: Callable[[int, ClipShape, Random], list[int]]
    testing: Callable[[int, ClipShape, int], list[list[int]]]
    crop_offset: Callable[[int, int, int], int]


def clip_shape(clip: ClipSettings, frames_per_second: Fraction) -> ClipShape:
    """The shape of a clip in a video of that rate."""
    span = clip_duration(clip, frames_per_second) * frames_per_second
    return ClipShape(clip.num_frames, clip.stride, span)


def training_clip(part: VideoPart, clip: ClipSettings, seed: int) -> list[int]:
    """The frames of a random clip, a function of ``seed``."""
    shape = clip_shape(clip, part.frames_per_second)
    frames = RULES[clip.sampling].training(_length(part, clip, shape), shape, Random(seed))
    return _place(frames, part, clip)


def evaluation_clips(part: VideoPart, clip: ClipSettings, num_clips: int) -> list[list[int]]:
    """The frames of ``num_clips`` clips spread over ``part``."""
    shape = clip_shape(clip, part.frames_per_second)
    clips = RULES[clip.sampling].testing(_length(part, clip, shape), shape, num_clips)
    return [_place(frames, part, clip) for frames in clips]


def bound(frames: list[int], num_frames: int, short_video: str | None) -> list[int]:
    """Replace frame numbers past the end of a video of ``num_frames`` by ones before it."""
    if short_video == "loop":
        return [frame % num_frames for frame in frames]
    return [min(frame, num_frames - 1) for frame in frames]


def _length(part: VideoPart, clip: ClipSettings, shape: ClipShape) -> int:
    """The length that a rule is given: never shorter than a clip if ``clip.short_video`` does the
    padding."""
    return part.num_frames if clip.short_video is None else max(part.num_frames, ceil(shape.span))


def _place(frames: list[int], part: VideoPart, clip: ClipSettings) -> list[int]:
    inside = bound(frames, part.num_frames, clip.short_video)
    return [part.first_frame + frame for frame in inside]


# Our own rule: even spacing by exact fractions; a whole stride is then a whole number of frames.
def _hiera_video_clip(n: int, shape: ClipShape, start: Fraction) -> list[int]:
    return bound(spread_frames(start, shape.span, shape.num_frames), n, "repeat_last")


def _hiera_video_training(n: int, shape: ClipShape, generator: Random) -> list[int]:
    return _hiera_video_clip(n, shape, Fraction(generator.uniform(0, float(_free(n, shape)))))


def _hiera_video_testing(n: int, shape: ClipShape, num_clips: int) -> list[list[int]]:
    free = _free(n, shape)
    if num_clips == 1:
        return [_hiera_video_clip(n, shape, free / 2)]
    return [_hiera_video_clip(n, shape, free * k / num_clips) for k in range(num_clips)]


def _hiera_video_crop(free: int, k: int, num_crops: int) -> int:
    return round(free * _share(k, num_crops))


# PySlowFast (slowfast/datasets/decoder.py): the last frame of a clip is L - 1 after its first.
def _pyslowfast_clip(n: int, shape: ClipShape, start: float) -> list[int]:
    frames = torch.linspace(start, start + float(shape.span) - 1, shape.num_frames)
    return frames.clamp(0, n - 1).long().tolist()


def _pyslowfast_training(n: int, shape: ClipShape, generator: Random) -> list[int]:
    return _pyslowfast_clip(n, shape, generator.uniform(0, float(_free(n, shape))))


def _pyslowfast_testing(n: int, shape: ClipShape, num_clips: int) -> list[list[int]]:
    """With DATA.USE_OFFSET_SAMPLING."""
    free = float(_free(n, shape))
    if num_clips == 1:
        return [_pyslowfast_clip(n, shape, floor(free / 2))]
    step = floor(free / (num_clips - 1))
    return [_pyslowfast_clip(n, shape, k * step) for k in range(num_clips)]


def _pyslowfast_testing_no_offset(n: int, shape: ClipShape, num_clips: int) -> list[list[int]]:
    free = float(_free(n, shape))
    return [_pyslowfast_clip(n, shape, free * k / num_clips) for k in range(num_clips)]


def _pyslowfast_crop(free: int, k: int, num_crops: int) -> int:
    return ceil(free * _share(k, num_crops))


# VideoMAE (kinetics.py).
def _videomae_training(n: int, shape: ClipShape, generator: Random) -> list[int]:
    span = shape.num_frames * shape.stride
    if n <= span:
        frames = np.full(shape.num_frames, n)
        frames[: n // shape.stride] = np.linspace(0, n, n // shape.stride)
        return np.clip(frames, 0, n - 1).tolist()
    end = generator.randrange(span, n)
    spread = np.linspace(end - span, end, shape.num_frames)
    return np.clip(spread, end - span, end - 1).astype(int).tolist()


def _videomae_testing(n: int, shape: ClipShape, num_clips: int) -> list[list[int]]:
    kept = range(0, n, shape.stride)  # of the whole video, before clips are cut
    free = max(len(kept) - shape.num_frames, 0)
    last = len(kept) - 1
    clips = []
    for k in range(num_clips):
        start = floor(free * _share(k, num_clips))
        clips.append([kept[min(start + i, last)] for i in range(shape.num_frames)])
    return clips


def _videomae_crop(free: int, k: int, num_crops: int) -> int:
    return floor(free * _share(k, num_crops))


# mmaction2 (SampleFrames, ThreeCrop): at the end of the video, clips continue at its beginning.
def _mmaction2_clip(n: int, shape: ClipShape, start: int) -> list[int]:
    return [(start + i * shape.stride) % n for i in range(shape.num_frames)]


def _mmaction2_training(n: int, shape: ClipShape, generator: Random) -> list[int]:
    num_starts = n - shape.num_frames * shape.stride + 1
    return _mmaction2_clip(n, shape, generator.randrange(max(num_starts, 1)))


def _mmaction2_testing(n: int, shape: ClipShape, num_clips: int) -> list[list[int]]:
    free = max(n - ((shape.num_frames - 1) * shape.stride + 1), 0)
    if num_clips == 1:
        return [_mmaction2_clip(n, shape, free // 2)]
    return [
        _mmaction2_clip(n, shape, round(k * (free / (num_clips - 1)))) for k in range(num_clips)
    ]


def _mmaction2_crop(free: int, k: int, num_crops: int) -> int:
    return free // 2 if num_crops == 1 else k * (free // (num_crops - 1))


# pytorchvideo: clips measured in seconds, then UniformTemporalSubsample of their frames.
def _pytorchvideo_clip(n: int, shape: ClipShape, start: Fraction) -> list[int]:
    first, end = ceil(start), min(ceil(start + shape.span), n)
    return [first + i for i in torch.linspace(0, end - first - 1, shape.num_frames).long().tolist()]


def _pytorchvideo_training(n: int, shape: ClipShape, generator: Random) -> list[int]:
    return _pytorchvideo_clip(n, shape, Fraction(generator.uniform(0, float(_free(n, shape)))))


def _pytorchvideo_testing(n: int, shape: ClipShape, num_clips: int) -> list[list[int]]:
    free = _free(n, shape)
    return [_pytorchvideo_clip(n, shape, free * k / num_clips) for k in range(num_clips)]


def _pytorchvideo_testing_to_the_end(n: int, shape: ClipShape, num_clips: int) -> list[list[int]]:
    free, steps = _free(n, shape), max(num_clips - 1, 1)
    return [_pytorchvideo_clip(n, shape, free * k / steps) for k in range(num_clips)]


# The whole video in T segments, one frame from each (PySlowFast's ssv2.py, where neighbouring
# segments share a frame). Its test clips are all the same.
def _segments(n: int, shape: ClipShape) -> list[tuple[int, int]]:
    """First and last frame of each segment, rounded as in PySlowFast: floats, half to even."""
    length = (n - 1) / shape.num_frames
    bounds = [round(length * i) for i in range(shape.num_frames + 1)]
    return list(pairwise(bounds))


def _segments_training(n: int, shape: ClipShape, generator: Random) -> list[int]:
    return [generator.randint(first, last) for first, last in _segments(n, shape)]


def _segments_testing(n: int, shape: ClipShape, num_clips: int) -> list[list[int]]:
    return [[(first + last) // 2 for first, last in _segments(n, shape)]] * num_clips


def _free(n: int, shape: ClipShape) -> Fraction:
    """By how many frames the start of a clip can move."""
    return max(n - shape.span, Fraction(0))


def _share(k: int, count: int) -> Fraction:
    """The position, from 0 to 1, of number k of ``count``; a single one is in the middle."""
    return Fraction(k, count - 1) if count > 1 else Fraction(1, 2)


#: ``pyslowfast`` samples with offsets, as PySlowFast's transformer recipes do; ``pytorchvideo`` is
#: release 0.1.5, whose test clips never reach the end; ``pytorchvideo_main`` is its later code.
RULES = {
    "hiera_video": Rule(_hiera_video_training, _hiera_video_testing, _hiera_video_crop),
    "pyslowfast": Rule(_pyslowfast_training, _pyslowfast_testing, _pyslowfast_crop),
    "pyslowfast_no_offset": Rule(
        _pyslowfast_training, _pyslowfast_testing_no_offset, _pyslowfast_crop
    ),
    "videomae": Rule(_videomae_training, _videomae_testing, _videomae_crop),
    "mmaction2": Rule(_mmaction2_training, _mmaction2_testing, _mmaction2_crop),
    "pytorchvideo": Rule(_pytorchvideo_training, _pytorchvideo_testing, _pyslowfast_crop),
    "pytorchvideo_main": Rule(
        _pytorchvideo_training, _pytorchvideo_testing_to_the_end, _pyslowfast_crop
    ),
    "segments": Rule(_segments_training, _segments_testing, _pyslowfast_crop),
}
