"""Averages over all processes, by torchmetrics."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import SumMetric


class ClipMean:
    """The mean over clips of values that are means over batches."""

    def __init__(self, device: torch.device) -> None:
        # Not a number is kept: by default torchmetrics would leave it out of the sum.
        self._value = SumMetric(nan_strategy="disable").to(device)
        self._num_clips = SumMetric(nan_strategy="disable").to(device)

    def update(self, value: Tensor, num_clips: int) -> None:
        """Take in a batch's mean ``value``."""
        self._value.update(value.detach() * num_clips)
        self._num_clips.update(num_clips)

    def read(self) -> float | None:
        """The mean since the last reading; None where there were no clips in any process."""
        sums = []
        for metric in (self._value, self._num_clips):
            metric.update(0)  # torchmetrics warns where nothing was counted
            sums.append(metric.compute().item())
            metric.reset()
        value, num_clips = sums
        return value / num_clips if num_clips else None
