"""Order, division over processes, and workers.

Nothing here depends on how many workers there are, and the clips of a training step do not depend
on how many processes share it: step s takes the same videos whether one loads them or eight.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from hiera_video.batch import ClipBatch
from hiera_video.config.groups import ClipSettings, EvaluateSettings, ReadingSettings
from hiera_video.data.dataset import EvaluationClips, TrainClips, VideoWindows, WindowBatch
from hiera_video.data.manifest import Row, rows_of_files
from hiera_video.decoding.options import DecodingOptions
from hiera_video.errors import ConfigError, VideoError
from hiera_video.seeding import derive_seed

T = TypeVar("T")

#: How often workers are looked at while a batch is waited for.
_LOOK_SECONDS = 1.0
#: What torch's DataLoader says, and nothing else tells, when its ``timeout`` is over.
_TIMED_OUT = "DataLoader timed out"
#: Groups that the videos of an extraction are divided into, at least, if there are so many videos.
_MIN_GROUPS = 256


class TrainingOrder(Sampler[list[tuple[int, int]]]):
    """This process's share of every batch of an epoch, as ``(epoch, row)`` keys.

    Each epoch is a new permutation, a function of (seed, epoch). Rows that do not fill a last step
    are left out of that epoch. ``epoch`` and ``first_row`` (a position in the permutation, over all
    processes) say where the next iteration starts: a resumed run goes on without decoding what it
    has seen, whatever its batches and processes were before. ``first_image`` says the same of the
    images that go with the clips, if any.
    """

    def __init__(
        self,
        num_rows: int,
        *,
        rows_per_batch: int,
        accumulate_steps: int,
        num_processes: int,
        process_index: int,
        seed: int,
    ) -> None:
        self.num_rows = num_rows
        self.rows_per_batch = rows_per_batch
        self.num_processes = num_processes
        self.process_index = process_index
        self.seed = seed
        self.epoch = 0
        self.first_row = 0
        self.first_image = 0
        self.accumulate_steps = accumulate_steps
        self.rows_per_step = rows_per_batch * num_processes * accumulate_steps
        self.steps_per_epoch = num_rows // self.rows_per_step
        if self.steps_per_epoch == 0:
            raise ConfigError(
                f"train.batch_size: {num_rows} training videos do not fill one step of "
                f"{self.rows_per_step} ({rows_per_batch} videos x {num_processes} processes x "
                f"{accumulate_steps} accumulated batches)"
            )

    def __len__(self) -> int:
        return (self.num_rows - self.first_row) // self.rows_per_step * self.accumulate_steps

    @property
    def first_batch(self) -> int:
        """Batches of this size that the rows before ``first_row`` would be."""
        return self.first_row // (self.rows_per_batch * self.num_processes)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, self.epoch))
        order = torch.randperm(self.num_rows, generator=generator).tolist()
        for batch in range(len(self)):
            share = batch * self.num_processes + self.process_index
            begin = self.first_row + share * self.rows_per_batch
            yield [(self.epoch, row) for row in order[begin : begin + self.rows_per_batch]]


def evaluation_order(
    num_rows: int, batch_size: int, num_processes: int, process_index: int
) -> list[list[int]]:
    """This process's batches of rows; every row once in all, none repeated to even things out.

    Rows are grouped before they are divided, so that a video is computed in the same batch, to the
    same bits, however many processes there are.
    """
    groups = [
        list(range(begin, min(begin + batch_size, num_rows)))
        for begin in range(0, num_rows, batch_size)
    ]
    return groups[process_index::num_processes]


def extraction_order(
    rows: Sequence[int], batch_size: int, num_processes: int, process_index: int
) -> list[list[int]]:
    """This process's groups of ``rows``, whose windows share batches; every row once in all.

    Images, and videos of a few windows, fill batches together. Rows are grouped before they are
    divided, as for an evaluation, and few enough for each group that there is enough to divide.
    """
    group_size = min(batch_size, max(1, len(rows) // _MIN_GROUPS))
    groups = evaluation_order(len(rows), group_size, num_processes, process_index)
    return [[rows[place] for place in group] for group in groups]


def read_files(
    videos: Sequence[Path],
    clip: ClipSettings,
    evaluate: EvaluateSettings,
    decoding: DecodingOptions,
) -> Iterator[tuple[Row, ClipBatch]]:
    """All views of one file after the other, read in this process; no manifest has them.

    Raises:
        VideoError: for a video where images are wanted, or an image where clips are, before any is
            read; and when one that cannot be read is reached.
    """
    rows = rows_of_files(videos, clip)
    dataset = EvaluationClips(rows, clip, evaluate, decoding, seed=0)
    for row in rows:
        batch = dataset[row.index]
        for failure in batch.failures:
            raise VideoError(failure.path, failure.reason)
        yield row, batch


def faster_loading(data: ReadingSettings, repeats: int, num_processes: int) -> str:
    """What to change where training waits for clips, of which ``repeats`` come from each decode."""
    num_cores = os.cpu_count() or 1
    more_clips = f"train.repeated_sampling ({repeats} of each decoded video)"
    if data.num_workers * num_processes >= num_cores:
        return f"all {num_cores} cores read; raise {more_clips}, or store smaller videos"
    workers = f"{data.num_workers} x {num_processes} processes, on {num_cores} cores"
    return f"raise data.num_workers ({workers}) or {more_clips}"


class ClipLoader:
    """Batches of clips, in the order of ``batches``, which each iteration goes through.

    A video on which a worker process dies or hangs comes back as a failure, as one that cannot be
    decoded does, in the batch that it belongs to. What others had read ahead is read again.
    """

    def __init__(
        self,
        dataset: TrainClips | EvaluationClips,
        batches: Sampler[list[tuple[int, int]]] | Sequence[list[Any]],
        data: ReadingSettings,
        device: torch.device,
    ) -> None:
        self.batches = batches
        self._order = _Rest(batches)
        self._make_workers = partial(
            _Workers,
            dataset,
            data,
            device,
            batch_sampler=self._order,
            collate_fn=ClipBatch.concatenate,
            persistent_workers=data.num_workers > 0,
        )
        self._workers: _Workers[ClipBatch] = self._make_workers()

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[ClipBatch]:
        self._order.first = 0
        while True:
            try:
                for batch in self._workers.batches():
                    self._order.first += 1
                    yield batch
                return
            except _WorkerLostError:
                self._workers = self._make_workers()


def window_batches(
    dataset: VideoWindows, data: ReadingSettings, device: torch.device
) -> Iterator[WindowBatch]:
    """Batches of windows; those of one video in order, those of several workers as they come.

    A video on which a worker dies or hangs ends in a failure, as in :class:`ClipLoader`. Videos
    that others had begun by then are begun again, from window 0.
    """
    finished: set[int] = set()
    while True:
        try:
            workers: _Workers[WindowBatch] = _Workers(
                dataset, data, device, batch_size=None, in_order=False
            )
            for batch in workers.batches():
                windows = zip(batch.clips.rows.tolist(), batch.numbers, batch.totals, strict=True)
                finished.update(row for row, number, total in windows if number == total - 1)
                finished.update(failure.row for failure in batch.clips.failures)
                yield batch
            return
        except _WorkerLostError:
            dataset.groups = [
                [row for row in group if row not in finished] for group in dataset.groups
            ]


class _Rest:
    """``batches`` from number ``first`` on."""

    def __init__(self, batches: Sampler[list[tuple[int, int]]] | Sequence[list[Any]]) -> None:
        self.batches = batches
        self.first = 0

    def __iter__(self) -> Iterator[Any]:
        return islice(self.batches, self.first, None)


class _WorkerLostError(Exception):
    """A worker died, or hung and was killed. The dataset's watch knows which row it was at."""


