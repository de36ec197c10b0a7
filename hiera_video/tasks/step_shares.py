"""The clips of an optimizer step: its gradient is their mean, however they fell into batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from accelerate import Accelerator
from torch import nn


class StepShares:
    """Which share of the clips that an optimizer step asks for it has, over all processes.

    Losses are divided by the numbers that batches ask for (``Task.batch_loss``), since how many
    clips a step has is known with its last batch only. The gradient is put right once it is whole:
    :meth:`rescale`. Where no video failed, that has nothing to do.
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
        """Start to add up this process's ``counts``, of as many as are ``wanted`` of each.

        All processes have to call this, with the same ``wanted``.
        """
        self._wanted = [number * self._num_processes for number in wanted]
        self._counts = torch.tensor(counts)
        if self._group is not None:
            self._under_way = torch.distributed.all_reduce(
                self._counts, group=self._group, async_op=True
            )

    def finish(self) -> list[float]:
        """Of each, the share that is there: 1 where all are, and where none is, for then there is
        nothing to put right."""
        if self._under_way is not None:
            self._under_way.wait()
            self._under_way = None
        return [
            there / wanted if there else 1.0
            for there, wanted in zip(self._counts.tolist(), self._wanted, strict=True)
        ]

    def rescale(self, model: nn.Module) -> None:
        """Divide the whole gradient of a step by the share of the clips that :meth:`begin` was
        told of, before it is clipped. (A scaler's factor, with fp16, makes no difference.)"""
        (share,) = self.finish()
        if share == 1:
            return
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad /= share
