"""Figures of classification with any number of labels per video.

A video that could not be read counts as one for which the model finds nothing: all of its scores
are 0, so each of its labels comes last in the ranking, and none is predicted.

Axes: V videos that have scores, F videos that failed, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

#: The threshold of a class that has none of its own.
DEFAULT_THRESHOLD = 0.5
#: Figures are rounded to this many digits.
_DIGITS = 6


def multi_label_figures(
    scores: np.ndarray,
    labels: np.ndarray,
    failed_labels: np.ndarray,
    thresholds: np.ndarray,
    classes: Sequence[str],
) -> dict[str, Any]:
    """``map``, ``micro_f1``, ``macro_f1``, ``loss``; ``per_class_ap``, ``per_class_f1``.

    ``map`` and ``macro_f1`` are means over the classes that any video has.

    Args:
        scores: probabilities ``(V, K)``.
        labels: booleans ``(V, K)``.
        failed_labels: those of the videos without scores ``(F, K)``.
        thresholds: a class is predicted where its score is at least this ``(K,)``.
        classes: K names.
    """
    nothing = np.zeros(failed_labels.shape, scores.dtype)
    ranked = np.concatenate([scores, nothing])
    is_there = np.concatenate([labels, failed_labels])
    is_found = np.concatenate([scores >= thresholds, nothing > 0])
    columns = list(zip(ranked.T, is_there.T, strict=True))
    precisions = [average_precision(*column) for column in columns]
    hits, counts = (is_found & is_there).sum(0), is_found.sum(0) + is_there.sum(0)
    f1 = np.where(is_there.any(0), 2 * hits / np.maximum(counts, 1), np.nan)
    per_class_f1 = [None if np.isnan(value) else float(value) for value in f1]
    return {
        "map": _mean(precisions),
        "micro_f1": round(2 * hits.sum() / counts.sum(), _DIGITS) if counts.any() else None,
        "macro_f1": _mean(per_class_f1),
        "loss": binary_cross_entropy(scores, labels),
        "per_class_ap": dict(zip(classes, map(_rounded, precisions), strict=True)),
        "per_class_f1": dict(zip(classes, map(_rounded, per_class_f1), strict=True)),
    }


def average_precision(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """The mean, over the positives, of the precision among the videos whose scores ``(V,)`` are at
    least theirs; None without a positive. Equal scores are one rank."""
    num_positive = positive.sum()
    if not num_positive:
        return None
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(positive[order])
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    found = hits[ends]
    return float((np.diff(found, prepend=0) * (found / (ends + 1))).sum() / num_positive)


def best_thresholds(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """For each class, the threshold ``(K,)`` with the largest F1 on these videos.

    It lies in the middle between the lowest score ``(V, K)`` that is above it and the highest below
    it; of several with the same F1, it is the highest. A class without positives has 0.5.
    """
    thresholds = np.full(scores.shape[1], DEFAULT_THRESHOLD)
    for number, (of_class, positive) in enumerate(zip(scores.T, labels.T, strict=True)):
        if not positive.any():
            continue
        order = np.argsort(-of_class, kind="stable")
        ranked, hits = of_class[order].astype(np.float64), np.cumsum(positive[order])
        ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
        best = ends[np.argmax(2 * hits[ends] / (ends + 1 + positive.sum()))]
        below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
        thresholds[number] = (ranked[best] + below) / 2
    return thresholds


def binary_cross_entropy(scores: np.ndarray, labels: np.ndarray) -> float | None:
    """The mean over videos and classes of ``-log`` of the probability of what is the case; None
    without a video."""
    if not scores.size:
        return None
    right = np.where(labels, scores, 1 - scores.astype(np.float64))
    # Clamped: the loss stays finite if a probability is too small for its type.
    return float(-np.log(np.maximum(right, np.finfo(np.float32).tiny)).mean())


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _rounded(float(np.mean(known))) if known else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
