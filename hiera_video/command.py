"""What the scripts share: how a command ends, and how processes and devices start."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from tqdm import tqdm

from hiera_video.config import RunSettings
from hiera_video.errors import ConfigError, UserError

_MIXED_PRECISION = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


def run_command(main: Callable[[], object]) -> None:
    """Call ``main``; a :class:`UserError` becomes one line on standard error and exit status 2."""
    try:
        main()
    except UserError as error:
        message = " ".join(str(error).split())
        if not torch.distributed.is_initialized() and int(os.environ.get("RANK", 0)) > 0:
            # Every process finds the same mistake. The first one tells; the others give it time to,
            # since the launcher stops all of them when one ends.
            time.sleep(5)
        else:
            # Past a progress bar, if one is shown, on a line of its own.
            tqdm.write(f"{Path(sys.argv[0]).name}: error: {message}", file=sys.stderr)
        sys.exit(2)


def progress_bar(**arguments: Any) -> tqdm[Any]:
    """A progress bar for terminals; where standard error is a file, a line now and then."""
    return tqdm(mininterval=0.5 if sys.stderr.isatty() else 30.0, **arguments)


def make_accelerator(run: RunSettings, **arguments: Any) -> Accelerator:
    """Start devices and processes as ``run`` asks; ``arguments`` go to ``Accelerator``.

    Raises:
        ConfigError: if the precision is not to be had here.
    """
    if run.precision == "fp16" and not torch.cuda.is_available():
        raise ConfigError("precision=fp16: needs a GPU; use bf16 or fp32")
    return Accelerator(
        mixed_precision=_MIXED_PRECISION[run.precision],
        dynamo_backend="inductor" if run.compile else "no",
        **arguments,
    )
