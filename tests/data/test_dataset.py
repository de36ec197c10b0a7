"""From rows to batches: what is drawn, what a segment bounds, which views and windows come out."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import random
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from hiera_video.batch import ClipBatch
from hiera_video.config.clip_groups import AugmentSettings, ClipSettings, EvaluateSettings
from hiera_video.config.groups import ReadingSettings
from hiera_video.data.dataset import EvaluationClips, TrainClips
from hiera_video.data.loader import ClipLoader, TrainingLoader, TrainingOrder, window_batches
from hiera_video.data.manifest import Row
from hiera_video.data.video_segment import VideoSegment
from hiera_video.data.windows import VideoWindows
from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.reader import VideoReader
from hiera_video.decoding.source import Source
from hiera_video.decoding.timeline import Timeline
from hiera_video.errors import ConfigError, VideoError
from tests.support import frame_numbers, write_video

CPU = torch.device("cpu")
CLIP = ClipSettings(num_frames=4, stride=2, crop_size=32)
#: Views that keep the whole picture of a square video, so that frame numbers can be read.
WHOLE = AugmentSettings(scale=(1.0, 1.0), ratio=(1.0, 1.0), horizontal_flip=0.0)
NUM_FRAMES, RATE = 60, 12  # five seconds


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Six videos of five seconds."""
    folder = tmp_path_factory.mktemp("videos")
    found = []
    for index in range(6):
        path = write_video(folder / f"{index}.mp4", num_frames=NUM_FRAMES, frame_rate=RATE)
        found.append(Row(index, path.name, path, {"labels": index % 3}, 0.0, None))
    return found


@pytest.fixture
def broken(tmp_path: Path) -> Row:
    """A row whose file is no video."""
    path = tmp_path / "broken.mp4"
    path.write_text("this is a text\n" * 100)
    return Row(0, path.name, path, {}, 0.0, None)


class RecordingReader(VideoReader):
    """Takes note of the frames of each pass that it is asked for."""

    passes: list[tuple[Source, list[int]]] = []  # noqa: RUF012 - shared on purpose, emptied by its fixture

    def frames(self, indices: Sequence[int]) -> Tensor:
        self.passes.append((self.source, list(indices)))
        with VideoReader(self.source) as reader:
            return reader.frames(indices)

    def stream(self, wanted: Sequence[int]) -> Iterator[Tensor]:
        self.passes.append((self.source, list(wanted)))
        with VideoReader(self.source) as reader:
            yield from reader.stream(wanted)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Source, list[int]]]:
    """The path and the frames of each pass over a file."""
    monkeypatch.setattr("hiera_video.decoding.open_video.VideoReader", RecordingReader)
    RecordingReader.passes.clear()
    return RecordingReader.passes


class EndlessReader:
    """Five hours of film, of which it knows how many frames are alive at a time."""

    alive = most = decoded = 0
    fallback = None

    def __init__(self, path: Path, options: DecodingOptions) -> None:
        seconds = Fraction(5 * 3600)
        self.index = SimpleNamespace(
            num_frames=int(seconds * RATE),
            why_counted="",
            has_seconds=True,
            frames_per_second=Fraction(RATE),
            duration_seconds=seconds,
            timeline=Timeline.constant(Fraction(RATE)),
        )
        type(self).alive = type(self).most = type(self).decoded = 0

    def stream(self, wanted: Sequence[int]) -> Iterator[Tensor]:
        for _ in wanted:
            frame = np.zeros((3, 32, 32), np.uint8)
            weakref.finalize(frame, self._forget)
            type(self).alive += 1
            type(self).decoded += 1
            type(self).most = max(self.most, self.alive)
            yield torch.from_numpy(frame)

    @classmethod
    def _forget(cls) -> None:
        cls.alive -= 1

    def close(self) -> None:
        pass


def train_clips(
    rows: list[Row],
    seed: int = 0,
    repeats: int = 2,
    augment: AugmentSettings | None = None,
    clip: ClipSettings = CLIP,
) -> TrainClips:
    return TrainClips(rows, clip, augment or AugmentSettings(), DecodingOptions(), seed, repeats)


def evaluation_clips(rows: list[Row], seed: int = 0, **settings: object) -> EvaluationClips:
    return EvaluationClips(rows, CLIP, EvaluateSettings(**settings), DecodingOptions(), seed)


