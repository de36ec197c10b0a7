"""The figures of every task against scikit-learn, torchmetrics and values counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.metrics as reference
import torch
from torchmetrics.functional import classification, regression

from hiera_video.metrics.classification import classification_figures
from hiera_video.metrics.multi_label import (
    average_precision,
    best_thresholds,
    binary_cross_entropy,
    multi_label_figures,
)
from hiera_video.metrics.regression import regression_figures

#: Figures are rounded to six digits.
CLOSE = 1e-6


def names(count: int) -> list[str]:
    return [f"class {number}" for number in range(count)]


def draw_sets(seed: int, num_videos: int = 400, num_classes: int = 7) -> tuple[Any, Any, Any]:
    """Scores, some of them equal, sets of labels of which one class is nobody's, thresholds."""
    draw = np.random.default_rng(seed)
    scores = draw.random((num_videos, num_classes)).round(2).astype(np.float32)
    labels = draw.random((num_videos, num_classes)) < 0.3 * scores + np.linspace(0, 0.3, 7)
    labels[:, 2] = False
    return scores, labels, draw.random(num_classes)


@pytest.mark.parametrize("num_failed", [0, 30])
def test_figures_of_sets_of_labels(num_failed: int) -> None:
    scores, labels, thresholds = draw_sets(0)
    read = slice(len(labels) - num_failed)
    figures = multi_label_figures(
        scores[read], labels[read], labels[len(labels) - num_failed :], thresholds, names(7)
    )
    # What could not be read is nothing that was found.
    scores[len(labels) - num_failed :] = 0
    there = [number for number in range(7) if number != 2]
    found = scores >= thresholds
    found[len(labels) - num_failed :] = False
    ours = [figures[name] for name in ("map", "micro_f1", "macro_f1")]
    assert ours == pytest.approx(
        [
            reference.average_precision_score(labels[:, there], scores[:, there], average="macro"),
            reference.f1_score(labels, found, average="micro"),
            reference.f1_score(labels, found, average="macro", labels=there),
        ],
        abs=CLOSE,
    )
    tensors = torch.from_numpy(scores[:, there]), torch.from_numpy(labels[:, there]).int()
    per_class = classification.multilabel_average_precision(*tensors, 6, average="none")
    assert [figures["per_class_ap"][names(7)[number]] for number in there] == pytest.approx(
        per_class.tolist(), abs=CLOSE
    )
    of_found = torch.from_numpy(found[:, there]).int()
    per_class = classification.multilabel_f1_score(of_found, tensors[1], 6, average="none")
    assert [figures["per_class_f1"][names(7)[number]] for number in there] == pytest.approx(
        per_class.tolist(), abs=CLOSE
    )
    micro = classification.multilabel_f1_score(
        torch.from_numpy(found).int(), torch.from_numpy(labels).int(), 7, average="micro"
    )
    assert figures["micro_f1"] == pytest.approx(micro.item(), abs=CLOSE)
    assert figures["per_class_ap"]["class 2"] is figures["per_class_f1"]["class 2"] is None


def test_failed_videos_lower_every_figure_of_sets() -> None:
    scores, labels, thresholds = draw_sets(1)
    whole = multi_label_figures(scores, labels, labels[:0], thresholds, names(7))
    partly = multi_label_figures(scores[:300], labels[:300], labels[300:], thresholds, names(7))
    for name in ("map", "micro_f1", "macro_f1"):
        assert partly[name] < whole[name]


def test_loss_of_sets() -> None:
    scores, labels, _ = draw_sets(2)
    scores = scores.clip(0.01, 0.99)
    loss = torch.nn.functional.binary_cross_entropy(
        torch.from_numpy(scores).double(), torch.from_numpy(labels).double()
    )
    assert binary_cross_entropy(scores, labels) == pytest.approx(loss.item(), abs=CLOSE)
    assert binary_cross_entropy(scores[:0], labels[:0]) is None
    assert binary_cross_entropy(np.zeros((1, 1)), np.ones((1, 1), bool)) == pytest.approx(87.3365)


def test_nothing_is_defined_without_videos() -> None:
    nothing = np.empty((0, 2), np.float32)
    figures = multi_label_figures(nothing, nothing > 0, nothing > 0, np.full(2, 0.5), names(2))
    assert figures["map"] is figures["micro_f1"] is figures["macro_f1"] is figures["loss"] is None


def test_average_precision_counted_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.8, 0.1])
    assert average_precision(scores, np.array([True, False, True, False])) == (1 + 2 / 3) / 2
    assert average_precision(scores, np.zeros(4, bool)) is None


