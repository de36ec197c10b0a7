"""Accuracies and losses against values counted by hand and one by one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hiera_video.batch import Failure
from hiera_video.config.clip_groups import ClipSettings
from hiera_video.data.manifest import Manifest
from hiera_video.metrics.classification import (
    classification_figures,
    mean_cross_entropy,
    per_class_accuracies,
    top_k_accuracy,
)
from hiera_video.tasks.single_label import SingleLabel
from hiera_video.tasks.task import ScoreTable
from tests.support import write_manifest

ABCD = ("a", "b", "c", "d")


def make_task(folder: Path, labels: str, classes: tuple[str, ...] = ABCD) -> tuple[Any, Manifest]:
    """A task, and a manifest of videos of one label each."""
    rows = [(f"{index}.mp4", label) for index, label in enumerate(labels)]
    task = SingleLabel(classes, ClipSettings())
    path = write_manifest(folder / "videos.csv", rows)
    return task, Manifest(path, targets=task.targets)


def make_table(manifest: Manifest, found: dict[int, list[float] | str]) -> ScoreTable:
    """A table that gives rows their scores, or the reason for none."""
    scores = {row: value for row, value in found.items() if isinstance(value, list)}
    return ScoreTable(
        manifest,
        np.array(list(scores), np.int64),
        np.array(list(scores.values()), np.float32) if scores else np.empty((0, 0), np.float32),
        [
            Failure(row, str(manifest[row].file), reason)
            for row, reason in found.items()
            if isinstance(reason, str)
        ],
    )


def measure(
    folder: Path, labels: str, found: dict[int, list[float] | str], classes: tuple[str, ...] = ABCD
) -> dict[str, Any]:
    task, manifest = make_task(folder, labels, classes)
    figures: dict[str, Any] = task.figures(make_table(manifest, found))
    return figures


def test_a_failed_video_counts_as_wrong_and_a_class_without_videos_has_no_accuracy(
    tmp_path: Path,
) -> None:
    metrics = measure(
        tmp_path,
        "aabc",
        {
            0: [0.7, 0.1, 0.1, 0.1],
            1: [0.2, 0.6, 0.1, 0.1],  # an a taken for a b
            2: "the file is empty (0 bytes)",
            3: [0.1, 0.1, 0.6, 0.2],
        },
    )
    assert list(metrics) == [
        *("top1", "top5", "balanced_accuracy", "macro_f1", "loss", "per_class")
    ]
    assert metrics["top1"] == 2 / 4
    assert metrics["top5"] == 3 / 4  # of four classes, all are among the first five
    assert metrics["loss"] == pytest.approx(-math.log(0.7 * 0.2 * 0.6) / 3, abs=1e-6)
    assert metrics["per_class"] == {"a": 0.5, "b": 0.0, "c": 1.0, "d": None}


def test_a_class_of_which_some_videos_failed(tmp_path: Path) -> None:
    right, other = [0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1]
    metrics = measure(tmp_path, "aaab", {0: right, 1: right, 2: "damaged", 3: other})
    assert metrics["top1"] == 3 / 4
    assert metrics["per_class"]["a"] == round(2 / 3, 6)


def test_top5_counts_the_five_best_of_many_classes(tmp_path: Path) -> None:
    falling = [0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05]  # e is fifth, f is sixth
    metrics = measure(tmp_path, "efga", dict.fromkeys(range(4), falling), tuple("abcdefg"))
    assert metrics["top1"] == 1 / 4
    assert metrics["top5"] == 2 / 4


@pytest.mark.filterwarnings("error")
def test_when_every_video_failed_nothing_is_right(tmp_path: Path) -> None:
    metrics = measure(tmp_path, "ab", {0: "damaged", 1: "damaged"})
    assert (metrics["top1"], metrics["top5"]) == (0, 0)
    assert metrics["loss"] is None
    assert metrics["per_class"] == {"a": 0, "b": 0, "c": None, "d": None}


def test_a_single_class_is_always_right(tmp_path: Path) -> None:
    metrics = measure(tmp_path, "aa", {0: [1.0], 1: [1.0]}, ("a",))
    assert (metrics["top1"], metrics["top5"], metrics["per_class"]) == (1, 1, {"a": 1})
    assert metrics["loss"] == 0


@pytest.mark.parametrize(("num_videos", "num_classes"), [(50, 2), (60, 9), (9000, 12)])
def test_figures_are_those_of_counting_one_by_one(num_videos: int, num_classes: int) -> None:
    """Of more videos, too, than are counted at a time."""
    generator = torch.Generator().manual_seed(num_videos)
    scores = torch.rand(num_videos, num_classes, generator=generator).softmax(-1)
    labels = torch.randint(num_classes - 1, (num_videos,), generator=generator)  # none of the last
    failed = torch.randint(num_classes - 1, (7,), generator=generator)
    total = num_videos + 7
    ranks = [
        sum(other > row[label] for other in row)
        for row, label in zip(scores.tolist(), labels.tolist(), strict=True)
    ]
    for k in (1, 2, 5):
        expected = sum(rank < k for rank in ranks) / total
        if k <= num_classes:
            assert top_k_accuracy(scores, labels, k, 7) == pytest.approx(expected, abs=1e-9)
    per_class = per_class_accuracies(scores, labels, failed)
    for label, accuracy in enumerate(per_class[:-1]):
        of_label = [rank == 0 for rank, one in zip(ranks, labels, strict=True) if one == label]
        count = len(of_label) + int((failed == label).sum())
        assert accuracy == pytest.approx(sum(of_label) / count, abs=1e-9)
    assert per_class[-1] is None
    losses = [-math.log(scores[i, label].item()) for i, label in enumerate(labels)]
    assert mean_cross_entropy(scores, labels) == pytest.approx(sum(losses) / num_videos, abs=1e-9)
    names = [str(label) for label in range(num_classes)]
    figures = classification_figures(scores, labels, failed, names)
    assert figures["top1"] == round(sum(rank == 0 for rank in ranks) / total, 6)


def test_a_probability_of_zero_costs_what_can_be_told() -> None:
    """The smallest number of its type stands for it: a mean of infinity would say nothing."""
    loss = mean_cross_entropy(torch.tensor([[1.0, 0.0]]), torch.tensor([1]))
    assert loss == pytest.approx(-math.log(torch.finfo(torch.float32).tiny))


def test_without_any_video_there_is_nothing_to_measure() -> None:
    none, no_labels = torch.empty(0, 3), torch.empty(0, dtype=torch.int64)
    assert top_k_accuracy(none, no_labels, 1) is None
    assert mean_cross_entropy(none, no_labels) is None
    assert per_class_accuracies(none, no_labels, no_labels) == [None] * 3


def test_doubts_name_what_could_not_be_read(tmp_path: Path) -> None:
    right = [0.7, 0.1, 0.1, 0.1]
    task, manifest = make_task(tmp_path, "aab")
    assert task.doubts(make_table(manifest, {0: right, 1: "damaged", 2: right})) == []
    (lost,) = task.doubts(make_table(manifest, {0: right, 1: right, 2: "damaged"}))
    assert lost == (
        "no video of 'b' could be read, and each counts as wrong: the accuracy of 0 says nothing "
        "about the model"
    )
    (nothing,) = task.doubts(make_table(manifest, dict.fromkeys(range(3), "damaged")))
    assert nothing.startswith("none of 3 videos could be read, and each counts as wrong")
    classes = tuple("abcdefgh")
    task, manifest = make_task(tmp_path, "aabcdefgh", classes)
    found: dict[int, list[float] | str] = dict.fromkeys(range(2, 9), "damaged")
    (lost,) = task.doubts(make_table(manifest, {0: [1.0] * 8, 1: [1.0] * 8, **found}))
    assert lost.startswith("no video of 'b', 'c', 'd', 'e', 'f' and 2 more could be read")
    task, manifest = make_task(tmp_path, "aa")
    (single,) = task.doubts(make_table(manifest, {0: right, 1: right}))
    assert single.startswith("all videos are of one class, 'a': their accuracy does not say")


def test_predictions_are_names_and_failed_videos_have_none(tmp_path: Path) -> None:
    task, manifest = make_task(tmp_path, "aba")
    scores: dict[int, list[float] | str] = {0: [0.1, 0.1, 0.7, 0.1], 2: [0.4, 0.4, 0.1, 0.1]}
    columns = task.predictions(make_table(manifest, {**scores, 1: "damaged"}))
    assert list(columns) == ["label", "prediction", "scores"]
    assert columns["label"].to_pylist() == ["a", "b", "a"]
    assert columns["prediction"].to_pylist() == ["c", None, "a"]  # of equal scores, the first
    found = [pytest.approx(scores[0]), None, pytest.approx(scores[2])]
    assert columns["scores"].to_pylist() == found


def test_where_every_video_failed_there_are_no_predictions(tmp_path: Path) -> None:
    task, manifest = make_task(tmp_path, "ab")
    columns = task.predictions(make_table(manifest, {0: "damaged", 1: "damaged"}))
    assert columns["label"].to_pylist() == ["a", "b"]
    assert columns["prediction"].to_pylist() == columns["scores"].to_pylist() == [None, None]


def test_probabilities_are_computed_in_single_precision() -> None:
    task = SingleLabel(ABCD, ClipSettings())
    scores = task.scores(torch.tensor([[1.0, 2.0, 3.0, 4.0]], dtype=torch.bfloat16))
    assert scores.dtype == torch.float32
    assert scores.sum().item() == pytest.approx(1)
    assert scores[0].diff().min() > 0
