"""``scripts/evaluate.py``: the files of an evaluation."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from hiera_video.commands.evaluate import EvaluateRun
from hiera_video.commands.evaluate import start as evaluate
from hiera_video.config.machinery import parse_settings
from hiera_video.data.failures import SKIPPED_FILE
from tests.support import (
    TinyDataset,
    copy_dataset,
    error_line,
    files_below,
    forget_accelerator,
    read_manifest,
    run_script,
    succeed,
    write_manifest,
)

FILES = ["metrics.json", "predictions.parquet", "report.html"]


def evaluate_here(checkpoint: Path, manifest: Path, output_dir: Path, *more: str) -> dict[str, Any]:
    """An evaluation in this process."""
    arguments = [
        f"checkpoint={checkpoint}",
        f"data.val.manifest={manifest}",
        f"output_dir={output_dir}",
        "data.num_workers=0",
        "evaluate.num_clips=2",
        "evaluate.num_crops=1",
    ]
    run = parse_settings(EvaluateRun, [*arguments, *more])
    return evaluate(run)


@pytest.fixture(scope="module")
def broken_dataset(
    tiny_dataset: TinyDataset, tmp_path_factory: pytest.TempPathFactory
) -> TinyDataset:
    """Nine validation videos, two of which are no videos."""
    dataset = copy_dataset(tiny_dataset, tmp_path_factory.mktemp("broken") / "dataset")
    for row, content in ((1, b""), (5, b"this is a text\n" * 100)):
        (dataset.folder / read_manifest(dataset.val)[row][0]).write_bytes(content)
    return dataset


@pytest.fixture(scope="module")
def evaluated(
    broken_dataset: TinyDataset, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An evaluation by ``accelerate launch``, past the bad videos."""
    output_dir = tmp_path_factory.mktemp("evaluated") / "new" / "folder"
    result = run_script(
        "evaluate",
        f"checkpoint={tiny_checkpoint}",
        f"data.val.manifest={broken_dataset.val}",
        f"output_dir={output_dir}",
        "data.on_error=skip",
        "data.num_workers=1",
        "evaluate.num_clips=2",
        "evaluate.num_crops=3",
        accelerate=True,
    )
    lines = succeed(result).splitlines()
    metrics = json.loads((output_dir / "metrics.json").read_text())
    figures = f"top-1 {metrics['top1']:.4f}  top-5 {metrics['top5']:.4f}"
    figures += "".join(
        f"  {title} {metrics[name]:.4f}"
        for title, name in (("balanced accuracy", "balanced_accuracy"), ("macro F1", "macro_f1"))
    )
    assert f"{figures}  9 videos, 2 failed  -> {output_dir}" in lines
    return output_dir


def test_the_files_of_the_contract(evaluated: Path) -> None:
    assert files_below(evaluated) == [*FILES, SKIPPED_FILE]


def test_predictions_have_a_row_per_manifest_row(
    evaluated: Path, broken_dataset: TinyDataset
) -> None:
    table = pq.read_table(evaluated / "predictions.parquet").to_pydict()
    assert list(table) == ["path", "label", "prediction", "scores"]
    rows = list(zip(table["path"], table["label"], strict=True))
    assert rows == read_manifest(broken_dataset.val)
    for row, (prediction, scores) in enumerate(
        zip(table["prediction"], table["scores"], strict=True)
    ):
        if row in (1, 5):
            assert prediction is None
            assert scores is None
        else:
            assert sum(scores) == pytest.approx(1, abs=1e-5)
            assert prediction == broken_dataset.classes[scores.index(max(scores))]


def test_metrics_agree_with_the_predictions(
    evaluated: Path, broken_dataset: TinyDataset, tiny_checkpoint: Path
) -> None:
    metrics = json.loads((evaluated / "metrics.json").read_text())
    assert list(metrics) == [
        *("top1", "top5", "balanced_accuracy", "macro_f1", "loss", "num_videos", "num_failed"),
        *("per_class", "failed", "settings"),
    ]
    table = pq.read_table(evaluated / "predictions.parquet").to_pydict()
    found = [
        -math.log(scores[broken_dataset.classes.index(label)])
        for scores, label in zip(table["scores"], table["label"], strict=True)
        if scores is not None
    ]
    assert metrics["loss"] == pytest.approx(sum(found) / 7, abs=1e-6)
    right = [p == label for p, label in zip(table["prediction"], table["label"], strict=True)]
    assert metrics["top1"] == pytest.approx(sum(right) / 9)
    assert metrics["top5"] == pytest.approx(7 / 9)
    assert metrics["num_videos"] == 9
    assert metrics["num_failed"] == 2
    for index, name in enumerate(broken_dataset.classes):
        assert metrics["per_class"][name] == pytest.approx(sum(right[index::3]) / 3)
    settings = metrics["settings"]
    assert settings["checkpoint"] == str(tiny_checkpoint)
    assert settings["manifest"] == str(broken_dataset.val)
    assert (settings["num_clips"], settings["num_crops"]) == (2, 3)


def test_failed_videos_are_named_with_their_reasons(
    evaluated: Path, broken_dataset: TinyDataset
) -> None:
    paths = [read_manifest(broken_dataset.val)[row][0] for row in (1, 5)]
    reasons = ["the file is empty (0 bytes)", "invalid data found when processing input"]
    metrics = json.loads((evaluated / "metrics.json").read_text())
    assert [(video["path"], video["reason"]) for video in metrics["failed"]] == list(
        zip(paths, reasons, strict=True)
    )
    page = (evaluated / "report.html").read_text()
    assert all(text in page for text in [*paths, *reasons, "<td>clip.num_frames</td>"])
    skipped = [json.loads(line) for line in (evaluated / SKIPPED_FILE).read_text().splitlines()]
    assert [entry["path"] for entry in skipped] == [str(broken_dataset.folder / p) for p in paths]


