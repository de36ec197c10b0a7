"""How a command ends: its exit status, and one line that says why."""

from __future__ import annotations

import errno
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from hiera_video.errors import Interrupted, TrainingError, UserError
from hiera_video.processes import is_first_process

#: How long other processes leave it to the first one to tell of an error, on a busy machine, too.
_FIRST_TELLS_SECONDS = 20.0


#: What messages call the command, where it has another name than the file that was started.
_names: list[str] = []


def run_command(main: Callable[[], object], name: str | None = None) -> None:
    """Call ``main``, and end as it does: with one line on standard error if it was not done.

    The line begins with ``name``, or else with the name of the file that was started.

    Exit status 2 for a :class:`UserError`, a full disk and a name that is too long for it; 128 and
    the number of the signal for a run that was interrupted (130: SIGINT, 143: SIGTERM), so that
    what follows in a shell script or a Makefile is not started on half a run.
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
        _end(f"error: {error.filename or 'output_dir'}: cannot be written ({error.strerror})", 2)


def _end(message: str, status: int, in_all_processes: bool = False) -> None:
    is_first = is_first_process()
    if not is_first:
        # What several processes found, the first one tells; the others give it time to, since the
        # launcher stops all of them when one ends. What only this one found, it tells then.
        time.sleep(_FIRST_TELLS_SECONDS)
    if is_first or not in_all_processes:
        say_error(message)
    sys.exit(status)


def say_error(message: str) -> None:
    """One line on standard error, after the name of the command; past a progress bar, if one is
    shown, on a line of its own."""
    name = _names[0] if _names else Path(sys.argv[0]).name
    tqdm.write(f"{name}: {' '.join(message.split())}", file=sys.stderr)