class _Workers(Generic[T]):
    """A DataLoader and its processes, watched while their batches are waited for."""

    def __init__(
        self,
        dataset: TrainClips | EvaluationClips | VideoWindows,
        data: ReadingSettings,
        device: torch.device,
        **arguments: Any,
    ) -> None:
        self.watch = dataset.watch
        self.watch.make_room(data.num_workers)
        self.watch.timeout_seconds = data.timeout_seconds
        self.processes: list[BaseProcess] = []
        self.loader: DataLoader[T] = DataLoader(
            cast(Dataset[T], dataset),
            num_workers=data.num_workers,
            worker_init_fn=_leave_process_group,
            pin_memory=device.type == "cuda",
            timeout=min(_LOOK_SECONDS, data.timeout_seconds) if data.num_workers else 0,
            **arguments,
        )

    def batches(self) -> Iterator[T]:
        """All batches.

        Raises:
            _WorkerLostError: if the processes have to be started anew.
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
                timed_out = str(error).startswith(_TIMED_OUT)
                if not timed_out:
                    self._await_deaths()
                self.watch.kill_hung(self.processes)
                if self.watch.find_dead(self.processes):
                    raise _WorkerLostError from None
                if not timed_out:
                    raise
                if iterator is None:  # slow to wake for another pass: torch cannot ask them twice
                    for process in self.processes:
                        process.kill()
                    raise _WorkerLostError from None
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
        handler = signal.getsignal(signal.SIGCHLD)
        iterator = iter(self.loader)
        # torch's handler raises wherever the main process happens to be when a worker dies, be it
        # in the middle of an optimizer step. It is enough to find out while waiting for a batch.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, handler)
        started = [child for child in multiprocessing.active_children() if child not in others]
        self.processes = started or self.processes
        return iterator


def _leave_process_group(_: int) -> None:
    """Ctrl-C goes to all of a terminal's group, but workers are needed until the run is saved."""
    os.setpgid(0, 0)
