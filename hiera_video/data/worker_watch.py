"""Which file each loader worker is reading: so that one that dies or hangs names it."""

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

_NOTHING = -1


class WorkerWatch:
    """A table in shared memory: what each worker is reading, since when, and its process number.

    What is read is numbered: a row of a manifest, or a place in a list of files. ``lost`` are the
    numbers that cost a worker, with the reason; they are not read again.

    Args:
        timeout_seconds: how long one of them may keep a worker.
        setting: what users call that limit.
    """

    def __init__(self, timeout_seconds: float, setting: str = "data.timeout_seconds") -> None:
        self.timeout_seconds = timeout_seconds
        self.setting = setting
        self.lost: dict[int, str] = {}
        self._table = torch.empty(0, 3, dtype=torch.float64)

    def make_room(self, num_workers: int) -> None:
        """Begin a table for workers that are about to start."""
        table = torch.full((num_workers, 3), _NOTHING, dtype=torch.float64)
        self._table = table.share_memory_()

    @contextmanager
    def reading(self, number: int, file: str) -> Iterator[None]:
        """Around whatever may die or hang on ``file``, which has this number.

        Raises:
            VideoError: if it did so before.
        """
        if number in self.lost:
            raise VideoError(file, self.lost[number])
        worker = get_worker_info()
        if worker is None:
            yield
            return
        entry = self._table[worker.id]
        # The clock is the same in all processes of a machine.
        entry[1:] = torch.tensor([time.monotonic(), os.getpid()], dtype=torch.float64)
        entry[0] = number
        try:
            yield
        finally:
            entry[0] = _NOTHING

    def kill_hung(self, workers: Sequence[BaseProcess]) -> None:
        """Kill the workers that have been reading one video for too long."""
        now = time.monotonic()
        for worker in workers:
            number, since = self._entry(worker)
            if number != _NOTHING and now - since > self.timeout_seconds:
                worker.kill()
                worker.join()
                limit = f"{self.setting}={self.timeout_seconds:g}"
                self.lost[number] = f"reading took longer than {limit}"

    def find_dead(self, workers: Sequence[BaseProcess]) -> bool:
        """Take note of what dead workers were reading; whether there are any.

        Raises:
            UserError: if one died while it read nothing, so that no video is to blame.
        """
        found = False
        for worker in workers:
            if worker.is_alive():
                continue
            number, _ = self._entry(worker)
            if number == _NOTHING and worker.exitcode == 0:  # it had nothing left to do
                continue
            if number == _NOTHING:
                raise UserError(
                    f"a loader worker {_ending(worker)} between two videos; if memory was short, "
                    "start fewer of them (num_workers)"
                )
            self.lost.setdefault(number, f"the worker that read it {_ending(worker)}")
            found = True
        return found

    def _entry(self, worker: BaseProcess) -> tuple[int, float]:
        """The number of what a worker is reading, and since when."""
        for number, since, process in self._table.tolist():
            if process == worker.pid:
                return int(number), since
        return _NOTHING, 0.0


def _ending(worker: BaseProcess) -> str:
    status = worker.exitcode or 0
    if status >= 0:
        return f"ended with status {status}"
    name = signal.Signals(-status).name
    hint = " (out of memory?)" if -status == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"
