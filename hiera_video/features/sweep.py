"""Choosing a setting of a probe by videos that are held out of those to learn from.

Axes: V videos, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from hiera_video.features.folds import Split
from hiera_video.features.pool import VideoPool
from hiera_video.metrics.classification import mean_cross_entropy


class Choice(NamedTuple):
    """The value that was chosen, and what was found of each: ``value``, and over all videos that
    were held out ``accuracy`` and ``loss``."""

    value: Any
    tried: list[dict[str, Any]]


def choose(
    values: Sequence[Any],
    parts: Sequence[Split],
    pool: VideoPool,
    score: Callable[[Split], Iterable[np.ndarray]],
) -> Choice:
    """The one of ``values`` with the best accuracy over all held-out ``parts``; of several, the one
    with the smallest cross entropy. Without a part, the first.

    Args:
        score: the scores ``(V, K)`` of a part's V tested videos, for each of the values.
    """
    if not parts or len(values) == 1:
        return Choice(values[0], [])
    right, loss = np.zeros(len(values)), np.zeros(len(values))
    num_videos = 0
    for part in parts:
        test = part.test[pool.readable[part.test]]
        if not len(test):
            continue
        num_videos += len(test)
        labels = torch.from_numpy(pool.labels[test])
        for number, scores in enumerate(score(Split(part.train, test))):
            right[number] += (scores.argmax(1) == pool.labels[test]).sum()
            mean = mean_cross_entropy(torch.from_numpy(scores), labels)
            loss[number] += len(test) * (mean or 0.0)
    best = min(range(len(values)), key=lambda number: (-right[number], loss[number], number))
    tried = [
        {"value": value, "accuracy": float(r / num_videos), "loss": float(lo / num_videos)}
        for value, r, lo in zip(values, right, loss, strict=True)
    ]
    return Choice(values[best], tried)
