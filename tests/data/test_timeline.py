"""When frames are shown: at a constant rate, and by their timestamps."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from hiera_video.config.clip_groups import ClipSettings, EvaluateSettings
from hiera_video.data.dataset import EvaluationClips
from hiera_video.data.manifest import Row
from hiera_video.data.windows import VideoWindows
from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.reader import VideoReader
from hiera_video.decoding.timeline import Timeline
from tests.support import frame_numbers, write_video

NTSC = Fraction(30000, 1001)
#: Two seconds at 30 frames a second, and then six at 10, in thirtieths.
SLOWING = [*range(60), *range(60, 240, 3)]


@pytest.mark.parametrize("rate", [Fraction(25), NTSC, Fraction(1, 3)])
def test_a_constant_rate_is_seconds_times_rate(rate: Fraction) -> None:
    timeline = Timeline.constant(rate)
    for number in (0, 1, 17, 100_000, Fraction(7, 2)):
        assert timeline.seconds(number) == number / rate
        assert timeline.position(number / rate) == number


def test_positions_between_frames_of_unequal_length() -> None:
    timeline = Timeline((0, 1, 4, 6), Fraction(1, 10))
    assert [timeline.seconds(frame) * 10 for frame in range(7)] == [0, 1, 4, 6, 8, 10, 12]
    for tenths, position in ((0, 0), (1, 1), (2, Fraction(4, 3)), (5, Fraction(5, 2)), (9, 4.5)):
        assert timeline.position(Fraction(tenths, 10)) == position
        assert timeline.seconds(Fraction(position)) == Fraction(tenths, 10)


@pytest.mark.parametrize("name", ["video.mp4", "video.mkv", "video.ts"])
@pytest.mark.parametrize("rate", [24, 30, 7])
def test_timestamps_that_are_rounded_are_a_constant_rate(
    tmp_path: Path, name: str, rate: int
) -> None:
    """Matroska counts milliseconds."""
    path = write_video(tmp_path / name, num_frames=100, frame_rate=rate, first_timestamp=3)
    with VideoReader(path) as reader:
        assert reader.index.timeline == Timeline.constant(reader.index.frames_per_second)


@pytest.fixture(params=["video.mp4", "video.mkv", "video.ts"])
def slowing(tmp_path: Path, request: pytest.FixtureRequest) -> Row:
    """A video whose frames are shown at the times of ``SLOWING``."""
    path = tmp_path / request.param
    write_video(path, num_frames=120, frame_rate=30, timestamps=SLOWING)
    return Row(0, path.name, path, {}, 0.0, None)


CLIP = ClipSettings(num_frames=4, stride=2, crop_size=64)


def test_a_segment_of_a_variable_rate_holds_what_is_shown_in_it(slowing: Row) -> None:
    """At the average rate, 15 a second, frames 60 to 89 would be, which are shown from 2 s on."""
    part = replace(slowing, start_seconds=4.0, end_seconds=6.0)
    views = EvaluateSettings(num_clips=3, num_crops=1)
    batch = EvaluationClips([part], CLIP, views, DecodingOptions(), 0)[0]
    clips = [frame_numbers(clip.transpose(0, 1)) for clip in batch.pixel_values]
    assert clips == [list(range(first, first + 8, 2)) for first in (80, 84, 88)]
    assert batch.start_seconds.tolist() == pytest.approx([4.0, 4.4, 4.8])
    assert batch.end_seconds.tolist() == pytest.approx([4.8, 5.2, 5.6])


def test_windows_of_a_variable_rate_show_what_is_shown_in_them(slowing: Row) -> None:
    (batch,) = VideoWindows(
        [slowing],
        [[0]],
        CLIP,
        DecodingOptions(),
        window_seconds=2.0,
        stride_seconds=None,
        batch_size=8,
    )
    windows = [frame_numbers(clip.transpose(0, 1)) for clip in batch.clips.pixel_values]
    assert windows == [[0, 15, 30, 45], *([n, n + 5, n + 10, n + 15] for n in (60, 80, 100))]
    assert batch.clips.end_seconds.tolist() == [2.0, 4.0, 6.0, 8.0]


def test_windows_come_in_order_where_one_is_complete_before_the_last(tmp_path: Path) -> None:
    """As written to a file of features: a late one would be missing from it."""
    steps = random.Random(1).choices([1, 2, 3], k=59)
    timestamps = [sum(steps[:number]) for number in range(60)]
    path = tmp_path / "video.mp4"
    write_video(path, num_frames=60, frame_rate=30, timestamps=timestamps)
    clip = ClipSettings(num_frames=4, crop_size=64)
    rows = [Row(0, path.name, path, {}, 0.0, None)]
    batches = list(
        VideoWindows(
            rows,
            [[0]],
            clip,
            DecodingOptions(),
            window_seconds=0.4,
            stride_seconds=0.05,
            batch_size=8,
        )
    )
    numbers = [number for batch in batches for number in batch.numbers]
    last_frames = [
        max(frame_numbers(view.transpose(0, 1)))
        for batch in batches
        for view in batch.clips.pixel_values
    ]
    assert last_frames != sorted(last_frames)
    assert numbers == list(range(batches[0].totals[0]))