def windows(rows: list[Row], clip: ClipSettings = CLIP, **settings: object) -> VideoWindows:
    arguments = {"window_seconds": None, "stride_seconds": None, "batch_size": 3, **settings}
    groups = [[index] for index in range(len(rows))]
    return VideoWindows(rows, groups, clip, DecodingOptions(), **arguments)  # type: ignore[arg-type]


def numbers(batch: ClipBatch) -> list[list[int]]:
    """Frame numbers of each clip."""
    return [frame_numbers(clip.transpose(0, 1)) for clip in batch.pixel_values]


def assert_same(one: ClipBatch, other: ClipBatch) -> None:
    assert torch.equal(one.pixel_values, other.pixel_values)
    assert torch.equal(one.rows, other.rows)
    assert torch.equal(one.start_seconds, other.start_seconds)


def test_a_sample_is_a_function_of_seed_epoch_row_and_repeat(rows: list[Row]) -> None:
    keys = [(epoch, row) for epoch in range(2) for row in range(6)]
    first = {key: train_clips(rows)[key] for key in keys}
    again = train_clips(rows)
    random.seed(5)
    torch.manual_seed(5)
    for key in reversed(keys):  # in another order, and whatever was drawn before
        torch.rand(3)
        assert_same(again[key], first[key])
    more_repeats = train_clips(rows, repeats=3)[0, 0]
    assert torch.equal(more_repeats.pixel_values[:2], first[0, 0].pixel_values)


def test_each_of_seed_epoch_and_row_changes_the_sample(rows: list[Row]) -> None:
    alike = [replace(row, file=rows[0].file) for row in rows]  # the same video in every row
    base = train_clips(alike)[0, 0].pixel_values
    assert not torch.equal(base, train_clips(alike)[1, 0].pixel_values)
    assert not torch.equal(base, train_clips(alike)[0, 1].pixel_values)
    assert not torch.equal(base, train_clips(alike, seed=1)[0, 0].pixel_values)


def test_the_number_of_workers_changes_nothing(rows: list[Row]) -> None:
    def batches(num_workers: int) -> list[ClipBatch]:
        order = TrainingOrder(
            6, rows_per_batch=2, accumulate_steps=1, num_processes=1, process_index=0, seed=0
        )
        data = ReadingSettings(num_workers=num_workers)
        return list(TrainingLoader(train_clips(rows), order, data, CPU).batches(0, 0))

    expected = batches(0)
    assert len(expected) == 3
    for num_workers in (1, 2):
        for one, other in zip(batches(num_workers), expected, strict=True):
            assert_same(one, other)


def test_workers_end_with_their_loader(rows: list[Row]) -> None:
    """At once: what is left for the garbage collector may be met by the workers of another."""
    data = ReadingSettings(num_workers=1)
    order = TrainingOrder(
        6, rows_per_batch=2, accumulate_steps=1, num_processes=1, process_index=0, seed=0
    )
    before = set(multiprocessing.active_children())
    gc.disable()
    try:
        training = TrainingLoader(train_clips(rows), order, data, CPU)
        list(training.batches(0, 0))
        evaluation = ClipLoader(evaluation_clips(rows), [[0], [1]], data, CPU)
        list(evaluation)
        assert len(set(multiprocessing.active_children()) - before) == 2
        del training, evaluation
        assert set(multiprocessing.active_children()) == before
    finally:
        gc.enable()


def test_global_generators_are_left_alone(rows: list[Row]) -> None:
    states = random.getstate(), torch.get_rng_state(), pickle.dumps(np.random.get_state())
    augment = AugmentSettings(rand_augment_num_ops=2)
    train_clips(rows, augment=augment)[0, 0]
    evaluation_clips(rows, shuffle_frames=True)[0]
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])
    assert pickle.dumps(np.random.get_state()) == states[2]


