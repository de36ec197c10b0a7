"""Figures of probes and their intervals, against scikit-learn, torchmetrics and slow loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from hiera_video.metrics.bootstrap import (
    Resamples,
    class_figures,
    interval,
    resampled_figures,
)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_scikit_learn_and_torchmetrics(seed: int) -> None:
    """Also where a class has no video, and where one is never predicted."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 5, 40)
    predictions = np.where(random.random(40) < 0.4, labels, random.integers(1, 7, 40))
    found = class_figures(labels, predictions, 8)
    expected = (
        accuracy_score(labels, predictions),
        balanced_accuracy_score(labels, predictions),
        f1_score(labels, predictions, average="macro"),
    )
    assert found == pytest.approx(expected, abs=1e-6)
    given, wanted = torch.from_numpy(predictions), torch.from_numpy(labels)
    f1 = multiclass_f1_score(given, wanted, num_classes=8, average="macro")
    top1 = multiclass_accuracy(given, wanted, num_classes=8, average="micro")
    assert (found.macro_f1, found.top1) == pytest.approx((f1.item(), top1.item()), abs=1e-6)


def test_weights_are_repetitions() -> None:
    random = np.random.default_rng(0)
    labels, predictions = random.integers(0, 4, 30), random.integers(0, 4, 30)
    weights = random.integers(0, 3, 30)
    repeated = class_figures(labels.repeat(weights), predictions.repeat(weights), 4)
    assert class_figures(labels, predictions, 4, weights) == pytest.approx(repeated, abs=1e-12)


def test_a_video_without_a_prediction_is_wrong() -> None:
    figures = class_figures(np.array([0, 0, 1, 1]), np.array([0, -1, 1, 1]), 2)
    assert figures == pytest.approx((3 / 4, (1 / 2 + 1) / 2, (2 / 3 + 1) / 2))


def test_resamples_draw_whole_units_as_a_slow_loop_does() -> None:
    units = np.array([7, 3, 3, 9, 7, 9, 9])
    resamples = Resamples(units, 50, seed=5)
    random = np.random.default_rng(5)
    for weights in resamples:
        drawn = [(3, 7, 9)[number] for number in random.integers(3, size=3)]
        assert weights.tolist() == [drawn.count(unit) for unit in units]
    again = [weights.tolist() for weights in resamples]
    assert again == [weights.tolist() for weights in resamples]


def test_intervals_are_percentiles_of_resampled_figures() -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, 20)
    predictions = np.where(random.random(20) < 0.7, labels, 1 - labels)
    resamples = Resamples(np.arange(20) // 2, 400, seed=0)
    drawn = resampled_figures(labels, predictions, 2, resamples)
    slow = [
        balanced_accuracy_score(labels.repeat(weights), predictions.repeat(weights))
        for weights in resamples
    ]
    assert drawn[:, 1] == pytest.approx(slow, abs=1e-6)
    assert interval(np.arange(1001)[::-1]) == pytest.approx((25, 975))
    assert interval(resampled_figures(labels, labels, 2, resamples)[:, 0]) == (1.0, 1.0)
