"""The rules of others, against tables computed by hand from their formulas, for 16 frames at 4."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import decord
import pytest
import torch
from pytorchvideo.data.clip_sampling import ConstantClipsPerVideoSampler, RandomClipSampler
from pytorchvideo.data.encoded_video import EncodedVideo

from hiera_video.config.clip_groups import ClipSettings
from hiera_video.data.clips import VideoPart
from hiera_video.data.sampling import RULES, evaluation_clips, training_clip
from hiera_video.errors import ConfigError
from tests.support import frame_numbers, write_video

RATE = Fraction(30)
TEN_SECONDS = VideoPart(0, 300, RATE)
SHORT = VideoPart(0, 20, RATE)
#: Rules whose clips are shorter than a video may be.
CUTTING = [rule for rule in RULES if rule != "segments"]

#: Frames of a clip that starts at 0: every fourth, or 63/15 or 64/15 apart and truncated.
EVERY_FOURTH = list(range(0, 64, 4))
STEP_4_2 = [0, 4, 8, 12, 16, 21, 25, 29, 33, 37, 42, 46, 50, 54, 58, 63]
STEP_4_27 = [0, 4, 8, 12, 17, 21, 25, 29, 34, 38, 42, 46, 51, 55, 59, 63]

#: Rule -> first frames of five test clips of 300 frames, and the frames within each.
TESTING = {
    "hiera_video": ([0, 47, 94, 141, 188], EVERY_FOURTH),
    "pyslowfast": ([0, 59, 118, 177, 236], STEP_4_2),
    "videomae": ([0, 56, 116, 176, 236], EVERY_FOURTH),
    "mmaction2": ([0, 60, 120, 179, 239], EVERY_FOURTH),
    "pytorchvideo": ([0, 48, 95, 142, 189], STEP_4_2),
    "pytorchvideo_main": ([0, 59, 118, 177, 236], STEP_4_2),
}
#: Rule -> frames within a training clip, and the first and the last frame that it can start at.
TRAINING = {
    "hiera_video": (EVERY_FOURTH, 0, 235),
    "pyslowfast": (STEP_4_2, 0, 235),
    "videomae": (STEP_4_27, 0, 235),
    "mmaction2": (EVERY_FOURTH, 0, 236),
    "pytorchvideo": (STEP_4_2, 1, 236),
}
#: Rule -> a test clip of 20 frames.
SHORT_TESTING = {
    "hiera_video": [0, 4, 8, 12, 16] + [19] * 11,
    "pyslowfast": [0, 4, 8, 12, 16] + [19] * 11,
    "videomae": [0, 4, 8, 12] + [16] * 12,
    "mmaction2": [0, 4, 8, 12, 16] * 3 + [0],
    "pytorchvideo": [0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 15, 16, 17, 19],
}
#: Rule -> where three crops begin along a side with 25 pixels too many; where one does.
CROPS = {
    "hiera_video": ([0, 12, 25], 12),
    "pyslowfast": ([0, 13, 25], 13),
    "videomae": ([0, 12, 25], 12),
    "mmaction2": ([0, 12, 24], 12),
    "pytorchvideo": ([0, 13, 25], 13),
    "segments": ([0, 13, 25], 13),
}
#: Frames of a video -> of 16 segments, where they begin and end: multiples of (n - 1) / 16 that are
#: rounded, halves to even.
SEGMENTS = {
    300: [0, 19, 37, 56, 75, 93, 112, 131, 150, 168, 187, 206, 224, 243, 262, 280, 299],
    49: list(range(0, 49, 3)),
    9: [0, 0, 1, 2, 2, 2, 3, 4, 4, 4, 5, 6, 6, 6, 7, 8, 8],
    1: [0] * 17,
}


def test_every_rule_can_be_set() -> None:
    names = get_args(ClipSettings.model_fields["sampling"].annotation)
    assert sorted(names) == sorted(RULES)
    assert ClipSettings().sampling == "hiera_video"


@pytest.mark.parametrize("rule", TESTING)
def test_five_test_clips(rule: str) -> None:
    starts, within = TESTING[rule]
    clips = evaluation_clips(TEN_SECONDS, ClipSettings(sampling=rule), 5)
    assert clips == [[start + frame for frame in within] for start in starts]


def test_pyslowfast_without_offsets() -> None:
    """By default, PySlowFast starts at (n - L) * k / N: here 0, 47.2, 94.4, 141.6 and 188.8."""
    clips = evaluation_clips(TEN_SECONDS, ClipSettings(sampling="pyslowfast_no_offset"), 5)
    assert [clip[0] for clip in clips] == [0, 47, 94, 141, 188]
    # 47.2 + 4.2 i, truncated
    assert clips[1][:8] == [47, 51, 55, 59, 64, 68, 72, 76]


def test_pyslowfast_counts_at_the_rate_of_the_clip() -> None:
    """L = 64 * 25 / 30 = 53.33 frames: starts are floor(46.67 / 4) = 11 apart, frames 3.49."""
    clip = ClipSettings(sampling="pyslowfast", frames_per_second=30)
    clips = evaluation_clips(VideoPart(0, 100, Fraction(25)), clip, 5)
    assert [frames[0] for frames in clips] == [0, 11, 22, 33, 44]
    assert clips[0] == [0, 3, 6, 10, 13, 17, 20, 24, 27, 31, 34, 38, 41, 45, 48, 52]


@pytest.mark.parametrize(
    ("rule", "first"),
    [
        ("hiera_video", 118),
        ("pyslowfast", 118),
        ("videomae", 116),
        ("mmaction2", 119),
        ("pytorchvideo", 0),
        ("pytorchvideo_main", 0),
    ],
)
def test_a_single_test_clip(rule: str, first: int) -> None:
    ((start, *_),) = evaluation_clips(TEN_SECONDS, ClipSettings(sampling=rule), 1)
    assert start == first


@pytest.mark.parametrize("rule", TRAINING)
def test_training_clips(rule: str) -> None:
    within, first, last = TRAINING[rule]
    clip = ClipSettings(sampling=rule)
    clips = [training_clip(TEN_SECONDS, clip, seed) for seed in range(3000)]
    starts = {frames[0] for frames in clips}
    assert (min(starts), max(starts)) == (first, last)
    assert len(starts) > 230  # all are likely
    assert training_clip(TEN_SECONDS, clip, 7) == clips[7]
    if rule == "pyslowfast":  # starts between frames
        assert all(0 <= frames[-1] - frames[0] - 63 <= 1 for frames in clips)
        return
    assert all([frame - frames[0] for frame in frames] == within for frames in clips)


@pytest.mark.parametrize("rule", SHORT_TESTING)
def test_a_short_video_as_the_source_of_the_rule_does(rule: str) -> None:
    clip = ClipSettings(sampling=rule)
    assert evaluation_clips(SHORT, clip, 2) == [SHORT_TESTING[rule]] * 2
    expected = SHORT_TESTING[rule]
    if rule == "videomae":  # linspace(0, 20, 5), then the last
        expected = [0, 5, 10, 15] + [19] * 12
    assert training_clip(SHORT, clip, 0) == expected


@pytest.mark.parametrize("num_frames", SEGMENTS)
def test_segments_of_the_whole_video(num_frames: int) -> None:
    part, clip = VideoPart(100, num_frames, RATE), ClipSettings(sampling="segments", stride=7)
    bounds = [100 + frame for frame in SEGMENTS[num_frames]]
    segments = list(pairwise(bounds))
    middles = [(first + last) // 2 for first, last in segments]
    assert evaluation_clips(part, clip, 1) == [middles]
    clips = [training_clip(part, clip, seed) for seed in range(1000)]
    for (first, last), frames in zip(segments, zip(*clips, strict=True), strict=True):
        assert set(frames) == set(range(first, last + 1))
    assert training_clip(part, clip, 7) == clips[7]


def test_segments_that_do_not_depend_on_the_frame_rate() -> None:
    clip = ClipSettings(sampling="segments")
    for rate in (Fraction(12), Fraction(60)):
        assert evaluation_clips(VideoPart(0, 49, rate), clip, 1) == [list(range(1, 49, 3))]


@pytest.mark.parametrize("setting", [{"frames_per_second": 30}, {"short_video": "loop"}])
def test_what_means_nothing_for_segments_is_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"sampling=segments .*; leave it out"):
        ClipSettings(sampling="segments", **setting)


@pytest.mark.parametrize("rule", CUTTING)
def test_a_short_video_as_is_set(rule: str) -> None:
    repeat = ClipSettings(sampling=rule, short_video="repeat_last")
    loop = ClipSettings(sampling=rule, short_video="loop")
    whole = evaluation_clips(VideoPart(0, 64, RATE), ClipSettings(sampling=rule), 3)
    for first, n in ((0, 20), (100, 1), (3, 63)):
        part = VideoPart(first, n, RATE)
        repeated, looped = evaluation_clips(part, repeat, 3), evaluation_clips(part, loop, 3)
        assert repeated == [[first + min(frame, n - 1) for frame in frames] for frames in whole]
        assert looped == [[first + frame % n for frame in frames] for frames in whole]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("num_frames", [1, 2, 5, 15, 16, 60, 61, 62, 63, 64, 65, 300])
def test_frames_are_always_in_the_part(rule: str, num_frames: int) -> None:
    part = VideoPart(10, num_frames, RATE)
    for short_video in (None, "repeat_last", "loop") if rule in CUTTING else (None,):
        clip = ClipSettings(sampling=rule, short_video=short_video)
        clips = [training_clip(part, clip, seed) for seed in range(5)]
        clips += [frames for n in (1, 2, 5) for frames in evaluation_clips(part, clip, n)]
        for frames in clips:
            assert len(frames) == 16
            assert all(type(frame) is int for frame in frames)
            assert min(frames) >= 10
            assert max(frames) < 10 + num_frames


@pytest.mark.parametrize("rule", CROPS)
def test_crops(rule: str) -> None:
    three, one = CROPS[rule]
    offset = RULES[rule].crop_offset
    assert [offset(25, k, 3) for k in range(3)] == three
    assert offset(25, 0, 1) == one


# Against pytorchvideo itself: its samplers do not mind whether they count seconds or frames.
@pytest.mark.parametrize("rule", ["hiera_video", "pytorchvideo"])
@pytest.mark.parametrize("num_frames", [50, 64, 101, 300])
def test_starts_are_those_of_pytorchvideo(rule: str, num_frames: int) -> None:
    part, clip = VideoPart(0, num_frames, RATE), ClipSettings(sampling=rule)
    whole = {"hiera_video": lambda start: start.__floor__(), "pytorchvideo": lambda s: s.__ceil__()}
    for count in (1, 2, 5, 10) if rule == "pytorchvideo" else (2, 5, 10):  # ours: 1 in the middle
        sampler = ConstantClipsPerVideoSampler(64, count)
        expected = [sampler(0, num_frames, {}).clip_start_sec for _ in range(count)]
        found = [frames[0] for frames in evaluation_clips(part, clip, count)]
        assert found == [whole[rule](start) for start in expected]
    for seed in range(20):
        random.seed(seed)
        expected_start = RandomClipSampler(64)(0, num_frames, {}).clip_start_sec
        assert training_clip(part, clip, seed)[0] == whole[rule](expected_start)


@pytest.fixture
def _decord_bridge() -> Iterator[None]:
    """pytorchvideo makes decord return torch's tensors, in the whole process: undo that."""
    yield
    decord.bridge.reset_bridge()


@pytest.mark.usefixtures("_decord_bridge")
def test_frames_are_those_of_pytorchvideo(tmp_path: Path) -> None:
    """Its decord reader, and then its even subsample: ``linspace(0, t - 1)``, truncated."""
    path = write_video(tmp_path / "video.mp4", num_frames=100, frame_rate=25)
    video = EncodedVideo.from_path(str(path), decode_audio=False, decoder="decord")
    sampler = ConstantClipsPerVideoSampler(Fraction(64, 25), 5)
    clips = evaluation_clips(
        VideoPart(0, 100, Fraction(25)), ClipSettings(sampling="pytorchvideo"), 5
    )
    for frames in clips:
        clip = sampler(0, Fraction(100, 25), {})
        shown = video.get_clip(clip.clip_start_sec, clip.clip_end_sec)["video"]  # (C, T, H, W)
        numbers = frame_numbers(shown.transpose(0, 1).to(torch.uint8))
        assert frames == [numbers[i] for i in torch.linspace(0, len(numbers) - 1, 16).long()]