def test_raise_ends_in_one_line_and_writes_nothing(
    broken_dataset: TinyDataset, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    line = error_line(
        run_script(
            "evaluate",
            f"checkpoint={tiny_checkpoint}",
            f"data.val.manifest={broken_dataset.val}",
            f"output_dir={tmp_path / 'run'}",
        )
    )
    bad = broken_dataset.folder / read_manifest(broken_dataset.val)[1][0]
    assert line == f"{bad}: the file is empty (0 bytes)"
    assert files_below(tmp_path / "run") == []


def test_a_second_evaluation_forgets_the_failures_of_the_first(
    tiny_dataset: TinyDataset, broken_dataset: TinyDataset, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    evaluate_here(tiny_checkpoint, broken_dataset.val, tmp_path, "data.on_error=skip")
    assert (tmp_path / SKIPPED_FILE).exists()
    metrics = evaluate_here(tiny_checkpoint, tiny_dataset.val, tmp_path, "data.on_error=skip")
    assert metrics["num_failed"] == 0
    assert files_below(tmp_path) == FILES


def test_batches_workers_and_decoders_change_nothing(
    tiny_dataset: TinyDataset, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    expected = evaluate_here(tiny_checkpoint, tiny_dataset.val, tmp_path / "one")
    scores = pq.read_table(tmp_path / "one" / "predictions.parquet")["scores"].to_pylist()
    for name, more in {
        "batched": ["evaluate.batch_size=4"],
        "workers": ["data.num_workers=2"],
        "decord": ["data.decoder=decord"],
    }.items():
        metrics = evaluate_here(tiny_checkpoint, tiny_dataset.val, tmp_path / name, *more)
        assert metrics["top1"] == expected["top1"]
        found = pq.read_table(tmp_path / name / "predictions.parquet")["scores"].to_pylist()
        for one, other in zip(found, scores, strict=True):
            assert one == pytest.approx(other, abs=1e-5)


@pytest.mark.long
def test_a_process_may_have_no_video(
    tiny_dataset: TinyDataset, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """One video and two processes, the other of which cannot know how many classes there are."""
    path, label = read_manifest(tiny_dataset.val)[1]
    manifest = write_manifest(tmp_path / "one.csv", [(tiny_dataset.folder / path, label)])
    evaluate_here(tiny_checkpoint, manifest, tmp_path / "one")
    arguments = [
        f"checkpoint={tiny_checkpoint}",
        f"data.val.manifest={manifest}",
        f"output_dir={tmp_path / 'two'}",
        "data.num_workers=0",
        "evaluate.num_clips=2",
        "evaluate.num_crops=1",
    ]
    assert "1 videos, 0 failed" in succeed(run_script("evaluate", *arguments, num_processes=2))
    for name in FILES:
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_shuffled_frames_and_bf16_are_settings_of_their_own(
    tiny_dataset: TinyDataset, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    more = ["evaluate.shuffle_frames=true", "precision=bf16"]
    metrics = evaluate_here(tiny_checkpoint, tiny_dataset.val, tmp_path, *more)
    assert metrics["settings"]["shuffle_frames"] is True
    assert metrics["settings"]["precision"] == "bf16"


def test_bf16_is_computed_in_and_changes_scores_a_little(
    tiny_dataset: TinyDataset, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    scores = []
    for precision in ("fp32", "bf16"):
        output_dir = tmp_path / precision
        evaluate_here(tiny_checkpoint, tiny_dataset.val, output_dir, f"precision={precision}")
        forget_accelerator()
        scores.append(pq.read_table(output_dir / "predictions.parquet")["scores"].to_pylist())
    largest = abs(np.array(scores[0]) - np.array(scores[1])).max()
    assert 1e-4 < largest < 0.05


def test_settings_of_clips_in_place_of_the_checkpoints(
    tiny_dataset: TinyDataset, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """They change what is seen, and the metrics tell them and those that were not given."""
    scores = []
    for name, more in (("own", []), ("given", ["clip.stride=5", "clip.short_side=40"])):
        metrics = evaluate_here(tiny_checkpoint, tiny_dataset.val, tmp_path / name, *more)
        scores.append(pq.read_table(tmp_path / name / "predictions.parquet")["scores"])
    clip = metrics["settings"]["clip"]
    assert (clip["stride"], clip["short_side"], clip["num_frames"]) == (5, 40, 4)
    assert clip == json.loads((tmp_path / "given/metrics.json").read_text())["settings"]["clip"]
    assert scores[0] != scores[1]


def test_labels_follow_the_checkpoint_not_the_manifest(
    tiny_dataset: TinyDataset, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """A manifest of two of its three classes, in another folder, without ``classes.txt``."""
    rows = [
        (tiny_dataset.folder / path, label)
        for path, label in read_manifest(tiny_dataset.val)
        if label != "blue"
    ]
    manifest = write_manifest(tmp_path / "two.csv", rows)
    metrics = evaluate_here(tiny_checkpoint, manifest, tmp_path / "run")
    assert list(metrics["per_class"]) == list(tiny_dataset.classes)
    assert metrics["per_class"]["blue"] is None
