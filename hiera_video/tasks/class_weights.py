"""Weights of the loss by which rare classes count more.

Axes: N rows of the training manifest, K classes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

ClassWeights = Literal["none", "inverse", "effective_number"]

#: Of the effective number of samples (Cui et al. 2019): beyond about 1 / (1 - 0.999) videos of a
#: class, more of them add next to nothing.
BETA = 0.999


def class_weights(counts: np.ndarray, rule: ClassWeights) -> Tensor | None:
    """The weight of each class ``(K,)`` by how many rows it has; None where none is weighted.

    ``inverse``: in proportion to ``1 / n``. ``effective_number``: to ``(1 - b) / (1 - b ** n)``
    with b = 0.999 (Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019,
    arXiv 1901.05555). The mean over all labels of the manifest is 1, so that learning rates keep
    their meaning. A class without rows has weight 1.
    """
    if rule == "none":
        return None
    number = counts.astype(np.float64)
    with np.errstate(divide="ignore"):
        raw = 1 / number if rule == "inverse" else (1 - BETA) / (1 - BETA**number)
    there = number > 0
    raw = np.where(there, raw, 0.0)
    scaled = raw * number.sum() / max((raw * number).sum(), np.finfo(np.float64).tiny)
    return torch.from_numpy(np.where(there, scaled, 1.0)).float()


def label_counts(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """The number of rows of each class: of indices ``(N,)``, or of sets of labels ``(N, K)``."""
    if labels.ndim == 2:
        return labels.sum(0)
    return np.bincount(labels, minlength=num_classes)