def test_repeated_sampling_takes_different_clips_from_one_pass(
    rows: list[Row], passes: list[tuple[Source, list[int]]]
) -> None:
    batch = train_clips(rows, repeats=4, augment=WHOLE)[0, 2]
    ((_, decoded),) = passes
    assert decoded == sorted({number for clip in numbers(batch) for number in clip})
    assert batch.rows.tolist() == [2] * 4
    assert batch.targets["labels"].tolist() == [2] * 4
    assert len(set(batch.start_seconds.tolist())) == 4
    for clip, start in zip(numbers(batch), batch.start_seconds, strict=True):
        first = round(start.item() * RATE)
        assert clip == list(range(first, first + 8, 2))


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_a_segment_bounds_every_clip(rows: list[Row], decoder: str) -> None:
    segment = replace(rows[0], start_seconds=2.0, end_seconds=3.5)
    clips = TrainClips([segment], CLIP, WHOLE, DecodingOptions(decoder), seed=0, repeats=16)
    seen = {number for clip in numbers(clips[0, 0]) for number in clip}
    assert min(seen) >= 24
    assert max(seen) < 42
    evaluation = EvaluationClips(
        [segment], CLIP, EvaluateSettings(num_crops=1), DecodingOptions(decoder), 0
    )[0]
    assert evaluation.start_seconds[0] == 2.0
    assert numbers(evaluation)[0] == [24, 26, 28, 30]
    assert max(max(clip) for clip in numbers(evaluation)) < 42


def test_tenths_of_a_second_bound_segments_and_windows_exactly(tmp_path: Path) -> None:
    """The floats nearest to 0.7 and 1.1 are less than 21 and more than 33 thirtieths."""
    path = write_video(tmp_path / "video.mp4", num_frames=60, frame_rate=30)
    segment = Row(0, path.name, path, {}, 0.7, 1.1)
    clip = ClipSettings(num_frames=4, stride=3, crop_size=32)
    views = EvaluateSettings(num_clips=1, num_crops=1)
    batch = EvaluationClips([segment], clip, views, DecodingOptions(), 0)[0]
    assert numbers(batch) == [[21, 24, 27, 30]]
    clip = ClipSettings(num_frames=4, sampling="segments", crop_size=32)
    (all_12,) = windows([segment], clip=clip)
    assert numbers(all_12.clips) == [[22, 25, 28, 30]]  # between 21, 24, 27, 29 and 32
    (four,) = windows([segment], window_seconds=0.2, stride_seconds=0.1)
    assert [frames[0] for frames in numbers(four.clips)] == [21, 24, 27]


def test_a_segment_shorter_than_a_clip_repeats_its_last_frame(rows: list[Row]) -> None:
    """Frames after the segment's end show something else: they are never taken."""
    segment = replace(rows[0], start_seconds=1.0, end_seconds=1.25)
    batch = evaluation_clips([segment], num_clips=1, num_crops=1)[0]
    assert numbers(batch) == [[12, 14, 14, 14]]


def test_a_segment_past_the_end_is_a_failure_with_a_reason(rows: list[Row]) -> None:
    batch = train_clips([replace(rows[0], start_seconds=9.0)])[0, 0]
    assert len(batch) == 0
    assert batch.failures[0].reason == "start_seconds=9.0 is past the video's end (5.000 s)"


def test_a_video_shorter_than_a_clip_is_refused_where_that_is_set(tmp_path: Path) -> None:
    """By one frame; one of exactly a clip's eight frames is read."""
    refuse = CLIP.model_copy(update={"short_video": "refuse"})
    rows = []
    for index, num_frames in enumerate((8, 7)):
        path = write_video(tmp_path / f"{index}.mp4", num_frames=num_frames, frame_rate=RATE)
        rows.append(Row(index, path.name, path, {}, 0.0, None))
    for clips, keys in (
        (train_clips(rows, augment=WHOLE, repeats=1, clip=refuse), [(0, 0), (0, 1)]),
        (
            EvaluationClips(rows, refuse, EvaluateSettings(num_crops=1), DecodingOptions(), 0),
            [0, 1],
        ),
    ):
        whole, short = (clips[key] for key in keys)  # type: ignore[index]
        assert {tuple(frames) for frames in numbers(whole)} == {(0, 2, 4, 6)}
        (failure,) = short.failures
        assert (len(short), failure.path) == (0, str(rows[1].file))
        assert failure.reason == ("it lasts 0.583 s, a clip 0.667 s, and clip.short_video=refuse")


