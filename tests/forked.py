"""Scripts in processes of their own that start quickly.

They are forked from a server that has imported everything once: importing takes several seconds,
and some tests start dozens. Else they are what a launcher would start: same script, same arguments,
same environment, one process per rank, in a process group of its own; but for what
``short_runs.py`` leaves out.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil

from tests.short_runs import ShortRuns
from tests.support import CPU_ENVIRONMENT, HANG_SECONDS, ROOT, at_end_of_test, kill_tree, wait_until

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["hiera_video.training.run", "torch.utils.tensorboard"])


@dataclass
class ForkedScript:
    """A script that was started, and what its processes print."""

    processes: list[BaseProcess]
    log: Path

    @property
    def is_running(self) -> bool:
        return all(process.is_alive() for process in self.processes)

    @property
    def output(self) -> str:
        return self.log.read_text()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes and their groups, as a terminal does."""
        for process in self.processes:
            assert process.pid is not None
            os.killpg(process.pid, number)

    def wait_until_stopped(self) -> None:
        """Wait until its first process has stopped, as ``stop_at_moment.py`` does."""
        first = psutil.Process(self.processes[0].pid)
        wait_until(self, lambda: first.status() == psutil.STATUS_STOPPED)

    def end(self) -> str:
        """End those that run, as :meth:`kill` does; what all printed."""
        self.kill()
        return self.output

    def kill(self) -> None:
        """End those that run, and what they started, at once."""
        for process in self.processes:
            if process.pid is not None and process.is_alive():
                kill_tree(process.pid)
                process.join()

    def wait(self) -> list[int | None]:
        """The exit status of each process; negative where a signal ended it."""
        for process in self.processes:
            process.join(HANG_SECONDS)
            assert not process.is_alive(), f"it hangs\n{self.output}"
        return [process.exitcode for process in self.processes]


def run_forked(name: str | Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """What :func:`tests.support.run_script` does in one process, where its start is no matter."""
    with tempfile.TemporaryDirectory() as folder:
        output, errors = Path(folder, "output"), Path(folder, "errors")
        run = start_forked(name, arguments, output, errors=errors)
        (status,) = run.wait()
        assert status is not None
        given = [str(argument) for argument in arguments]
        return subprocess.CompletedProcess(given, status, output.read_text(), errors.read_text())


def start_forked(
    name: str | Path,
    arguments: Sequence[object],
    log: Path,
    num_processes: int = 1,
    errors: Path | None = None,
) -> ForkedScript:
    """Start ``scripts/NAME.py``, or another file; what it prints goes to ``log``.

    What it prints on standard error goes to ``errors``, if that is given.

    Several processes find each other as under ``torchrun``. Those that still run when the test is
    over are killed.
    """
    script = name if isinstance(name, Path) else ROOT / "scripts" / f"{name}.py"
    for file in (log, errors or log):
        file.write_text("")
    environment = dict(CPU_ENVIRONMENT)
    if num_processes > 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment |= {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "WORLD_SIZE": str(num_processes),
        }
    started = ForkedScript([], log)
    at_end_of_test.callback(started.kill)
    for rank in range(num_processes):
        ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank)} if num_processes > 1 else {}
        process = _CONTEXT.Process(
            target=_run,
            args=(
                script,
                [str(a) for a in arguments],
                (log, errors or log),
                {**environment, **ranks},
            ),
        )
        process.start()
        started.processes.append(process)
    return started


def _run(
    script: Path, arguments: list[str], files: tuple[Path, Path], environment: dict[str, str]
) -> None:
    os.setpgid(0, 0)
    os.chdir(ROOT)
    os.environ.update(environment)
    for file, descriptor in zip(files, (1, 2), strict=True):
        os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND), descriptor)
    faulthandler.enable()  # a process that crashes prints where
    multiprocessing.set_start_method("fork", force=True)  # of data workers, as in any script
    sys.argv = [str(script), *arguments]
    ShortRuns().begin()
    status: Any = 0
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        # As in any script, nothing that it used is left when multiprocessing ends data workers and
        # waits for them. The frames of this exception would keep their loader.
        status = end.code
    sys.exit(status)
