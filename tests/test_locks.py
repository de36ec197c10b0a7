"""A folder is one process's until that process ends, however it does."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from hiera_video.errors import UserError
from hiera_video.locks import LOCK_FILE, locked

#: Locks a folder, forks a process that tells its number and goes on for long, and waits.
HOLD_AND_FORK = """
import os, sys, time
from pathlib import Path
from hiera_video.locks import locked
with locked(Path(sys.argv[1])):
    if not os.fork():
        print(os.getpid(), flush=True)
    time.sleep(600)
"""


def test_one_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path):
        with pytest.raises(UserError) as told, locked(tmp_path):
            pass
        assert str(told.value) == (
            f"output_dir={tmp_path}: another run (process {os.getpid()} on {socket.gethostname()}) "
            "writes there; wait for it, end it, or name another folder"
        )
        (tmp_path / LOCK_FILE).write_text("")
        with pytest.raises(UserError, match=r"another run writes there"), locked(tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path):
        pass


def test_a_block_that_fails_gives_the_folder_back(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path):
        pass


def test_a_lock_dies_with_its_process_whatever_it_forked(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_AND_FORK, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    forked = psutil.Process(int(holder.stdout.readline()))
    try:
        told = f"process {holder.pid} on {socket.gethostname()}"
        with pytest.raises(UserError, match=told), locked(tmp_path):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        assert (tmp_path / LOCK_FILE).exists()
        with locked(tmp_path):
            assert forked.is_running()
    finally:
        forked.kill()
        holder.kill()
        holder.communicate()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_its_holder_removes_meanwhile_is_not_the_one_to_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening it and locking it: whoever comes next would lock another file."""
    flock, path = fcntl.flock, tmp_path / LOCK_FILE
    removed: list[Path] = []

    def remove_first(descriptor: int, operation: int) -> None:
        if not removed:
            path.unlink()
            removed.append(path)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with locked(tmp_path):
        with pytest.raises(UserError), locked(tmp_path):
            pass
        assert removed


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_file_systems_without_locks_do_without(
    number: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with caplog.at_level(logging.WARNING), locked(tmp_path), locked(tmp_path):
        ran = True
    assert ran
    assert f"output_dir={tmp_path}: cannot be locked against other runs (" in caplog.text