def test_segments_span_the_whole_part(rows: list[Row]) -> None:
    clip = ClipSettings(num_frames=4, crop_size=32, sampling="segments")
    views = EvaluateSettings(num_crops=1).of(clip)
    part = replace(rows[0], start_seconds=2.0, end_seconds=2.5)
    for row, frames, seconds in (
        (rows[0], [7, 22, 37, 51], (0.0, 5.0)),  # segments between 0, 15, 30, 44 and 59
        (part, [24, 25, 27, 28], (2.0, 2.5)),  # between 24, 25, 26, 28 and 29
    ):
        batch = EvaluationClips([row], clip, views, DecodingOptions(), 0)[0]
        assert numbers(batch) == [frames]
        assert (batch.start_seconds.item(), batch.end_seconds.item()) == seconds
        trained = TrainClips([row], clip, WHOLE, DecodingOptions(), seed=0, repeats=8)[0, 0]
        assert len({tuple(frames) for frames in numbers(trained)}) > 1
        assert set(trained.start_seconds.tolist()) == {seconds[0]}
        assert set(trained.end_seconds.tolist()) == {seconds[1]}
        (whole,) = windows([row], clip=clip)
        assert_same(whole.clips, batch)


def test_segments_of_windows(rows: list[Row]) -> None:
    clip = ClipSettings(num_frames=4, crop_size=32, sampling="segments")
    (two,) = windows(rows[:1], clip=clip, window_seconds=2.5)
    assert numbers(two.clips) == [[3, 10, 18, 25], [33, 40, 48, 55]]
    assert two.clips.end_seconds.tolist() == [2.5, 5.0]
    with pytest.raises(ConfigError, match=r"^stride_seconds=1: .* set window_seconds, too$"):
        windows(rows, clip=clip, stride_seconds=1.0)


@pytest.mark.parametrize(
    ("start", "end", "clip"),
    [
        (9.0, None, CLIP),
        (0.0, 0.5, CLIP.model_copy(update={"short_video": "refuse"})),
    ],
)
def test_a_refused_segment_leaves_no_file_open(
    rows: list[Row], start: float, end: float | None, clip: ClipSettings
) -> None:
    row = replace(rows[0], start_seconds=start, end_seconds=end)
    with pytest.raises(VideoError) as caught:
        VideoSegment(row, clip)
    assert caught.value.path == str(row.file)  # the traceback keeps the segment alive until here
    assert row.file not in [link.resolve() for link in Path("/proc/self/fd").iterdir()]


def test_evaluation_views_are_clips_by_crops_in_this_order(tmp_path: Path) -> None:
    path = write_video(tmp_path / "wide.mp4", num_frames=40, size=(48, 96), frame_rate=RATE)
    row = Row(0, path.name, path, {"labels": 1}, 0.0, None)
    clip = ClipSettings(num_frames=4, stride=2, crop_size=32, short_side=40)
    settings = EvaluateSettings(num_clips=2, num_crops=3)
    batch = EvaluationClips([row], clip, settings, DecodingOptions(), 0)[0]
    assert batch.pixel_values.shape == (6, 3, 4, 32, 32)
    assert batch.targets["labels"].tolist() == [1] * 6
    starts = [0.0] * 3 + [pytest.approx(16 / RATE)] * 3  # half of the 32 frames that can be a start
    assert batch.start_seconds.tolist() == starts
    assert torch.allclose(batch.end_seconds - batch.start_seconds, torch.tensor(8 / RATE).double())
    with VideoReader(path) as reader:
        for number, first in enumerate((0, 16)):
            frames = F.resize(reader.frames(range(first, first + 8, 2)), [40], antialias=True)
            assert frames.shape[-2:] == (40, 80)
            for crop, left in enumerate((0, 24, 48)):
                expected = frames[..., 4:36, left : left + 32].transpose(0, 1)
                assert torch.equal(batch.pixel_values[3 * number + crop], expected)


def test_evaluation_does_not_depend_on_the_seed(rows: list[Row]) -> None:
    assert_same(evaluation_clips(rows, seed=1)[0], evaluation_clips(rows, seed=2)[0])


