"""Which frames make which clip: pure arithmetic on exact fractions of a second.

pytorchvideo's clip samplers say where clips lie; :func:`frame_indices` says which frames they are.
Ranges are half-open. A video of n frames at rate r lasts n / r seconds.
"""

from __future__ import annotations

import random
from fractions import Fraction
from math import floor

from pytorchvideo.data.clip_sampling import (
    ConstantClipsPerVideoSampler,
    RandomClipSampler,
    UniformClipSampler,
)

from hiera_video.config import ClipSettings


def clip_duration(clip: ClipSettings, frames_per_second: Fraction) -> Fraction:
    """Seconds that a clip spans in a video of that rate: ``num_frames * stride`` frames."""
    rate = Fraction(clip.frames_per_second) if clip.frames_per_second else frames_per_second
    return clip.num_frames * clip.stride / rate


def random_clip_start(video_seconds: Fraction, clip_seconds: Fraction, seed: int) -> Fraction:
    """A start in seconds, uniform over all that leave room for the clip; a function of ``seed``."""
    sampler = RandomClipSampler(clip_seconds)
    # pytorchvideo draws from Python's global generator: lend it one of our own.
    state = random.getstate()
    random.seed(seed)
    try:
        return sampler(0, video_seconds, {}).clip_start_sec
    finally:
        random.setstate(state)


def even_clip_starts(
    video_seconds: Fraction, clip_seconds: Fraction, num_clips: int
) -> list[Fraction]:
    """Starts of clips spread evenly: number k of N lies at k/N of the seconds that can be a start.

    This is pytorchvideo 0.1.5's rule (and PySlowFast's ``(n - L) * k / N``).
    """
    sampler = ConstantClipsPerVideoSampler(clip_seconds, num_clips)
    return [sampler(0, video_seconds, {}).clip_start_sec for _ in range(num_clips)]


def window_starts(
    video_seconds: Fraction, window_seconds: Fraction, stride_seconds: Fraction
) -> list[Fraction]:
    """Starts of sliding windows over a whole video.

    The last window is moved back to end with the video, so that no frame is left out. A video
    shorter than a window has one window, at 0.
    """
    sampler = UniformClipSampler(window_seconds, stride_seconds, backpad_last=True)
    starts: list[Fraction] = []
    last_end = Fraction(0)
    while True:
        window = sampler(last_end, video_seconds, {})
        starts.append(max(window.clip_start_sec, Fraction(0)))
        last_end = window.clip_end_sec
        if window.is_last_clip:
            return starts


def frame_indices(
    start_seconds: Fraction,
    clip_seconds: Fraction,
    num_frames: int,
    video_num_frames: int,
    frames_per_second: Fraction,
) -> list[int]:
    """``num_frames`` indices, evenly spaced over ``[start_seconds, start_seconds + clip_seconds)``.

    The spacing starts at a whole frame, so it is exact wherever the stride is a whole number of
    frames. Where the video ends before the clip does, its last frame is repeated, as in PySlowFast.
    """
    first = floor(start_seconds * frames_per_second)
    step = clip_seconds * frames_per_second / num_frames
    last = video_num_frames - 1
    return [min(first + floor(i * step), last) for i in range(num_frames)]
