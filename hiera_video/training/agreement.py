"""Lets all processes stop at the same step, on a signal or a loss that is not finite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor
from torch.distributed import ReduceOp

from hiera_video.data.manifest import Rows
from hiera_video.errors import TrainingError
from hiera_video.runtime import Signals
from hiera_video.training.saving import Checkpoints

#: A manifest, and rows of it ``(B,)``.
Origin: TypeAlias = tuple[Rows, Tensor]


@dataclass
class _Seen:
    """A value on its way to the host; ``copied`` is None once it has arrived."""

    step: int
    name: str
    value: Tensor
    origins: list[Origin]
    copied: torch.cuda.Event | None


class StopTogether:
    """Lets all processes stop at the end of the same step.

    No step waits for this. The host checks a loss while the next step runs, and the processes
    exchange their findings by an all-reduce on the CPU, whose result is read one step later. So
    training continues for up to two steps after a loss that is not finite. :meth:`settle` catches
    up before anything is saved: no checkpoint holds weights that such a loss has changed.

    A finite loss may have a gradient that is not finite, so the norm of the gradient is checked,
    too, if gradients are clipped (``gradient_norm`` is that of the last step). With fp16, the
    scaler checks gradients.
    """

    def __init__(
        self, accelerator: Accelerator, signals: Signals, checkpoints: Checkpoints
    ) -> None:
        self.signals = signals
        self.checkpoints = checkpoints
        # Beside the group of the gradients: those may be on their way at the same time.
        self._group: Any = None
        if accelerator.num_processes > 1:
            self._group = torch.distributed.new_group(backend="gloo")
        self.gradient_norm: Tensor | None = None
        self._scales = accelerator.scaler is not None
        self._seen: list[_Seen] = []
        self._fault: tuple[int, str, list[str]] | None = None
        self._flags = torch.zeros(2, dtype=torch.int64)
        self._under_way: torch.distributed.Work | None = None

    def see_loss(self, step: int, loss: Tensor, origins: Sequence[Origin]) -> None:
        """Record the loss of a batch in optimizer step ``step``; its clips are of ``origins``."""
        self._see(step, "loss", loss.detach(), origins)

    def see_gradient_norm(self, step: int, norm: Tensor) -> None:
        """Record the norm of that step's gradient, before it was clipped."""
        self.gradient_norm = norm
        if not self._scales:
            self._see(step, "norm of the gradient", norm, [])

    def _see(self, step: int, name: str, value: Tensor, origins: Sequence[Origin]) -> None:
        copied = None
        host = value.to("cpu", non_blocking=value.is_cuda)
        if value.is_cuda:
            copied = torch.cuda.Event()
            copied.record()
        self._seen.append(_Seen(step, name, host, list(origins), copied))

    def agree(self, step: int) -> int:
        """At the end of ``step``: the signal that any process received, or 0; the same in all.

        Raises:
            TrainingError: in all processes, if a loss of an earlier step was not finite.
        """
        signal = self._finish()
        self._look(before=step)
        self._begin()
        return signal

    def settle(self) -> None:
        """Check all losses so far, in all processes, and wait for the result.

        Raises:
            TrainingError: in all processes, if one was not finite.
        """
        self._finish()
        self._look()
        self._begin()
        self._finish()

    def _look(self, before: float = math.inf) -> None:
        for seen in [seen for seen in self._seen if seen.step < before]:
            if seen.copied is not None:
                seen.copied.synchronize()
            if self._fault is None and not math.isfinite(seen.value):
                what = f"the {seen.name} is {seen.value.item()}"
                files = [
                    str(manifest[row].file)
                    for manifest, rows in seen.origins
                    for row in dict.fromkeys(rows.tolist())
                ]
                self._fault = seen.step, what, files
        self._seen = [seen for seen in self._seen if seen.step >= before]

    def _begin(self) -> None:
        self._flags = torch.tensor([self.signals.received, self._fault is not None])
        if self._group is not None:
            self._under_way = torch.distributed.all_reduce(
                self._flags, ReduceOp.MAX, group=self._group, async_op=True
            )

    def _finish(self) -> int:
        if self._under_way is not None:
            self._under_way.wait()
            self._under_way = None
        signal, is_fault = self._flags.tolist()
        if is_fault:
            # The first one: what came after it may have come of it.
            faults = [fault for fault in gather_object([self._fault]) if fault is not None]
            step, what, videos = min(faults, key=lambda fault: fault[0])
            self.checkpoints.wait()
            raise TrainingError(
                f"{what} at step {step}{', for ' * bool(videos)}{', '.join(videos)}; the last good "
                f"checkpoint is {self.checkpoints.newest or 'none'}; try a lower optimizer.lr, "
                "train.clip_grad_norm, or precision=bf16 instead of fp16"
            )
        return int(signal)