def test_shuffled_frames_are_the_same_frames_in_another_order(rows: list[Row]) -> None:
    clip = ClipSettings(num_frames=16, stride=2, crop_size=32)

    def clips(shuffle: bool, seed: int = 0) -> list[list[int]]:
        settings = EvaluateSettings(num_clips=3, num_crops=1, shuffle_frames=shuffle)
        return numbers(EvaluationClips(rows, clip, settings, DecodingOptions(), seed)[1])

    straight, shuffled = clips(False), clips(True)
    assert [sorted(frames) for frames in shuffled] == straight
    assert all(one != other for one, other in zip(shuffled, straight, strict=True))
    assert clips(True) == shuffled
    assert clips(True, seed=1) != shuffled


def test_windows_cover_the_whole_video(rows: list[Row]) -> None:
    clips = ClipBatch.concatenate([batch.clips for batch in windows(rows[:1])])
    assert [clip[0] for clip in numbers(clips)] == [0, 8, 16, 24, 32, 40, 48, 52]
    assert clips.start_seconds[0] == 0
    assert clips.end_seconds[-1] == pytest.approx(NUM_FRAMES / RATE)


def test_windows_of_given_length_and_stride(rows: list[Row]) -> None:
    found = list(windows(rows[:1], window_seconds=2.0, stride_seconds=1.0, batch_size=8))
    assert [(batch.numbers, batch.totals) for batch in found] == [([0, 1, 2, 3], [4] * 4)]
    assert found[0].clips.start_seconds.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert numbers(found[0].clips)[1] == [12, 18, 24, 30]  # four frames over two seconds


def test_a_stride_that_leaves_gaps_between_clips_is_refused(rows: list[Row]) -> None:
    """Clips of eight frames last 0.667 s at this video's rate."""
    (refused,) = windows(rows[:1], stride_seconds=0.7)
    (failure,) = refused.clips.failures
    assert failure.reason == (
        "stride_seconds=0.7 is longer than a window of it, by default a clip of 0.667 s; "
        "set window_seconds"
    )
    (refused,) = windows(rows[:1], stride_seconds=0.7, key_prefix="features.")
    (failure,) = refused.clips.failures
    assert failure.reason.startswith("features.stride_seconds=0.7 is longer than")
    assert failure.reason.endswith("set features.window_seconds")
    starts = [b.clips.start_seconds for b in windows(rows[:1], stride_seconds=0.5, batch_size=8)]
    assert torch.cat(starts).tolist()[:3] == [0.0, 0.5, 1.0]


def test_all_views_and_all_windows_come_from_one_pass(
    rows: list[Row], passes: list[tuple[Source, list[int]]]
) -> None:
    """Clips overlap; each frame is decoded once all the same."""
    views = evaluation_clips(rows[:1], num_clips=5, num_crops=3)[0]
    overlapping = windows(rows[:1], window_seconds=2.0, stride_seconds=0.5, batch_size=2)
    clips = ClipBatch.concatenate([batch.clips for batch in overlapping])
    for batch, (_, decoded) in zip((views, clips), passes, strict=True):
        assert decoded == sorted({number for clip in numbers(batch) for number in clip})
        assert len(decoded) < sum(len(clip) for clip in numbers(batch))


def test_memory_for_windows_is_bounded_by_their_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hiera_video.decoding.open_video.VideoReader", EndlessReader)
    film = Row(0, "film.mp4", Path("film.mp4"), {}, 0.0, None)
    settings: dict[str, Any] = {"window_seconds": 4.0, "stride_seconds": 1.0, "batch_size": 64}
    num_windows = sum(len(batch.clips) for batch in windows([film], **settings))
    assert num_windows == 5 * 3600 - 3
    assert EndlessReader.decoded == 5 * 3600  # the frames of four windows coincide
    assert EndlessReader.most <= CLIP.num_frames + 1


def test_windows_of_several_videos_are_divided_over_workers(rows: list[Row]) -> None:
    found: dict[int, list[float]] = {row.index: [] for row in rows}
    for batch in window_batches(windows(rows), ReadingSettings(num_workers=2), CPU):
        (row,) = set(batch.clips.rows.tolist())
        found[row] += batch.clips.start_seconds.tolist()
    starts = [pytest.approx(frame / RATE) for frame in (0, 8, 16, 24, 32, 40, 48, 52)]
    assert all(seconds == starts for seconds in found.values())


