"""Accuracies against values counted by hand, and the page that shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hiera_video.data.manifest import Manifest
from hiera_video.evaluation.metrics import compute_metrics
from hiera_video.evaluation.report import predictions_table, render_report
from hiera_video.evaluation.views import VideoScores
from tests.support import write_manifest

ABCD = ("a", "b", "c", "d")


def make_manifest(folder: Path, labels: str, classes: tuple[str, ...] = ABCD) -> Manifest:
    rows = [(f"{index}.mp4", label) for index, label in enumerate(labels)]
    return Manifest(write_manifest(folder / "videos.csv", rows), classes=classes)


def test_a_failed_video_counts_as_wrong_and_a_class_without_videos_has_no_accuracy(
    tmp_path: Path,
) -> None:
    manifest = make_manifest(tmp_path, "aabc")
    videos = [
        VideoScores(0, [0.7, 0.1, 0.1, 0.1]),
        VideoScores(1, [0.2, 0.6, 0.1, 0.1]),  # an a taken for a b
        VideoScores(2, None, "the file is empty (0 bytes)"),
        VideoScores(3, [0.1, 0.1, 0.6, 0.2]),
    ]
    metrics = compute_metrics(manifest, videos)
    assert metrics["top1"] == pytest.approx(2 / 4)
    assert metrics["top5"] == pytest.approx(3 / 4)  # of four classes, all are among the first five
    assert metrics["num_videos"] == 4
    assert metrics["num_failed"] == 1
    assert metrics["per_class"] == {"a": 0.5, "b": 0.0, "c": 1.0, "d": None}
    assert metrics["failed"] == [{"path": "2.mp4", "reason": "the file is empty (0 bytes)"}]


def test_a_class_of_which_some_videos_failed(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path, "aaab")
    videos = [
        VideoScores(0, [0.7, 0.1, 0.1, 0.1]),
        VideoScores(1, [0.7, 0.1, 0.1, 0.1]),
        VideoScores(2, None, "damaged"),
        VideoScores(3, [0.1, 0.7, 0.1, 0.1]),
    ]
    metrics = compute_metrics(manifest, videos)
    assert metrics["top1"] == pytest.approx(3 / 4)
    assert metrics["per_class"]["a"] == pytest.approx(2 / 3)


def test_top5_counts_the_five_best_of_many_classes(tmp_path: Path) -> None:
    classes = tuple("abcdefg")
    manifest = make_manifest(tmp_path, "efga", classes)
    falling = [0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05]  # e is fifth, f is sixth
    metrics = compute_metrics(manifest, [VideoScores(row, falling) for row in range(4)])
    assert metrics["top1"] == pytest.approx(1 / 4)
    assert metrics["top5"] == pytest.approx(2 / 4)


def test_when_every_video_failed_nothing_is_right(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path, "ab")
    metrics = compute_metrics(manifest, [VideoScores(row, None, "damaged") for row in range(2)])
    assert (metrics["top1"], metrics["top5"], metrics["num_failed"]) == (0, 0, 2)
    assert metrics["per_class"] == {"a": 0, "b": 0, "c": None, "d": None}


def test_a_single_class_is_always_right(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path, "aa", ("a",))
    metrics = compute_metrics(manifest, [VideoScores(row, [1.0]) for row in range(2)])
    assert (metrics["top1"], metrics["top5"], metrics["per_class"]) == (1, 1, {"a": 1})


def test_predictions_are_names_and_failed_videos_have_none(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path, "ab")
    videos = [VideoScores(0, [0.1, 0.1, 0.7, 0.1]), VideoScores(1, None, "damaged")]
    table = predictions_table(manifest, videos).to_pydict()
    assert table["path"] == ["0.mp4", "1.mp4"]
    assert table["label"] == ["a", "b"]
    assert table["prediction"] == ["c", None]
    assert table["scores"] == [pytest.approx([0.1, 0.1, 0.7, 0.1]), None]


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
