"""How often a pass takes videos of each class.

Axes: N rows of the manifest, K classes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

Sampler = Literal["uniform", "balanced", "sqrt"]

#: The share of a class in a pass is in proportion to its number of rows to this power.
_POWERS = {"balanced": 0.0, "sqrt": 0.5}


@dataclass(frozen=True)
class ClassBalance:
    """The order of a pass in which classes have shares of their own; a pass stays as long as the
    manifest.

    ``balanced``: all classes have the same share. ``sqrt``: in proportion to the square root of
    their number of rows. A row that has several labels counts for the rarest of them, and those
    without any are a class of their own.

    ``classes`` ``(N,)`` are numbers of classes, from 0 on, without gaps.
    """

    classes: np.ndarray
    sampler: Sampler

    @classmethod
    def of(cls, labels: np.ndarray, sampler: Sampler) -> ClassBalance | None:
        """For class indices ``(N,)`` or sets of labels ``(N, K)``; None where nothing is
        balanced."""
        if sampler == "uniform":
            return None
        if labels.ndim == 2:
            by_count = np.argsort(labels.sum(0), kind="stable")
            rarest = by_count[labels[:, by_count].argmax(1)]
            labels = np.where(labels.any(1), rarest, labels.shape[1])
        return cls(np.unique(labels, return_inverse=True)[1], sampler)

    def describe(self) -> str:
        """A note on what a pass takes."""
        counts = np.bincount(self.classes)
        taken = len(self.classes) * self._shares
        return (
            f"{self.sampler}: classes of {counts.min()} to {counts.max()} videos, of which a pass "
            f"takes {taken.min():.0f} to {taken.max():.0f}"
        )

    @property
    def _shares(self) -> np.ndarray:
        """The share of each class in a pass ``(K,)``."""
        shares = np.bincount(self.classes).astype(np.float64) ** _POWERS[self.sampler]
        return shares / shares.sum()

    def order(self, draw: torch.Generator) -> list[tuple[int, int]]:
        """A pass: N pairs of a row and of how often it came before in this pass.

        Each class has its share to within one row, and so has each row of a class: rows of a rare
        class come again only when all others of the class have come as often.
        """
        offset = torch.rand((), generator=draw, dtype=torch.float64).item()
        # Where shares are no whole numbers, chance decides, in the mean as they are.
        ends = np.cumsum(self._shares) * len(self.classes)
        counts = np.diff(np.floor(ends + offset).astype(np.int64), prepend=0)
        counts[-1] += len(self.classes) - counts.sum()
        rows: list[int] = []
        for number, count in enumerate(counts.tolist()):
            of_class = np.flatnonzero(self.classes == number)
            whole, rest = divmod(count, len(of_class))
            chosen = torch.randperm(len(of_class), generator=draw)[:rest].numpy()
            rows += [*of_class.tolist() * whole, *of_class[chosen].tolist()]
        seen: Counter[int] = Counter()
        order = []
        for position in torch.randperm(len(rows), generator=draw).tolist():
            row = rows[position]
            order.append((row, seen[row]))
            seen[row] += 1
        return order
