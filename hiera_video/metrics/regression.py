"""Figures of numbers that are predicted for each video, in the unit of the data.

Axes: V videos, K targets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def regression_figures(
    predicted: np.ndarray, wanted: np.ndarray, names: Sequence[str]
) -> dict[str, Any]:
    """``mae``, ``rmse``, ``r2`` and ``spearman``: the mean over the targets, and of each of them
    in ``mae_per_target`` and so on. A figure that is not defined is None, and is in no mean.

    Args:
        predicted: numbers ``(V, K)``.
        wanted: what they should be ``(V, K)``.
        names: of the K targets.
    """
    figures: dict[str, Any] = {}
    tables: dict[str, Any] = {}
    for figure, measure in MEASURES.items():
        pairs = zip(predicted.T.astype(np.float64), wanted.T.astype(np.float64), strict=True)
        values = [measure(*pair) for pair in pairs]
        known = [value for value in values if value is not None]
        figures[figure] = float(np.mean(known)) if known else None
        tables[f"{figure}_per_target"] = dict(zip(names, values, strict=True))
    return figures | tables


def mean_absolute_error(predicted: np.ndarray, wanted: np.ndarray) -> float | None:
    """Of numbers ``(V,)``; None without a video."""
    return float(np.abs(predicted - wanted).mean()) if len(wanted) else None


def root_mean_squared_error(predicted: np.ndarray, wanted: np.ndarray) -> float | None:
    """Of numbers ``(V,)``; None without a video."""
    return float(np.sqrt(np.square(predicted - wanted).mean())) if len(wanted) else None


def coefficient_of_determination(predicted: np.ndarray, wanted: np.ndarray) -> float | None:
    """R²: the share of the variance of ``wanted`` ``(V,)`` that is explained, at most 1; None where
    there is no variance."""
    if not len(wanted) or np.ptp(wanted) == 0:
        return None
    total = np.square(wanted - wanted.mean()).sum()
    return float(1 - np.square(predicted - wanted).sum() / total)


def spearman(predicted: np.ndarray, wanted: np.ndarray) -> float | None:
    """The correlation of ranks, ``-1..1``; equal numbers share their mean rank. None where all of
    one side are equal."""
    if not len(wanted) or np.ptp(wanted) == 0 or np.ptp(predicted) == 0:
        return None
    ranks = _ranks(predicted), _ranks(wanted)
    return float(np.corrcoef(*ranks)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place]


#: Figures by name.
MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], float | None]] = {
    "mae": mean_absolute_error,
    "rmse": root_mean_squared_error,
    "r2": coefficient_of_determination,
    "spearman": spearman,
}
