"""What the scripts share: how a command ends, and how processes and devices start."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
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
    get_int_from_env,
)
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy
from tqdm import tqdm

from hiera_video.errors import ConfigError, Interrupted, TrainingError, UserError
from hiera_video.files import make_output_directory
from hiera_video.locks import locked
from hiera_video.runs import RunSettings

logger = logging.getLogger(__name__)

_MIXED_PRECISION = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}

#: How long other processes leave it to the first one to tell of an error, on a busy machine, too.
_FIRST_TELLS_SECONDS = 20.0

#: A terminal and a launcher may both pass on the same signal; this long, it is taken for one.
_SAME_SIGNAL_SECONDS = 1.0


def run_command(main: Callable[[], object]) -> None:
    """Call ``main``, and end as it does: with one line on standard error if it was not done.

    Exit status 2 for a :class:`UserError`, a full disk and a name that is too long for it; 128 and
    the number of the signal for a run that was interrupted (130: SIGINT, 143: SIGTERM), so that
    what follows in a shell script or a Makefile is not started on half a run.
    """
    try:
        main()
    except TrainingError as error:
        _end(f"error: {error}", 2, in_all_processes=True)
    except UserError as error:
        _end(f"error: {error}", 2)
    except Interrupted as interruption:
        _end(str(interruption), 128 + interruption.signal, in_all_processes=True)
    except KeyboardInterrupt:
        _end("interrupted", 128 + signal.SIGINT)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENAMETOOLONG):
            raise
        _end(f"error: {error.filename or 'output_dir'}: cannot be written ({error.strerror})", 2)


def _end(message: str, status: int, in_all_processes: bool = False) -> None:
    is_first = _is_first_process()
    if not is_first:
        # What several processes found, the first one tells; the others give it time to, since the
        # launcher stops all of them when one ends. What only this one found, it tells then.
        time.sleep(_FIRST_TELLS_SECONDS)
    if is_first or not in_all_processes:
        say_error(message)
    sys.exit(status)


def _is_first_process() -> bool:
    """Whether this is the main process, also before the processes of a run know of each other."""
    ranks = ["RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK"]  # as Accelerate has
    return bool(get_int_from_env(ranks, 0) == 0)


@contextmanager
def open_output(run: RunSettings) -> Iterator[Path]:
    """The run's ``output_dir``, made if it is not there, and no other run's while the block runs.

    Raises:
        UserError: if it cannot be written to, or another run writes there.
    """
    output_dir = make_output_directory(run.output_dir)
    if run.data.index_dir is not None:
        make_output_directory(run.data.index_dir, "data.index_dir")
    with locked(output_dir) if _is_first_process() else nullcontext():
        yield output_dir


def say_error(message: str) -> None:
    """One line on standard error, after the name of the command; past a progress bar, if one is
    shown, on a line of its own."""
    tqdm.write(f"{Path(sys.argv[0]).name}: {' '.join(message.split())}", file=sys.stderr)


class Signals:
    """Takes note of SIGTERM and SIGINT while it is entered, instead of ending the process.

    ``received`` is the number of the signal that came, or 0. A second one ends the process at once.
    """

    def __init__(self) -> None:
        self.received = 0
        self._at = 0.0

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():  # others cannot handle signals
            handled = (signal.SIGTERM, signal.SIGINT)
            self._before = {number: signal.signal(number, self._note) for number in handled}
        else:
            self._before = {}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if self.received and now - self._at > _SAME_SIGNAL_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not self.received:
            self.received, self._at = number, now


def prepare_for_inference(model: nn.Module, accelerator: Accelerator) -> nn.Module:
    """``model`` on the accelerator's device, in its precision, compiled if that was asked for.

    Moved first: under an FSDP configuration Accelerate leaves that to the sharding, which only
    training does.
    """
    prepared: nn.Module = accelerator.prepare_model(
        model.to(accelerator.device), evaluation_mode=True
    )
    return prepared


def progress_bar(**arguments: Any) -> tqdm[Any]:
    """A progress bar for terminals; where standard error is a file, a line now and then."""
    return tqdm(mininterval=0.5 if sys.stderr.isatty() else 30.0, **arguments)


def make_accelerator(
    run: RunSettings, longest_wait: timedelta = timedelta(minutes=30), **arguments: Any
) -> Accelerator:
    """Start devices and processes as ``run`` asks; ``arguments`` go to ``Accelerator``.

    ``longest_wait`` is how long processes wait for each other: longer than it takes to find out
    that some videos hang (``data.timeout_seconds``). A process that dies is noticed at once.

    Raises:
        ConfigError: if the precision is not to be had here.
    """
    if run.precision == "fp16" and not torch.cuda.is_available():
        raise ConfigError("precision=fp16: needs a GPU; use bf16 or fp32")
    accelerator = Accelerator(
        mixed_precision=_MIXED_PRECISION[run.precision],
        dynamo_backend="inductor" if run.compile else "no",
        kwargs_handlers=[
            InitProcessGroupKwargs(timeout=longest_wait),
            DistributedDataParallelKwargs(gradient_as_bucket_view=True),  # one copy of them less
        ],
        **arguments,
    )
    if accelerator.is_fsdp2:
        # Mixed precision is autocast's work, as without shards. Accelerate's policy would make all
        # of it low precision: the pixels that are predicted, losses, and sums of gradients.
        accelerator.state.fsdp_plugin.mixed_precision_policy = MixedPrecisionPolicy()
    if accelerator.is_main_process and run.precision == "bf16" and _multiplies_bf16_slowly():
        logger.warning("precision=bf16: this processor is hundreds of times faster with fp32")
    return accelerator


def _multiplies_bf16_slowly() -> bool:
    """Whether all there is to compute with is a processor that PyTorch has no fast bf16 products
    for: 0.3 GFLOP/s where fp32 reaches 134 (AVX2; docs/benchmarks.md)."""
    on_cpu = not torch.accelerator.is_available()
    return on_cpu and torch.backends.cpu.get_cpu_capability() == "AVX2"
