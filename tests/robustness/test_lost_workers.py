"""Loader workers that are killed, crash or hang: the video is named, and the others are read."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Iterable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from hiera_video.batch import ClipBatch, Failure
from hiera_video.commands.evaluate import EvaluateRun
from hiera_video.commands.evaluate import start as evaluate
from hiera_video.commands.features import FeatureRun
from hiera_video.commands.features import start as extract_features
from hiera_video.config.clip_groups import AugmentSettings, ClipSettings, EvaluateSettings
from hiera_video.config.groups import ReadingSettings
from hiera_video.config.machinery import parse_settings
from hiera_video.data.dataset import EvaluationClips, TrainClips
from hiera_video.data.failures import SKIPPED_FILE
from hiera_video.data.loader import ClipLoader, TrainingLoader, TrainingOrder, window_batches
from hiera_video.data.manifest import Row
from hiera_video.data.windows import VideoWindows, WindowBatch
from hiera_video.decoding.options import DecodingOptions
from hiera_video.errors import UserError
from tests.forked import run_forked
from tests.robustness.deadly_reader import DeadlyReader
from tests.support import (
    HANG_SECONDS,
    ROOT,
    TINY_ARGUMENTS,
    TINY_CLIP,
    TinyDataset,
    error_line,
    forget_accelerator,
    read_manifest,
    succeed,
    write_manifest,
    write_video,
)

CPU = torch.device("cpu")
LIMIT = DecodingOptions(timeout_seconds=HANG_SECONDS)
CLIP = ClipSettings(**TINY_CLIP)
WORKERS = ReadingSettings(num_workers=2)
REASONS = {
    "killed": "the worker that read it was killed by SIGKILL (out of memory?)",
    "crashed": "the worker that read it was killed by SIGSEGV",
    "aborted": "the worker that read it was killed by SIGABRT",
    "exiting": "the worker that read it ended with status 3",
    "hanging": f"reading took longer than data.timeout_seconds={HANG_SECONDS}",
}


@pytest.fixture(autouse=True)
def _deadly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hiera_video.decoding.open_video.VideoReader", DeadlyReader)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "video.mp4", num_frames=40)


def make_rows(video: Path, folder: Path, names: list[str]) -> list[Row]:
    """The same video under these names."""
    rows = []
    for index, name in enumerate(names):
        shutil.copy(video, folder / name)
        rows.append(Row(index, name, folder / name, {}, 0.0, None))
    return rows


def train_clips(rows: list[Row]) -> TrainClips:
    return TrainClips(rows, CLIP, AugmentSettings(), LIMIT, seed=0, repeats=2)


def training_order(num_rows: int) -> TrainingOrder:
    return TrainingOrder(
        num_rows, rows_per_batch=2, accumulate_steps=1, num_processes=1, process_index=0, seed=0
    )


def times_opened(row: Row) -> int:
    """How often workers began to read a deadly video."""
    file = row.local_file
    return (file.parent / f"{file.name}.opened").read_text().count("\n")


def wait_until_idle(workers: Sequence[BaseProcess]) -> None:
    """Wait until no thread of theirs runs or wants to: again and again, since one may wake another
    while they are being looked at."""
    seen = 0
    while seen < 10:
        stats = [stat for w in workers for stat in Path(f"/proc/{w.pid}/task").glob("*/stat")]
        states = {stat.read_text().rpartition(")")[2].split()[0] for stat in stats}
        seen = seen + 1 if states == {"S"} else 0
        time.sleep(0.01)


def failures_of(batches: list[ClipBatch]) -> list[Failure]:
    return [failure for batch in batches for failure in batch.failures]


@pytest.mark.parametrize("how", REASONS)
def test_training_goes_on_without_the_video(video: Path, tmp_path: Path, how: str) -> None:
    names = [f"{i}.mp4" for i in range(7)] + [f"{how}.mp4"]
    rows = make_rows(video, tmp_path, names)
    order = training_order(8)
    loader = TrainingLoader(train_clips(rows), order, WORKERS, CPU)
    before = signal.getsignal(signal.SIGCHLD)
    for epoch in range(2):
        batches = list(loader.batches(epoch, 0))
        expected = list(order.batches(epoch))
        assert len(batches) == 4
        for batch, keys in zip(batches, expected, strict=True):
            good = [row for _, row in keys if row != 7]
            assert batch.rows.tolist() == [row for row in good for _ in range(2)]
            alone = ClipBatch.concatenate(
                [train_clips(rows)[epoch, row] for row in good] or [batch]
            )
            assert torch.equal(batch.pixel_values, alone.pixel_values)
        assert failures_of(batches) == [Failure(7, str(rows[7].file), REASONS[how])]
        assert times_opened(rows[7]) == 1  # it is not read a second time
    assert signal.getsignal(signal.SIGCHLD) == before


def test_several_deadly_videos(video: Path, tmp_path: Path) -> None:
    names = ["killed.mp4", "a.mp4", "killed2.mp4", "exiting.mp4", "b.mp4", "aborted.mp4"]
    rows = make_rows(video, tmp_path, names)
    dataset = EvaluationClips(
        rows, CLIP, EvaluateSettings(num_clips=1, num_crops=1), DecodingOptions(), 0
    )
    batches = list(ClipLoader(dataset, [[0, 1], [2, 3], [4, 5]], WORKERS, CPU))
    assert [batch.rows.tolist() for batch in batches] == [[1], [], [4]]
    assert [failure.row for failure in failures_of(batches)] == [0, 2, 3, 5]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_videos_are_begun_again_but_for_finished_ones(
    video: Path, tmp_path: Path, num_workers: int
) -> None:
    """The other worker is in the middle of a video when one dies."""
    rows = make_rows(video, tmp_path, ["a.mp4", "b.mp4", "killed.mp4", "c.mp4", "d.mp4"])

    def windows(rows: list[Row], groups: list[list[int]]) -> VideoWindows:
        return VideoWindows(
            rows,
            groups,
            CLIP,
            DecodingOptions(),
            window_seconds=None,
            stride_seconds=None,
            batch_size=2,
        )

    def by_row(batches: Iterable[WindowBatch]) -> dict[int, list[tuple[int, float]]]:
        found: dict[int, list[tuple[int, float]]] = {}
        for batch in batches:
            starts = batch.clips.start_seconds.tolist()
            rows = batch.clips.rows.tolist()
            for row, number, start in zip(rows, batch.numbers, starts, strict=True):
                found.setdefault(row, []).append((number, start))
        return found

    settings = ReadingSettings(num_workers=num_workers)
    groups = [[0], [1], [2, 3], [4]]
    batches = list(window_batches(windows(rows, groups), settings, CPU))
    (failure,) = failures_of([batch.clips for batch in batches])
    assert failure.path == str(tmp_path / "killed.mp4")
    expected, found = by_row(windows(rows, [[0], [1], [3], [4]])), by_row(batches)
    assert found.keys() == expected.keys()
    for row, places in expected.items():
        assert found[row][-len(places) :] == places  # whole, and in order
        assert found[row].count(places[-1]) == 1


def test_a_worker_that_dies_between_videos_blames_none(video: Path, tmp_path: Path) -> None:
    rows = make_rows(video, tmp_path, [f"{i}.mp4" for i in range(20)])
    loader = TrainingLoader(train_clips(rows), training_order(20), WORKERS, CPU)
    batches = loader.batches(0, 0)
    next(batches)
    workers = multiprocessing.active_children()
    wait_until_idle(workers)  # all that is read ahead is there
    for worker in workers:
        worker.kill()
    with pytest.raises(UserError, match=r"was killed by SIGKILL .* between two videos; if memory"):
        list(batches)


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_workers_that_rest_between_two_passes(
    video: Path, tmp_path: Path, how: signal.Signals
) -> None:
    """Those that are slow to wake, as on a machine that swaps, are replaced."""
    rows = make_rows(video, tmp_path, [f"{i}.mp4" for i in range(4)])
    loader = TrainingLoader(train_clips(rows), training_order(4), WORKERS, CPU)
    expected = [batch.rows.tolist() for batch in loader.batches(0, 0)]
    resting = multiprocessing.active_children()
    for worker in resting:
        os.kill(worker.pid or 0, how)
    if how == signal.SIGKILL:
        with pytest.raises(UserError, match=r"was killed by SIGKILL .* between two videos"):
            list(loader.batches(0, 0))
    else:
        assert [batch.rows.tolist() for batch in loader.batches(0, 0)] == expected
        assert not any(worker.is_alive() for worker in resting)


# The real scripts.
RUNNER = Path(__file__).with_name("deadly_reader.py")


@pytest.fixture(scope="module")
def manifest(tiny_dataset: TinyDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine videos, of which the fifth kills its worker."""
    folder = tmp_path_factory.mktemp("deadly")
    rows = [(tiny_dataset.folder / path, label) for path, label in read_manifest(tiny_dataset.val)]
    shutil.copy(rows[4][0], folder / "killed.mp4")
    rows[4] = (folder / "killed.mp4", rows[4][1])
    shutil.copy(tiny_dataset.folder / "classes.txt", folder)
    return write_manifest(folder / "videos.csv", rows)