def test_thresholds_have_the_largest_f1() -> None:
    scores, labels, _ = draw_sets(3)
    chosen = best_thresholds(scores, labels)
    assert chosen[2] == 0.5  # no video to choose it by
    for number in (0, 1, 3, 4, 5, 6):
        f1 = [
            reference.f1_score(labels[:, number], scores[:, number] >= threshold)
            for threshold in (chosen[number], *np.linspace(0, 1, 201))
        ]
        assert f1[0] == max(f1)


def test_a_threshold_lies_between_scores_and_is_the_highest_that_is_best() -> None:
    scores = np.array([[0.75], [0.5], [0.25]], np.float32)
    of = {
        (True, False, False): (0.75 + 0.5) / 2,
        (True, True, False): (0.5 + 0.25) / 2,
        (True, True, True): 0.125,
        (False, True, False): (0.5 + 0.25) / 2,
        (True, False, True): 0.125,
    }
    for labels, threshold in of.items():
        assert best_thresholds(scores, np.array(labels)[:, None]).tolist() == [threshold], labels


@pytest.mark.parametrize("num_failed", [0, 30])
def test_figures_of_one_label(num_failed: int) -> None:
    draw = np.random.default_rng(4)
    scores = draw.dirichlet(np.full(6, 0.5), 300).astype(np.float32)
    labels = np.array([draw.choice(5, p=[0.6, 0.2, 0.1, 0.05, 0.05]) for _ in range(300)])
    read = slice(300 - num_failed)
    figures = classification_figures(
        torch.from_numpy(scores[read]),
        torch.from_numpy(labels[read]),
        torch.from_numpy(labels[300 - num_failed :]),
        names(6),
    )
    predicted = scores.argmax(1)
    predicted[300 - num_failed :] = 9  # no class at all
    recalls = reference.recall_score(labels, predicted, labels=range(5), average="macro")
    assert figures["balanced_accuracy"] == pytest.approx(recalls, abs=CLOSE)
    f1 = reference.f1_score(labels, predicted, labels=range(6), average="macro")
    assert figures["macro_f1"] == pytest.approx(f1, abs=CLOSE)
    if not num_failed:
        tensors = torch.from_numpy(scores), torch.from_numpy(labels)
        f1 = classification.multiclass_f1_score(*tensors, 6, average="macro").item()
        assert figures["macro_f1"] == pytest.approx(f1, abs=CLOSE)
        balanced = reference.balanced_accuracy_score(labels, predicted)
        assert figures["balanced_accuracy"] == pytest.approx(balanced, abs=CLOSE)
        accuracy = classification.multiclass_accuracy(*tensors, 6, average="none")[:5].mean()
        assert figures["balanced_accuracy"] == pytest.approx(accuracy.item(), abs=CLOSE)


def test_one_label_without_videos() -> None:
    nothing = torch.empty(0, 3), torch.empty(0, dtype=torch.int64)
    figures = classification_figures(*nothing, nothing[1], names(3))
    assert figures["macro_f1"] is figures["balanced_accuracy"] is None


def test_figures_of_numbers() -> None:
    draw = np.random.default_rng(5)
    wanted = np.stack([draw.normal(5e3, 20, 200), draw.integers(0, 4, 200)], axis=1)
    predicted = wanted + draw.normal(0, [15, 1], (200, 2))
    predicted[::7, 1] = 1.5  # equal ones share a rank
    figures = regression_figures(predicted, wanted, ["height", "number"])
    arguments = {"multioutput": "raw_values"}
    for name, values in {
        "mae": reference.mean_absolute_error(wanted, predicted, **arguments),
        "rmse": reference.root_mean_squared_error(wanted, predicted, **arguments),
        "r2": reference.r2_score(wanted, predicted, **arguments),
    }.items():
        assert list(figures[f"{name}_per_target"].values()) == pytest.approx(values, abs=CLOSE)
        assert figures[name] == pytest.approx(values.mean(), abs=CLOSE)
    tensors = torch.from_numpy(predicted), torch.from_numpy(wanted)
    ranks = regression.spearman_corrcoef(*tensors)
    assert list(figures["spearman_per_target"].values()) == pytest.approx(ranks.tolist(), abs=CLOSE)
    errors = regression.mean_absolute_error(*tensors, num_outputs=2)
    assert list(figures["mae_per_target"].values()) == pytest.approx(errors.tolist(), abs=CLOSE)


def test_numbers_without_variance_have_no_correlation() -> None:
    constant, varied = np.ones((3, 1)), np.arange(3.0)[:, None]
    figures = regression_figures(varied, constant, ["a"])
    assert (figures["r2"], figures["spearman"], figures["mae"]) == (
        None,
        None,
        pytest.approx(2 / 3),
    )
    figures = regression_figures(constant, varied, ["a"])
    assert (figures["r2"], figures["spearman"]) == (0, None)
    assert set(regression_figures(varied[:0], varied[:0], ["a"])) > {"mae", "rmse_per_target"}
    assert regression_figures(varied[:0], varied[:0], ["a"])["mae"] is None
