"""Running a command: exit status, and one line on standard error that says why it failed."""

from __future__ import annotations

import errno
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from hiera_video.errors import Interrupted, TrainingError, UserError, reason_of
from hiera_video.processes import is_first_process

#: How long the other processes wait while rank 0 reports an error; enough on a busy machine, too.
_RANK_0_REPORTS_SECONDS = 20.0


#: The name of the command in messages, if it is not the name of the file that was started.
_names: list[str] = []


def run_command(main: Callable[[], object], name: str | None = None) -> None:
    """Run ``main``. On failure print one line to standard error and exit with a status that says
    why.

    The line begins with ``name``, or else with the name of the file that was started.

    The status is 2 for a :class:`UserError`, a full disk and a file name that is too long for it.
    For an interrupted run it is 128 plus the number of the signal (130: SIGINT, 143: SIGTERM), so
    that a shell script or Makefile does not continue with half a run.
    """
    _names[:] = [name] if name else []
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
        path = error.filename or "output_dir"
        _end(f"error: {path}: cannot be written ({reason_of(error)})", 2)


def _end(message: str, status: int, in_all_processes: bool = False) -> None:
    is_first = is_first_process()
    if not is_first:
        # Rank 0 reports errors that all ranks share; the others wait, because the launcher kills
        # every rank when one exits. An error of this rank alone is reported after the wait.
        time.sleep(_RANK_0_REPORTS_SECONDS)
    if is_first or not in_all_processes:
        say_error(message)
    sys.exit(status)


def say_error(message: str) -> None:
    """Print one line on standard error, after the name of the command, without breaking a progress
    bar."""
    name = _names[0] if _names else Path(sys.argv[0]).name
    tqdm.write(f"{name}: {' '.join(message.split())}", file=sys.stderr)
