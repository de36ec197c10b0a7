"""Which file each loader worker is reading: names the file when a worker dies or hangs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess

import torch
from torch.utils.data import get_worker_info

from hiera_video.errors import UserError, VideoError

_IDLE = -1


class WorkerWatch:
    """A table in shared memory: which file each worker is reading, since when, and its process id.

    Files have numbers: a row of a manifest, or an index into a list. ``lost`` maps the numbers of
    files on which a worker died or hung to the reason; those are not read again.

    Args:
        timeout_seconds: how long a worker may read one file.
        setting: name of that limit for users.
    """

    def __init__(self, timeout_seconds: float, setting: str = "data.timeout_seconds") -> None:
        self.timeout_seconds = timeout_seconds
        self.setting = setting
        self.lost: dict[int, str] = {}
        self._table = torch.empty(0, 3, dtype=torch.float64)

    def make_room(self, num_workers: int) -> None:
        """Create a table for workers that are about to start."""
        table = torch.full((num_workers, 3), _IDLE, dtype=torch.float64)
        self._table = table.share_memory_()

    @contextmanager
    def reading(self, number: int, file: str) -> Iterator[None]:
        """Around code in a worker that reads ``file``, which has this number.

        Raises:
            VideoError: if a worker died or hung on it before.
        """
        if number in self.lost:
            raise VideoError(file, self.lost[number])
        worker = get_worker_info()
        if worker is None:
            yield
            return
        entry = self._table[worker.id]
        # All processes of a machine share this clock.
        entry[1:] = torch.tensor([time.monotonic(), os.getpid()], dtype=torch.float64)
        entry[0] = number
        try:
            yield
        finally:
            entry[0] = _IDLE

    def kill_hung(self, workers: Sequence[BaseProcess]) -> None:
        """Kill the workers that have read one file for longer than the limit."""
        now = time.monotonic()
        for worker in workers:
            number, since = self._entry(worker)
            if number != _IDLE and now - since > self.timeout_seconds:
                worker.kill()
                worker.join()
                limit = f"{self.setting}={self.timeout_seconds:g}"
                self.lost[number] = f"reading took longer than {limit}"

    def find_dead(self, workers: Sequence[BaseProcess]) -> bool:
        """Record the files of dead workers as lost; returns whether there are any.

        Raises:
            UserError: if a worker died between two files, so that none of them is the cause.
        """
        any_lost = False
        for worker in workers:
            if worker.is_alive():
                continue
            number, _ = self._entry(worker)
            if number == _IDLE and worker.exitcode == 0:  # it had nothing left to do
                continue
            if number == _IDLE:
                raise UserError(
                    f"a loader worker {_ending(worker)} between two videos; if memory was short, "
                    "start fewer of them (num_workers)"
                )
            self.lost.setdefault(number, f"the worker that read it {_ending(worker)}")
            any_lost = True
        return any_lost

    def _entry(self, worker: BaseProcess) -> tuple[int, float]:
        """The number of the file that a worker is reading, and since when."""
        for number, since, process in self._table.tolist():
            if process == worker.pid:
                return int(number), since
        return _IDLE, 0.0


def _ending(worker: BaseProcess) -> str:
    status = worker.exitcode or 0
    if status >= 0:
        return f"ended with status {status}"
    name = signal.Signals(-status).name
    hint = " (out of memory?)" if -status == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"
