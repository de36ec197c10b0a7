"""Locks on folders that end with the process that holds them, however it ends."""

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

#: The file in a folder that is locked while a run writes there, and says which run that is. What a
#: killed run leaves of it is locked no more.
LOCK_FILE = ".run.lock"

#: Descriptors of the lock files that this process holds.
_held: set[int] = set()


@contextmanager
def locked(folder: Path, name: str = "output_dir") -> Iterator[None]:
    """Keep other runs out of ``folder`` while the block runs.

    Where the file system has no locks, the block runs without one, after a warning.

    Raises:
        UserError: if another run holds the folder; the message names the folder, the setting
            ``name`` that gave it, and the other run's process.
    """
    path, holder = folder / LOCK_FILE, os.getpid()
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
        if os.getpid() == holder:
            # While it is locked, so that it is this run's own.
            with suppress(OSError):
                path.unlink()
            _held.discard(descriptor)
            os.close(descriptor)


def _lock(path: Path) -> int:
    """Lock a file, made if it is not there, and write into it who did; its descriptor.

    Raises:
        BlockingIOError: if another process holds it.
        OSError: if it cannot be locked.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_file(descriptor, path):
                _sign(descriptor)
                _held.add(descriptor)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder removed it before it could be locked


def _sign(descriptor: int) -> None:
    with suppress(OSError):  # of a full disk: it is locked as well without a name
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())


def _is_file(descriptor: int, path: Path) -> bool:
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


def _forget() -> None:
    """Close what a forked process was left with: the lock is not to outlive the one that has it."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_forget)
