"""The rules by which clips are cut out of videos, by name (``clip.sampling``): ours, and those that
published numbers were made with.

A rule chooses a clip of T frames from a video of n; a clip spans L of them: T times its stride, at
the rate that the stride counts (``segments``: all of them). Rules return frame numbers of the
video, always ones that exist: each deals with videos shorter than a clip as its source does, unless
``clip.short_video`` says otherwise.
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

from hiera_video.config.groups import ClipSettings
from hiera_video.data.clips import VideoPart, clip_duration, spread_frames


class ClipShape(NamedTuple):
    """T frames, ``stride`` apart, that span L frames of the video."""

    num_frames: int
    stride: int
    span: Fraction


class Rule(NamedTuple):
    """``training(n, shape, generator)`` is a random clip, ``testing(n, shape, N)`` are N clips
    spread over the video; ``crop_offset(free, k, N)`` is where crop k of N begins, along a side
    with ``free`` pixels more than the crop."""

    training: Callable[[int, ClipShape, Random], list[int]]
    testing: Callable[[int, ClipShape, int], list[list[int]]]
    crop_offset: Callable[[int, int, int], int]


def clip_shape(clip: ClipSettings, frames_per_second: Fraction) -> ClipShape:
    """The shape of a clip in a video of that rate."""
    span = clip_duration(clip, frames_per_second) * frames_per_second
    return ClipShape(clip.num_frames, clip.stride, span)


def training_clip(part: VideoPart, clip: ClipSettings, seed: int) -> list[int]:
    """Frames of a random clip: a function of ``seed``."""
    shape = clip_shape(clip, part.frames_per_second)
    frames = RULES[clip.sampling].training(_length(part, clip, shape), shape, Random(seed))
    return _place(frames, part, clip)


def evaluation_clips(part: VideoPart, clip: ClipSettings, num_clips: int) -> list[list[int]]:
    """Frames of ``num_clips`` clips spread over the part."""
    shape = clip_shape(clip, part.frames_per_second)
    clips = RULES[clip.sampling].testing(_length(part, clip, shape), shape, num_clips)
    return [_place(frames, part, clip) for frames in clips]


def bound(frames: list[int], num_frames: int, short_video: str | None) -> list[int]:
    """Frame numbers past the end of ``num_frames`` become ones before it."""
    if short_video == "loop":
        return [frame % num_frames for frame in frames]
    return [min(frame, num_frames - 1) for frame in frames]


def _length(part: VideoPart, clip: ClipSettings, shape: ClipShape) -> int:
    """The frames that a rule is told of: where ``clip.short_video`` is to decide what stands in for
    missing ones, the rule sees none missing."""
    return part.num_frames if clip.short_video is None else max(part.num_frames, ceil(shape.span))


def _place(frames: list[int], part: VideoPart, clip: ClipSettings) -> list[int]:
    inside = bound(frames, part.num_frames, clip.short_video)
    return [part.first_frame + frame for frame in inside]


# Ours: even spacing by exact fractions, which a whole stride makes a whole number of frames.
def _our_clip(n: int, shape: ClipShape, start: Fraction) -> list[int]:
    return bound(spread_frames(start, shape.span, shape.num_frames), n, "repeat_last")


def _our_training(n: int, shape: ClipShape, generator: Random) -> list[int]:
    return _our_clip(n, shape, Fraction(generator.uniform(0, float(_free(n, shape)))))


def _our_testing(n: int, shape: ClipShape, num_clips: int) -> list[list[int]]:
    free = _free(n, shape)
    if num_clips == 1:
        return [_our_clip(n, shape, free / 2)]
    return [_our_clip(n, shape, free * k / num_clips) for k in range(num_clips)]


def _our_crop(free: int, k: int, num_crops: int) -> int:
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


# mmaction2 (SampleFrames, ThreeCrop): clips run on at the beginning where the video ends.
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


# pytorchvideo: clips of seconds, then UniformTemporalSubsample of the frames that they hold.
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


# The whole video in T segments, a frame of each (PySlowFast's ssv2.py, whose neighbouring segments
# share a frame). Its test clips are all the same.
def _segments(n: int, shape: ClipShape) -> list[tuple[int, int]]:
    """First and last frame of each. Rounded as there: floats, half to even."""
    length = (n - 1) / shape.num_frames
    bounds = [round(length * i) for i in range(shape.num_frames + 1)]
    return list(pairwise(bounds))


def _segments_training(n: int, shape: ClipShape, generator: Random) -> list[int]:
    return [generator.randint(first, last) for first, last in _segments(n, shape)]


def _segments_testing(n: int, shape: ClipShape, num_clips: int) -> list[list[int]]:
    return [[(first + last) // 2 for first, last in _segments(n, shape)]] * num_clips


def _free(n: int, shape: ClipShape) -> Fraction:
    """How far the start of a clip can move, in frames."""
    return max(n - shape.span, Fraction(0))


def _share(k: int, count: int) -> Fraction:
    """How far along number k of ``count`` lies, from 0 to 1; one alone lies in the middle."""
    return Fraction(k, count - 1) if count > 1 else Fraction(1, 2)


#: ``pyslowfast`` samples with offsets, as its recipes of transformers do; ``pytorchvideo`` is the
#: release 0.1.5, whose test clips never reach the end, ``pytorchvideo_main`` what came after it.
RULES = {
    "hiera_video": Rule(_our_training, _our_testing, _our_crop),
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
