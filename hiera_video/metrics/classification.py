"""Figures of classification with one label per video, computed by torchmetrics.

A video that could not be read counts as wrong: without it the figures would be too good.
Axes: V videos that have scores, F videos that failed, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.classification import multiclass_stat_scores

#: Videos that are counted at a time: for top 5, torchmetrics needs 17 bytes per score.
_VIDEOS_AT_ONCE = 4096
#: Accuracies are rounded to this many digits.
_DIGITS = 6


def classification_figures(
    scores: Tensor, labels: Tensor, failed_labels: Tensor, classes: Sequence[str]
) -> dict[str, Any]:
    """``top1``, ``top5``, ``balanced_accuracy``, ``macro_f1``, ``loss``, and accuracies
    ``per_class``.

    With fewer than five classes, ``top5`` is the accuracy among the best K. ``balanced_accuracy``
    is the mean of ``per_class``, over the classes that have videos.

    Args:
        scores: probabilities ``(V, K)``.
        labels: class indices ``(V,)``.
        failed_labels: class indices of the videos that have no scores ``(F,)``.
        classes: K names.
    """
    num_failed = len(failed_labels)
    per_class = per_class_accuracies(scores, labels, failed_labels)
    return {
        "top1": _rounded(top_k_accuracy(scores, labels, 1, num_failed)),
        "top5": _rounded(top_k_accuracy(scores, labels, min(5, len(classes)), num_failed)),
        "balanced_accuracy": _rounded(_mean(per_class)),
        "macro_f1": _rounded(macro_f1(scores, labels, failed_labels)),
        "loss": mean_cross_entropy(scores, labels),
        "per_class": dict(zip(classes, map(_rounded, per_class), strict=True)),
    }


def top_k_accuracy(scores: Tensor, labels: Tensor, k: int, num_failed: int = 0) -> float | None:
    """The share of videos whose label ``(V,)`` is among the ``k`` largest of their scores
    ``(V, K)``; None without any video. ``num_failed`` further videos count as wrong."""
    total = len(labels) + num_failed
    return _count_correct(scores, labels, k).sum().item() / total if total else None


def per_class_accuracies(
    scores: Tensor, labels: Tensor, failed_labels: Tensor
) -> list[float | None]:
    """For each class, the share of its videos whose largest score is that of the class.

    The videos of ``failed_labels`` ``(F,)`` count as wrong. A class without videos has None.
    """
    correct = _count_correct(scores, labels, 1).tolist()
    total = torch.cat([labels, failed_labels]).bincount(minlength=scores.shape[1]).tolist()
    return [right / all_ if all_ else None for right, all_ in zip(correct, total, strict=True)]


def macro_f1(scores: Tensor, labels: Tensor, failed_labels: Tensor) -> float | None:
    """The mean F1 of the classes that a video has, or is predicted to have; None without a video.

    The videos of ``failed_labels`` ``(F,)`` are missed in their class, and predicted as none.
    """
    num_classes = scores.shape[1]
    correct = _count_correct(scores, labels, 1)
    predicted = scores.argmax(1).bincount(minlength=num_classes) if len(labels) else correct
    there = torch.cat([labels, failed_labels]).bincount(minlength=num_classes)
    counts = (predicted.cpu() + there.cpu()).double()
    f1 = 2 * correct / counts
    return f1[counts > 0].mean().item() if counts.any() else None


def mean_cross_entropy(scores: Tensor, labels: Tensor) -> float | None:
    """The mean of ``-log`` of the probability ``(V, K)`` of each video's label ``(V,)``; None
    without a video."""
    if not len(labels):
        return None
    probabilities = scores.gather(1, labels[:, None])
    # Clamped: the loss stays finite if a probability is too small for its type.
    return -probabilities.clamp_min(torch.finfo(scores.dtype).tiny).double().log().mean().item()


def _count_correct(scores: Tensor, labels: Tensor, k: int) -> Tensor:
    """The number of videos whose label is among their ``k`` largest scores: per class ``(K,)`` for
    ``k=1``, over all classes ``(1,)`` for larger ``k``."""
    num_classes = scores.shape[1]
    width = max(num_classes, 2)  # torchmetrics needs at least two classes
    counts = torch.zeros(num_classes if k == 1 else 1, dtype=torch.int64)
    parts = zip(scores.split(_VIDEOS_AT_ONCE), labels.split(_VIDEOS_AT_ONCE), strict=True)
    for some_scores, some_labels in parts:
        if not len(some_labels):
            continue
        counted = multiclass_stat_scores(
            F.pad(some_scores, (0, width - num_classes)),
            some_labels,
            num_classes=width,
            top_k=k,
            average="none" if k == 1 else "micro",
            validate_args=False,
        )
        counts += counted.view(-1, 5)[: len(counts), 0].cpu()  # columns: true positives first
    return counts


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
