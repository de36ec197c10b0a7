"""Which video each loader worker is reading: so that one that dies or hangs names it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess

import torch
from torch.utils.data import get_worker_info

from hiera_video.data.manifest import Row
from hiera_video.decoding.options import TIMEOUT_SECONDS
from hiera_video.errors import UserError, VideoError

_NOTHING = -1


class WorkerWatch:
    """A table in shared memory: what each worker is reading, since when, and its process number.

    ``lost`` are the manifest rows that cost a worker, with the reason; they are not read again.
    ``timeout_seconds`` is how long a video may take.
    """

    def __init__(self) -> None:
        self.lost: dict[int, str] = {}
        self.timeout_seconds = TIMEOUT_SECONDS
        self._table = torch.empty(0, 3, dtype=torch.float64)

    def make_room(self, num_workers: int) -> None:
        """Begin a table for workers that are about to start."""
        table = torch.full((num_workers, 3), _NOTHING, dtype=torch.float64)
        self._table = table.share_memory_()

    @contextmanager
    def reading(self, row: Row) -> Iterator[None]:
        """Around whatever may die or hang on the video of ``row``.

        Raises:
            VideoError: if it did so before.
        """
        if row.index in self.lost:
            raise VideoError(str(row.file), self.lost[row.index])
        worker = get_worker_info()
        if worker is None:
            yield
            return
        entry = self._table[worker.id]
        # The clock is the same in all processes of a machine.
        entry[1:] = torch.tensor([time.monotonic(), os.getpid()], dtype=torch.float64)
        entry[0] = row.index
        try:
            yield
        finally:
            entry[0] = _NOTHING

    def kill_hung(self, workers: Sequence[BaseProcess]) -> None:
        """Kill the workers that have been reading one video for too long."""
        now = time.monotonic()
        for worker in workers:
            row, since = self._entry(worker)
            if row != _NOTHING and now - since > self.timeout_seconds:
                worker.kill()
                worker.join()
                self.lost[row] = (
                    f"reading took longer than data.timeout_seconds={self.timeout_seconds:g}"
                )

    def find_dead(self, workers: Sequence[BaseProcess]) -> bool:
        """Take note of what dead workers were reading; whether there are any.

        Raises:
            UserError: if one died while it read nothing, so that no video is to blame.
        """
        found = False
        for worker in workers:
            if worker.is_alive():
                continue
            row, _ = self._entry(worker)
            if row == _NOTHING and worker.exitcode == 0:  # it had nothing left to do
                continue
            if row == _NOTHING:
                raise UserError(
                    f"a loader worker {_ending(worker)} between two videos; if memory was short, "
                    "lower data.num_workers"
                )
            self.lost.setdefault(row, f"the worker that read it {_ending(worker)}")
            found = True
        return found

    def _entry(self, worker: BaseProcess) -> tuple[int, float]:
        """The row that a worker is reading, and since when."""
        for row, since, process in self._table.tolist():
            if process == worker.pid:
                return int(row), since
        return _NOTHING, 0.0


def _ending(worker: BaseProcess) -> str:
    status = worker.exitcode or 0
    if status >= 0:
        return f"ended with status {status}"
    name = signal.Signals(-status).name
    hint = " (out of memory?)" if -status == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"
