"""Accuracies against values counted by hand, and the page that shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hiera_video.batch import Failure
from hiera_video.data.manifest import Manifest
from hiera_video.evaluation.metrics import VideoAccuracies
from hiera_video.evaluation.report import predictions_table, render_report
from hiera_video.evaluation.views import VideoScores, class_labels, gather_scores
from tests.support import open_labelled, write_manifest

ABCD = ("a", "b", "c", "d")


def make_manifest(folder: Path, labels: str, classes: tuple[str, ...] = ABCD) -> Manifest:
    rows = [(f"{index}.mp4", label) for index, label in enumerate(labels)]
    return open_labelled(write_manifest(folder / "videos.csv", rows), classes)[0]


def measure(manifest: Manifest, *batches: dict[int, list[float] | str]) -> dict[str, Any]:
    """Metrics of batches, each of which gives rows their scores, or the reason for none."""
    accuracies = VideoAccuracies(manifest, torch.device("cpu"))
    for batch in batches:
        scores = {row: value for row, value in batch.items() if isinstance(value, list)}
        failures = [
            Failure(row, str(manifest[row].file), reason)
            for row, reason in batch.items()
            if isinstance(reason, str)
        ]
        accuracies.update(
            VideoScores(
                torch.tensor(list(scores), dtype=torch.int64),
                torch.tensor(
                    [manifest[row].targets["labels"] for row in scores], dtype=torch.int64
                ),
                torch.tensor(list(scores.values())).view(-1, len(class_labels(manifest).classes)),
                failures,
            )
        )
    return accuracies.compute()


def test_a_failed_video_counts_as_wrong_and_a_class_without_videos_has_no_accuracy(
    tmp_path: Path,
) -> None:
    """Batches come in any order; one has nothing but a failure."""
    metrics = measure(
        make_manifest(tmp_path, "aabc"),
        {3: [0.1, 0.1, 0.6, 0.2]},
        {2: "the file is empty (0 bytes)"},
        {0: [0.7, 0.1, 0.1, 0.1], 1: [0.2, 0.6, 0.1, 0.1]},  # row 1: an a taken for a b
    )
    assert metrics["top1"] == pytest.approx(2 / 4)
    assert metrics["top5"] == pytest.approx(3 / 4)  # of four classes, all are among the first five
    assert metrics["num_videos"] == 4
    assert metrics["num_failed"] == 1
    assert metrics["per_class"] == {"a": 0.5, "b": 0.0, "c": 1.0, "d": None}
    assert metrics["failed"] == [{"path": "2.mp4", "reason": "the file is empty (0 bytes)"}]


def test_a_class_of_which_some_videos_failed(tmp_path: Path) -> None:
    right, other = [0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1]
    manifest = make_manifest(tmp_path, "aaab")
    metrics = measure(manifest, {0: right, 1: right, 2: "damaged", 3: other})
    assert metrics["top1"] == pytest.approx(3 / 4)
    assert metrics["per_class"]["a"] == pytest.approx(2 / 3)


def test_failed_videos_are_listed_in_manifest_order(tmp_path: Path) -> None:
    metrics = measure(make_manifest(tmp_path, "abc"), {2: "x"}, {0: "y"}, {1: [1.0, 0, 0, 0]})
    assert [video["path"] for video in metrics["failed"]] == ["0.mp4", "2.mp4"]


def test_top5_counts_the_five_best_of_many_classes(tmp_path: Path) -> None:
    classes = tuple("abcdefg")
    manifest = make_manifest(tmp_path, "efga", classes)
    falling = [0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05]  # e is fifth, f is sixth
    metrics = measure(manifest, dict.fromkeys(range(4), falling))
    assert metrics["top1"] == pytest.approx(1 / 4)
    assert metrics["top5"] == pytest.approx(2 / 4)


@pytest.mark.filterwarnings("error")
def test_when_every_video_failed_nothing_is_right(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path, "ab")
    metrics = measure(manifest, {0: "damaged", 1: "damaged"})
    assert (metrics["top1"], metrics["top5"], metrics["num_failed"]) == (0, 0, 2)
    assert metrics["per_class"] == {"a": 0, "b": 0, "c": None, "d": None}


def test_a_single_class_is_always_right(tmp_path: Path) -> None:
    metrics = measure(make_manifest(tmp_path, "aa", ("a",)), {0: [1.0], 1: [1.0]})
    assert (metrics["top1"], metrics["top5"], metrics["per_class"]) == (1, 1, {"a": 1})


def test_scores_are_four_bytes_each_and_in_manifest_order() -> None:
    batches = [
        (np.array([4, 2]), np.array([[0.4, 0.6], [0.2, 0.8]], np.float32)),
        (np.array([], np.int64), np.empty((0, 2), np.float32)),
        (np.array([0]), np.array([[0.1, 0.9]], np.float32)),
    ]
    rows, scores = gather_scores(batches)
    assert rows.tolist() == [0, 2, 4]
    assert scores.dtype == np.float32
    assert scores[:, 0].tolist() == pytest.approx([0.1, 0.2, 0.4])


def test_predictions_are_names_and_failed_videos_have_none(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path, "aba")
    scores = np.array([[0.1, 0.1, 0.7, 0.1], [0.4, 0.4, 0.1, 0.1]], np.float32)
    table = predictions_table(manifest, np.array([0, 2]), scores).to_pydict()
    assert table["path"] == ["0.mp4", "1.mp4", "2.mp4"]
    assert table["label"] == ["a", "b", "a"]
    assert table["prediction"] == ["c", None, "a"]  # of equal scores, the first
    found = [pytest.approx([0.1, 0.1, 0.7, 0.1]), None, pytest.approx([0.4, 0.4, 0.1, 0.1])]
    assert table["scores"] == found


def test_the_report_escapes_names_and_reasons() -> None:
    metrics = {
        "top1": 0.5,
        "top5": 1.0,
        "num_videos": 2,
        "num_failed": 1,
        "per_class": {"<b>bold</b>": 0.5, "empty": None},
        "failed": [{"path": "<script>alert(1)</script>.mp4", "reason": "a < b & c"}],
        "settings": {"checkpoint": "<i>"},
    }
    page = render_report(metrics, [("<b>bold</b>", "other", 3)])
    assert "<script>" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.mp4" in page
    assert "a &lt; b &amp; c" in page
    assert "no video" in page
