"""Which frames make which clip: pure arithmetic on frame numbers and exact fractions of a second.

This file has what the sampling rules (``sampling.py``) share, and the sliding windows of an
extraction. Ranges are half-open. ``timeline.py`` knows which frame is shown at a time.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

from pytorchvideo.data.clip_sampling import UniformClipSampler

from hiera_video.config.clip_groups import ClipSettings


def exact(number: float) -> Fraction:
    """The exact decimal value of a float: 0.7 becomes 7/10, not its binary approximation."""
    return Fraction(str(number))


class VideoPart(NamedTuple):
    """The frames ``[first_frame, first_frame + num_frames)`` of a video."""

    first_frame: int
    num_frames: int
    frames_per_second: Fraction

    @classmethod
    def between(
        cls, start: Fraction, end: Fraction, num_frames: int, frames_per_second: Fraction
    ) -> VideoPart:
        """The frames that a video of ``num_frames`` shows in the positions ``[start, end)``."""
        first = floor(start)
        last = min(num_frames, ceil(end))
        return cls(first, last - first, frames_per_second)


def clip_duration(clip: ClipSettings, frames_per_second: Fraction) -> Fraction:
    """Seconds that a clip of ``num_frames * stride`` frames spans in a video of that rate."""
    rate = exact(clip.frames_per_second) if clip.frames_per_second else frames_per_second
    return clip.num_frames * clip.stride / rate


def spread_frames(start: Fraction, span: Fraction, num_frames: int) -> list[int]:
    """``num_frames`` frame numbers, evenly spaced over ``[start, start + span)`` frames.

    The spacing starts at a whole frame, so it is exact wherever ``span / num_frames`` is a whole
    number of frames.
    """
    return [floor(start) + floor(i * span / num_frames) for i in range(num_frames)]


def window_starts(
    video_seconds: Fraction, window_seconds: Fraction, stride_seconds: Fraction
) -> list[Fraction]:
    """Starts of sliding windows over a whole video, from pytorchvideo's sampler.

    The last window is shifted back to end with the video, so that the windows cover every frame. A
    video shorter than a window has one window, at 0.
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
