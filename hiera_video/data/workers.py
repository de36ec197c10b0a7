"""Supervised loader processes: a worker that dies or hangs costs the file it read, and no other."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, Protocol, TypeVar, cast

import torch
from torch.utils.data import DataLoader, Dataset

from hiera_video import compat
from hiera_video.data.worker_watch import WorkerWatch

T = TypeVar("T")

#: How often workers are checked while the main process waits for a batch.
_CHECK_SECONDS = 1.0


class WatchedDataset(Protocol):
    """A dataset that reads each file inside ``watch.reading``."""

    watch: WorkerWatch


class WorkerLostError(Exception):
    """A worker died, or hung and was killed. The dataset's watch knows which file it read."""


class Workers(Generic[T]):
    """A DataLoader whose processes are checked while the main process waits for a batch.

    ``arguments`` are passed to the DataLoader.
    """

    def __init__(
        self, dataset: WatchedDataset, num_workers: int, device: torch.device, **arguments: Any
    ) -> None:
        self.watch = dataset.watch
        self.watch.make_room(num_workers)
        self.processes: list[BaseProcess] = []
        self.loader: DataLoader[T] = DataLoader(
            cast(Dataset[T], dataset),
            num_workers=num_workers,
            worker_init_fn=_leave_process_group,
            pin_memory=device.type == "cuda",
            timeout=min(_CHECK_SECONDS, self.watch.timeout_seconds) if num_workers else 0,
            **arguments,
        )

    def batches(self) -> Iterator[T]:
        """All batches.

        Raises:
            WorkerLostError: if the processes must be restarted.
            UserError: if a worker died between two files.
        """
        iterator: Iterator[T] | None = None
        while True:
            try:
                if iterator is None:
                    iterator = self._start()
                batch = next(iterator)
            except StopIteration:
                return
            except (RuntimeError, OSError, EOFError) as error:
                timed_out = compat.is_dataloader_timeout(error)
                if not timed_out:
                    self._await_deaths()
                self.watch.kill_hung(self.processes)
                if self.watch.find_dead(self.processes):
                    raise WorkerLostError from None
                if not timed_out:
                    raise
                if iterator is None:  # too slow to start another pass: torch cannot ask again
                    for process in self.processes:
                        process.kill()
                    raise WorkerLostError from None
                continue
            yield batch

    def _await_deaths(self) -> None:
        """Wait for a process to end: a dying worker's connections break shortly before that."""
        ending = wait([process.sentinel for process in self.processes], _CHECK_SECONDS)
        for process in self.processes:
            if process.sentinel in ending:
                process.join()

    def _start(self) -> Iterator[T]:
        """Start the processes, unless they were kept from the previous iteration."""
        others = multiprocessing.active_children()
        with compat.without_child_handler():  # deaths are noticed while waiting for a batch
            iterator = iter(self.loader)
        started = [child for child in multiprocessing.active_children() if child not in others]
        self.processes = started or self.processes
        return iterator


class WatchedLoader(Generic[T]):
    """The batches of a DataLoader whose processes are restarted when one of them is lost.

    The file that the lost one read comes back as unreadable; what the others had read ahead is read
    again. Processes are kept between iterations if the DataLoader keeps them.

    Args:
        start: starts workers for everything that ``record`` has not been called with.
        record: called with each batch before it is yielded.
    """

    def __init__(self, start: Callable[[], Workers[T]], record: Callable[[T], None]) -> None:
        self._start = start
        self._record = record
        self._workers: Workers[T] | None = None

    def __iter__(self) -> Iterator[T]:
        while True:
            self._workers = self._workers or self._start()
            try:
                for batch in self._workers.batches():
                    self._record(batch)
                    yield batch
                return
            except WorkerLostError:
                self._workers = None


def _leave_process_group(_: int) -> None:
    """Leave the terminal's process group: Ctrl-C would end the workers before the run is saved."""
    os.setpgid(0, 0)
