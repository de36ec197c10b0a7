"""Locks on folders. The system releases them when the process ends, even by a signal."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hiera_video.errors import UserError, reason_of

logger = logging.getLogger(__name__)

#: The file that a run locks in its folder; it names the run's process. After a kill the file may
#: stay, but it is no longer locked.
LOCK_FILE = ".run.lock"

#: Descriptors of the lock files that this process holds.
_held: set[int] = set()


@contextmanager
def locked(folder: Path, name: str = "output_dir") -> Iterator[None]:
    """Keep other runs out of ``folder`` while the block runs.

    On a file system without locks, log a warning and run the block unlocked.

    Raises:
        UserError: if another run holds the folder; the message names the folder, the setting
            ``name`` that gave it, and the other run's process.
    """
    path, holder_pid = folder / LOCK_FILE, os.getpid()
    try:
        descriptor = _lock(path)
    except BlockingIOError:
        raise UserError(
            f"{name}={folder}: another run{_describe_holder(path)} writes there; wait for it, end "
            "it, or name another folder"
        ) from None
    except OSError as error:
        logger.warning(
            "%s=%s: cannot be locked against other runs (%s)", name, folder, reason_of(error)
        )
        yield
        return
    try:
        yield
    finally:
        if os.getpid() == holder_pid:
            # Remove the file before unlocking it: it cannot be another run's yet.
            with suppress(OSError):
                path.unlink()
            _held.discard(descriptor)
            os.close(descriptor)


def _lock(path: Path) -> int:
    """Create a file if need be, lock it, and write this process into it; return its descriptor.

    Raises:
        BlockingIOError: if another process holds it.
        OSError: if it cannot be locked.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_open_at(descriptor, path):
                _write_holder(descriptor)
                _held.add(descriptor)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # another run removed the file between open and flock: try again


def _write_holder(descriptor: int) -> None:
    with suppress(OSError):  # on a full disk, the lock holds without this text
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())


def _is_open_at(descriptor: int, path: Path) -> bool:
    """Whether ``path`` is still the file of ``descriptor``."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _describe_holder(path: Path) -> str:
    try:
        holder = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        holder = ""
    return f" ({holder})" if holder else ""


def _close_inherited() -> None:
    """In a forked process, close the inherited lock files, so that no lock outlives its holder."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_close_inherited)
