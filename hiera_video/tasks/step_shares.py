"""Makes the gradient of an optimizer step the mean over its clips, whatever their batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from accelerate import Accelerator
from torch import nn


class StepShares:
    """The share of its clips that an optimizer step really has, over all processes.

    Losses are divided by the number of clips of a whole batch (``Task.batch_loss``), because the
    number of clips in a step is known only with its last batch. :meth:`rescale` corrects the
    gradient once it is complete; if no video failed, there is nothing to correct.
    """

    def __init__(self, accelerator: Accelerator, on_error: Literal["raise", "skip"]) -> None:
        # Where a video that failed ends the run, each process knows that it has all of its clips.
        asks_others = accelerator.num_processes > 1 and on_error == "skip"
        # On the CPU, and beside the group of the gradients: the GPU never waits for it.
        self._group: Any = torch.distributed.new_group(backend="gloo") if asks_others else None
        self._num_processes = accelerator.num_processes if asks_others else 1
        self._wanted: list[int] = []
        self._counts = torch.zeros(0, dtype=torch.int64)
        self._under_way: torch.distributed.Work | None = None

    def begin(self, counts: Sequence[int], wanted: Sequence[int]) -> None:
        """Start to add up the ``counts`` of all processes; ``wanted`` is the whole number of each.

        All processes must call this, with the same ``wanted``.
        """
        self._wanted = [number * self._num_processes for number in wanted]
        self._counts = torch.tensor(counts)
        if self._group is not None:
            self._under_way = torch.distributed.all_reduce(
                self._counts, group=self._group, async_op=True
            )

    def finish(self) -> list[float]:
        """The share of each count in the whole number: 1 if all are there, and also if none is,
        because there is nothing to correct then."""
        if self._under_way is not None:
            self._under_way.wait()
            self._under_way = None
        return [
            there / wanted if there else 1.0
            for there, wanted in zip(self._counts.tolist(), self._wanted, strict=True)
        ]

    def rescale(self, model: nn.Module) -> None:
        """Divide the complete gradient of a step by the share of its clips, before it is clipped.
        (With fp16, the scaler's factor makes no difference.)"""
        (share,) = self.finish()
        if share == 1:
            return
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad /= share
