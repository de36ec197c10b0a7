"""Loader processes that are watched: one that dies or hangs costs its file, and no other."""

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

#: How often workers are looked at while a batch is waited for.
_LOOK_SECONDS = 1.0


class WatchedDataset(Protocol):
    """A dataset that reads each file inside ``watch.reading``."""

    watch: WorkerWatch


class WorkerLostError(Exception):
    """A worker died, or hung and was killed. The dataset's watch knows which file it was at."""


class Workers(Generic[T]):
    """A DataLoader and its processes, watched while their batches are waited for.

    ``arguments`` are the DataLoader's own.
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
            timeout=min(_LOOK_SECONDS, self.watch.timeout_seconds) if num_workers else 0,
            **arguments,
        )

    def batches(self) -> Iterator[T]:
        """All batches.

        Raises:
            WorkerLostError: if the processes have to be started anew.
            UserError: if one died while it read nothing.
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
                if iterator is None:  # slow to wake for another pass: torch cannot ask them twice
                    for process in self.processes:
                        process.kill()
                    raise WorkerLostError from None
                continue
            yield batch

    def _await_deaths(self) -> None:
        """A worker's connections break shortly before its process is over."""
        ending = wait([process.sentinel for process in self.processes], _LOOK_SECONDS)
        for process in self.processes:
            if process.sentinel in ending:
                process.join()

    def _start(self) -> Iterator[T]:
        """Start the processes, unless they live on from the iteration before."""
        others = multiprocessing.active_children()
        with compat.without_child_handler():  # deaths are found out while waiting for a batch
            iterator = iter(self.loader)
        started = [child for child in multiprocessing.active_children() if child not in others]
        self.processes = started or self.processes
        return iterator


class WatchedLoader(Generic[T]):
    """Whatever a DataLoader gives, from processes that start anew when a file has cost one of them.

    That file comes back as one that cannot be read; what others had read ahead is read again. The
    processes are kept from one iteration to the next where the DataLoader's are.

    Args:
        start: workers that read what ``note`` was not told of yet.
        note: told of each batch before it is given.
    """

    def __init__(self, start: Callable[[], Workers[T]], note: Callable[[T], None]) -> None:
        self._start = start
        self._note = note
        self._workers: Workers[T] | None = None

    def __iter__(self) -> Iterator[T]:
        while True:
            self._workers = self._workers or self._start()
            try:
                for batch in self._workers.batches():
                    self._note(batch)
                    yield batch
                return
            except WorkerLostError:
                self._workers = None


def _leave_process_group(_: int) -> None:
    """Ctrl-C goes to all of a terminal's group, but workers are needed until the run is saved."""
    os.setpgid(0, 0)