def test_a_reader_may_take_as_long_as_is_set(rows: list[Row]) -> None:
    """Without workers, too, which are watched from outside."""
    for seconds, num_failed in ((1e-9, 2), (60, 0)):
        data = ReadingSettings(num_workers=0, timeout_seconds=seconds)
        reason = f"no frame came within {seconds:g} s"
        clips, views, some_windows = train_clips(rows), evaluation_clips(rows), windows(rows[:2])
        for dataset in (clips, views, some_windows):
            dataset.decoding = DecodingOptions(timeout_seconds=seconds)
        batches = [
            *ClipLoader(clips, [[(0, 0), (0, 1)]], data, CPU),
            *ClipLoader(views, [[0, 1]], data, CPU),
            ClipBatch.concatenate([b.clips for b in window_batches(some_windows, data, CPU)]),
        ]
        for batch in batches:
            assert [failure.reason for failure in batch.failures] == [reason] * num_failed


def test_a_pipe_is_refused_at_once(rows: list[Row], tmp_path: Path) -> None:
    """By a reader without workers, too, whom nobody could end."""
    os.mkfifo(tmp_path / "pipe.mp4")
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("pipe.mp4", "pipe.png"):
        row = replace(rows[0], file=tmp_path / name)
        (failure,) = evaluation_clips([row])[0].failures
        assert failure.reason == "is a pipe or a device, and wanted is a file"


def test_a_failure_is_carried_in_the_batch(rows: list[Row], broken: Row) -> None:
    """Nothing raises in a worker, nothing is put in the bad video's place."""
    mixed = [rows[0], replace(broken, index=1), rows[2]]
    keys = [[(0, 0), (0, 1), (0, 2)]]
    (batch,) = ClipLoader(train_clips(mixed), keys, ReadingSettings(num_workers=1), CPU)
    assert batch.rows.tolist() == [0, 0, 2, 2]
    (failure,) = batch.failures
    assert (failure.row, failure.path) == (1, str(broken.file))
    assert failure.reason == "invalid data found when processing input"


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_a_batch_of_failures_alone_has_no_clips(broken: Row, decoder: str) -> None:
    for dataset, key in (
        (TrainClips([broken], CLIP, WHOLE, DecodingOptions(decoder), 0, 2), (0, 0)),
        (EvaluationClips([broken], CLIP, EvaluateSettings(), DecodingOptions(decoder), 0), 0),
    ):
        batch = dataset[key]  # type: ignore[index]
        assert len(batch) == 0
        assert batch.pixel_values.shape == (0, 3, 4, 32, 32)
        assert len(batch.failures) == 1


def test_a_video_that_fails_ends_its_windows_with_a_reason(rows: list[Row], broken: Row) -> None:
    first, *others = windows([broken, rows[1]])
    assert first.clips.failures[0].path == str(broken.file)
    assert first.numbers == []
    assert {row for batch in others for row in batch.clips.rows.tolist()} == {1}


def test_windows_of_a_group_of_videos_share_batches(rows: list[Row], broken: Row) -> None:
    """Eight windows a video: a batch of five has some of two, and a bad video takes one place."""
    videos = windows([rows[0], replace(broken, index=1), rows[2], rows[3]], batch_size=5)
    alone = {row: next(iter(windows([rows[row]], batch_size=8))).clips for row in (0, 2, 3)}
    videos.groups = [[0, 1, 2], [3]]
    batches = list(videos)
    windows_of = [list(zip(b.clips.rows.tolist(), b.numbers, strict=True)) for b in batches]
    assert windows_of == [
        [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4)],
        [(0, 5), (0, 6), (0, 7), (2, 0)],
        [(2, 1), (2, 2), (2, 3), (2, 4), (2, 5)],
        [(2, 6), (2, 7)],
        [(3, 0), (3, 1), (3, 2), (3, 3), (3, 4)],
        [(3, 5), (3, 6), (3, 7)],
    ]
    assert [len(batch.clips.failures) for batch in batches] == [0, 1, 0, 0, 0, 0]
    for batch in batches:
        assert batch.totals == [8] * len(batch.clips)
        for clip, (row, number) in zip(batch.clips.pixel_values, windows_of.pop(0), strict=True):
            assert torch.equal(clip, alone[row].pixel_values[number])
