"""Figures of classification with intervals: how far they go where other videos are drawn.

Axes: V videos, K classes, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

#: Of the resampled figures, the interval has so many.
_CONFIDENCE = 0.95


class ClassFigures(NamedTuple):
    """``top1`` is the share of videos that are right; ``balanced_accuracy`` the mean of that share
    over the classes that videos have; ``macro_f1`` the mean of F1 over the classes that videos have
    or were taken for."""

    top1: float
    balanced_accuracy: float
    macro_f1: float


def class_figures(
    labels: np.ndarray,
    predictions: np.ndarray,
    num_classes: int,
    weights: np.ndarray | None = None,
) -> ClassFigures:
    """Figures of V videos, at least one.

    Args:
        labels: class indices ``(V,)``.
        predictions: class indices ``(V,)``; -1 is no class, which is wrong.
        weights: how often each video counts ``(V,)``; default: once.
    """
    weights = np.ones(len(labels)) if weights is None else weights.astype(np.float64)
    right, some = labels == predictions, predictions >= 0

    def count(classes: np.ndarray, which: np.ndarray) -> np.ndarray:
        return np.bincount(classes[which], weights[which], num_classes)

    hits, of_class = count(labels, right), count(labels, weights > 0)
    in_f1 = of_class + count(predictions, some)
    recalls = hits[of_class > 0] / of_class[of_class > 0]
    f1 = 2 * hits[in_f1 > 0] / in_f1[in_f1 > 0]
    return ClassFigures(float(hits.sum() / weights.sum()), float(recalls.mean()), float(f1.mean()))


def resampled_figures(
    labels: np.ndarray,
    predictions: np.ndarray,
    num_classes: int,
    resamples: Resamples,
) -> np.ndarray:
    """The figures ``(R, 3)`` of each resample of videos, in the order of :class:`ClassFigures`."""
    figures = [class_figures(labels, predictions, num_classes, w) for w in resamples]
    return np.array(figures).reshape(-1, len(ClassFigures._fields))


class Resamples:
    """How often each video counts ``(V,)`` in each of R resamples, the same at each iteration.

    A resample draws as many units as there are, with replacement: videos that belong together are
    drawn together (Efron's bootstrap; by clusters, Davison and Hinkley 1997, Sec. 3.8).

    Args:
        units: the number of the unit that each video belongs to ``(V,)``.
    """

    def __init__(self, units: np.ndarray, num_resamples: int, seed: int) -> None:
        self.names, self.unit_of = np.unique(units, return_inverse=True)
        self.num_resamples = num_resamples
        self.seed = seed

    def __iter__(self) -> Iterator[np.ndarray]:
        random, num_units = np.random.default_rng(self.seed), len(self.names)
        for _ in range(self.num_resamples):
            drawn = random.integers(num_units, size=num_units)
            yield np.bincount(drawn, minlength=num_units)[self.unit_of]


def interval(resampled: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of resampled values ``(R,)``, by their percentiles."""
    tail = 100 * (1 - _CONFIDENCE) / 2
    low, high = np.percentile(resampled, [tail, 100 - tail])
    return float(low), float(high)
