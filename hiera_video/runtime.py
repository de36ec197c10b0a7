"""Starting processes and devices; output folders, signals and progress bars of a run."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import (
    DistributedDataParallelKwargs,
    InitProcessGroupKwargs,
)
from torch import nn
from tqdm import tqdm

from hiera_video import compat
from hiera_video.config.groups import JobSettings
from hiera_video.errors import ConfigError
from hiera_video.files import make_output_directory, output_directory
from hiera_video.locks import locked
from hiera_video.processes import is_first_process

logger = logging.getLogger(__name__)

_MIXED_PRECISION = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}

#: A terminal and a launcher may both forward one Ctrl-C: signals closer together count once.
_SAME_SIGNAL_SECONDS = 1.0


@contextmanager
def open_output(output_dir: Path, index_dir: Path | None) -> Iterator[Path]:
    """Create ``output_dir`` if necessary, and lock out other runs while the block runs; create the
    folder for indexes, too.

    If the block raises a :class:`UserError` before it writes there, a new folder is removed again.

    Raises:
        UserError: if a folder cannot be written to, or another run writes to ``output_dir``.
    """
    with output_directory(output_dir):
        if index_dir is not None:
            make_output_directory(index_dir, "data.index_dir")
        with locked(output_dir) if is_first_process() else nullcontext():
            yield output_dir


class Signals:
    """Within its ``with`` block, SIGTERM and SIGINT are recorded instead of ending the process.

    ``received`` is the number of the first signal, or 0. A second one ends the process at once.
    """

    def __init__(self) -> None:
        self.received = 0
        self._received_at = 0.0

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():  # others cannot handle signals
            handled = (signal.SIGTERM, signal.SIGINT)
            self._old_handlers = {number: signal.signal(number, self._record) for number in handled}
        else:
            self._old_handlers = {}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)

    def _record(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if self.received and now - self._received_at > _SAME_SIGNAL_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not self.received:
            self.received, self._received_at = number, now


def prepare_for_inference(model: nn.Module, accelerator: Accelerator) -> nn.Module:
    """``model`` on the accelerator's device, in its precision, compiled if the run asks for it.

    This moves the model itself: under an FSDP configuration Accelerate leaves that to the sharding,
    which only training does.
    """
    prepared: nn.Module = accelerator.prepare_model(
        model.to(accelerator.device), evaluation_mode=True
    )
    return prepared


def progress_bar(**arguments: Any) -> tqdm[Any]:
    """A progress bar for terminals; if standard error is a file, a line every half minute."""
    return tqdm(mininterval=0.5 if sys.stderr.isatty() else 30.0, **arguments)


def make_accelerator(
    run: JobSettings, longest_wait: timedelta = timedelta(minutes=30), **arguments: Any
) -> Accelerator:
    """Start devices and processes with the settings of ``run``.

    Args:
        longest_wait: how long processes wait for each other: longer than it takes to notice that
            some videos hang (``data.timeout_seconds``). The death of a process is noticed at once.
        arguments: passed to ``Accelerator``.

    Raises:
        ConfigError: if this machine cannot compute in the precision.
    """
    if run.precision == "fp16" and not torch.cuda.is_available():
        raise ConfigError("precision=fp16: needs a GPU; use bf16 or fp32")
    accelerator = Accelerator(
        mixed_precision=_MIXED_PRECISION[run.precision],
        dynamo_backend="inductor" if run.compile else "no",
        kwargs_handlers=[
            InitProcessGroupKwargs(timeout=longest_wait),
            DistributedDataParallelKwargs(gradient_as_bucket_view=True),  # saves a copy of each
        ],
        **arguments,
    )
    if accelerator.is_fsdp2:
        compat.leave_precision_to_autocast(accelerator)
    if accelerator.is_main_process and run.precision == "bf16" and _multiplies_bf16_slowly():
        logger.warning("precision=bf16: this processor is hundreds of times faster with fp32")
    return accelerator


def _multiplies_bf16_slowly() -> bool:
    """Whether the only device is a processor without fast bf16 products in PyTorch: 0.3 GFLOP/s
    where fp32 reaches 134 (AVX2; docs/benchmarks.md)."""
    on_cpu = not torch.accelerator.is_available()
    return on_cpu and torch.backends.cpu.get_cpu_capability() == "AVX2"
