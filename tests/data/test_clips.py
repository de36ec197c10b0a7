"""What clips span, which frames are spread over them, and where windows lie."""

from __future__ import annotations

from fractions import Fraction

import pytest

from hiera_video.config.clip_groups import ClipSettings
from hiera_video.data.clips import VideoPart, clip_duration, exact, spread_frames, window_starts

NTSC = Fraction(30000, 1001)


def test_a_clip_spans_frames_times_stride() -> None:
    clip = ClipSettings(num_frames=16, stride=4)
    assert clip_duration(clip, NTSC) == 64 / NTSC
    at_30 = ClipSettings(num_frames=16, stride=4, frames_per_second=30)
    assert clip_duration(at_30, Fraction(60)) == Fraction(64, 30)
    at_29_97 = ClipSettings(num_frames=16, stride=4, frames_per_second=29.97)
    assert clip_duration(at_29_97, Fraction(60)) == Fraction(6400, 2997)


@pytest.mark.parametrize("number", [0.7, 1.1, 29.97, 1e-05, 2.0])
def test_settings_are_the_decimals_that_were_written(number: float) -> None:
    assert exact(number) == Fraction(repr(number))
    assert exact(0.7) * 30 == 21


@pytest.mark.parametrize("rate", [Fraction(25), NTSC, Fraction(15), Fraction(24000, 1001)])
def test_a_whole_stride_is_exact_at_every_rate(rate: Fraction) -> None:
    seconds = clip_duration(ClipSettings(num_frames=16, stride=4), rate)
    for first in (0, 1, 17, 99):
        frames = spread_frames(first / rate * rate, seconds * rate, 16)
        assert frames == list(range(first, first + 64, 4))


def test_frames_are_resampled_to_the_clip_rate() -> None:
    clip = ClipSettings(num_frames=8, stride=2, frames_per_second=30)
    for rate, expected in (
        (60, [0, 4, 8, 12, 16, 20, 24, 28]),
        (25, [0, 1, 3, 5, 6, 8, 10, 11]),
    ):
        span = clip_duration(clip, Fraction(rate)) * rate
        assert spread_frames(Fraction(0), span, 8) == expected


def test_a_part_holds_the_frames_that_are_shown_in_it() -> None:
    rate = Fraction(10)
    assert VideoPart.between(Fraction(0), Fraction(30), 30, rate) == (0, 30, rate)
    assert VideoPart.between(Fraction("10.5"), Fraction("20.1"), 30, rate) == (10, 11, rate)
    assert VideoPart.between(Fraction(20), Fraction(99), 30, rate) == (20, 10, rate)


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