def train_arguments(manifest: Path, output_dir: Path) -> list[object]:
    return [
        ROOT / "scripts" / "train.py",
        *TINY_ARGUMENTS,
        f"data.train.manifest={manifest}",
        f"output_dir={output_dir}",
        "data.num_workers=2",
        "train.batch_size=3",
        "train.epochs=2",
    ]


def test_a_training_run_goes_on_and_lists_the_video(manifest: Path, tmp_path: Path) -> None:
    arguments = [*train_arguments(manifest, tmp_path), "data.on_error=skip"]
    output = succeed(run_forked(RUNNER, *arguments, "data.max_failed_share=0.2"))
    assert "done: 6 steps, 2 epochs" in output
    (line,) = (tmp_path / SKIPPED_FILE).read_text().splitlines()
    killed = {"path": str(manifest.parent / "killed.mp4"), "reason": REASONS["killed"]}
    assert json.loads(line) == killed


def test_under_raise_one_line_names_file_and_signal(manifest: Path, tmp_path: Path) -> None:
    line = error_line(run_forked(RUNNER, *train_arguments(manifest, tmp_path)))
    assert line == f"{manifest.parent / 'killed.mp4'}: {REASONS['killed']}"


def test_evaluation_and_extraction_count_the_video(
    manifest: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    common = [f"checkpoint={tiny_checkpoint}", "data.on_error=skip", "data.num_workers=2"]
    arguments = [*common, f"data.val.manifest={manifest}", f"output_dir={tmp_path / 'scores'}"]
    metrics = evaluate(parse_settings(EvaluateRun, arguments))
    assert (metrics["num_videos"], metrics["num_failed"]) == (9, 1)
    table = pq.read_table(tmp_path / "scores" / "predictions.parquet")
    assert [row["prediction"] is None for row in table.to_pylist()] == [i == 4 for i in range(9)]

    forget_accelerator()
    arguments = [*common, f"data.manifest={manifest}", f"output_dir={tmp_path / 'features'}"]
    extract_features(parse_settings(FeatureRun, arguments))
    index = pq.read_table(tmp_path / "features" / "index.parquet")
    assert index["reason"].to_pylist() == [None] * 4 + [REASONS["killed"]] + [None] * 4
    for folder in ("scores", "features"):
        assert "killed.mp4" in (tmp_path / folder / SKIPPED_FILE).read_text()
