"""Which frames make which clip."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from hiera_video.config import ClipSettings
from hiera_video.data.clips import (
    clip_duration,
    even_clip_starts,
    frame_indices,
    random_clip_start,
    window_starts,
)

NTSC = Fraction(30000, 1001)


def test_a_clip_spans_frames_times_stride() -> None:
    clip = ClipSettings(num_frames=16, stride=4)
    assert clip_duration(clip, NTSC) == 64 / NTSC
    at_30 = ClipSettings(num_frames=16, stride=4, frames_per_second=30)
    assert clip_duration(at_30, Fraction(60)) == Fraction(64, 30)


@pytest.mark.parametrize("rate", [Fraction(25), NTSC, Fraction(15), Fraction(24000, 1001)])
def test_a_whole_stride_is_exact_at_every_rate(rate: Fraction) -> None:
    seconds = clip_duration(ClipSettings(num_frames=16, stride=4), rate)
    for first in (0, 1, 17, 99):
        indices = frame_indices(first / rate, seconds, 16, 1000, rate)
        assert indices == list(range(first, first + 64, 4))


def test_frames_are_resampled_to_the_clip_rate() -> None:
    clip = ClipSettings(num_frames=8, stride=2, frames_per_second=30)
    rate = Fraction(60)
    indices = frame_indices(Fraction(0), clip_duration(clip, rate), 8, 1000, rate)
    assert indices == [0, 4, 8, 12, 16, 20, 24, 28]
    rate = Fraction(25)
    indices = frame_indices(Fraction(0), clip_duration(clip, rate), 8, 1000, rate)
    assert indices == [0, 1, 3, 5, 6, 8, 10, 11]


def test_a_short_video_repeats_its_last_frame() -> None:
    seconds = Fraction(16, 25)
    assert frame_indices(Fraction(0), seconds, 8, 5, Fraction(25)) == [0, 2, 4, 4, 4, 4, 4, 4]
    assert frame_indices(Fraction(0), seconds, 4, 1, Fraction(25)) == [0, 0, 0, 0]


def test_random_starts_leave_room_and_depend_on_the_seed_alone() -> None:
    state = random.getstate()
    starts = [random_clip_start(Fraction(10), Fraction(2), seed) for seed in range(300)]
    assert random.getstate() == state
    assert starts == [random_clip_start(Fraction(10), Fraction(2), seed) for seed in range(300)]
    assert 0 <= min(starts) < 0.2
    assert 7.8 < max(starts) <= 8
    assert random_clip_start(Fraction(1), Fraction(2), 0) == 0


def test_even_starts_follow_pytorchvideo() -> None:
    starts = even_clip_starts(Fraction(10), Fraction(2), 4)
    assert starts == [0, 2, 4, 6]
    assert even_clip_starts(Fraction(1), Fraction(2), 3) == [0, 0, 0]


@pytest.mark.parametrize(
    ("video", "window", "stride", "expected"),
    [
        (4, 2, 2, [0, 2]),
        (4, 2, 1, [0, 1, 2]),
        (5, 2, 2, [0, 2, 3]),
        (2, 2, 2, [0]),
        (1, 2, 1, [0]),
    ],
)
def test_windows_cover_the_whole_video(
    video: int, window: int, stride: int, expected: list[int]
) -> None:
    assert window_starts(Fraction(video), Fraction(window), Fraction(stride)) == expected


def test_windows_are_exact_over_an_hour() -> None:
    starts = window_starts(Fraction(3600), 64 / NTSC, 32 / NTSC)
    assert starts[1000] == 32000 / NTSC
    assert starts[-1] == 3600 - 64 / NTSC
