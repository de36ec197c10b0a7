"""Order, division over processes, and loaders.

No result here depends on the number of workers, and the clips of a training step do not depend on
the number of processes that share it: step s takes the same videos on one process or on eight.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import KW_ONLY, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import torch

from hiera_video.batch import ClipBatch
from hiera_video.config.clip_groups import ClipSettings, EvaluateSettings
from hiera_video.config.groups import ReadingSettings
from hiera_video.data.class_balance import ClassBalance
from hiera_video.data.dataset import EvaluationClips, TrainClips
from hiera_video.data.manifest import Row, rows_of_files
from hiera_video.data.windows import VideoWindows, WindowBatch
from hiera_video.data.workers import WatchedLoader, Workers
from hiera_video.decoding.options import DecodingOptions
from hiera_video.errors import ConfigError, VideoError
from hiera_video.seeding import generator

#: An epoch and a row of the manifest, and where a row may come more than once in an epoch, how
#: often it came before: an index into :class:`TrainClips`.
Key: TypeAlias = tuple[int, ...]

#: An extraction is divided into at least this many groups of videos, as far as there are videos.
_MIN_GROUPS = 256


@dataclass(frozen=True)
class TrainingOrder:
    """Which rows a process reads for each batch of an epoch, as ``(epoch, row)`` keys.

    Each epoch is a new permutation, a function of (seed, epoch), or the order of ``balance``, in
    which rows of some classes come more than once, and others not at all. It leaves out the rows
    that do not fill a last step. ``first_row``, where a method takes it, is a position in the
    permutation, over all processes: a resumed run skips the rows before it without decoding them,
    even if batch size and number of processes have changed.

    Raises:
        ConfigError: if the rows do not fill a step.
    """

    num_rows: int
    _: KW_ONLY
    rows_per_batch: int
    accumulate_steps: int
    num_processes: int
    process_index: int
    seed: int
    balance: ClassBalance | None = None

    def __post_init__(self) -> None:
        if self.steps_per_epoch == 0:
            raise ConfigError(
                f"{self.num_rows} training videos do not fill one step of {self.rows_per_step} "
                f"({self.rows_per_batch} videos x {self.num_processes} processes x "
                f"{self.accumulate_steps} accumulated batches)"
            )

    @property
    def rows_per_step(self) -> int:
        """Rows of an optimizer step, over all processes and accumulated batches."""
        return self.rows_per_batch * self.num_processes * self.accumulate_steps

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of a whole epoch."""
        return self.num_rows // self.rows_per_step

    def num_batches(self, first_row: int = 0) -> int:
        """The number of batches that this process reads in an epoch from ``first_row`` on."""
        return (self.num_rows - first_row) // self.rows_per_step * self.accumulate_steps

    def first_batch(self, first_row: int) -> int:
        """The number of batches, at this batch size, that the rows before ``first_row`` fill."""
        return first_row // (self.rows_per_batch * self.num_processes)

    def batches(self, epoch: int, first_row: int = 0) -> Iterator[list[Key]]:
        """This process's share of every batch of an epoch, from ``first_row`` on."""
        order = self._order(epoch)
        for batch in range(self.num_batches(first_row)):
            share = batch * self.num_processes + self.process_index
            begin = first_row + share * self.rows_per_batch
            yield order[begin : begin + self.rows_per_batch]

    def _order(self, epoch: int) -> list[Key]:
        draw = generator(self.seed, epoch)
        if self.balance is not None:
            return [(epoch, *place) for place in self.balance.order(draw)]
        return [(epoch, row) for row in torch.randperm(self.num_rows, generator=draw).tolist()]


def evaluation_order(
    num_rows: int, batch_size: int, num_processes: int, process_index: int
) -> list[list[int]]:
    """This process's batches of rows. Over all processes every row occurs exactly once: none is
    repeated to make shares equal.

    Batches are formed before they are divided, so that a video is in the same batch, and has the
    same result to the bit, for any number of processes.
    """
    groups = [
        list(range(begin, min(begin + batch_size, num_rows)))
        for begin in range(0, num_rows, batch_size)
    ]
    return groups[process_index::num_processes]


def extraction_order(
    rows: Sequence[int], batch_size: int, num_processes: int, process_index: int
) -> list[list[int]]:
    """This process's groups of ``rows``. Over all processes every row occurs exactly once.

    The windows of a group share batches, so that images and short videos fill batches together.
    Groups are formed before they are divided, as in an evaluation; they are small enough that there
    are many to divide.
    """
    group_size = min(batch_size, max(1, len(rows) // _MIN_GROUPS))
    groups = evaluation_order(len(rows), group_size, num_processes, process_index)
    return [[rows[position] for position in group] for group in groups]


def read_files(
    videos: Sequence[Path],
    clip: ClipSettings,
    evaluate: EvaluateSettings,
    decoding: DecodingOptions,
) -> Iterator[tuple[Row, ClipBatch]]:
    """Read all views of each file, one file after the other, in this process, without a manifest.

    Raises:
        VideoError: before any file is read, for a video if clips are images, or an image if they
            are not; and later when the iteration reaches a file that cannot be read.
    """
    rows = rows_of_files(videos, clip)
    dataset = EvaluationClips(rows, clip, evaluate, decoding, seed=0)
    for row in rows:
        batch = dataset[row.index]
        for failure in batch.failures:
            raise VideoError(failure.path, failure.reason)
        yield row, batch


def faster_loading(num_workers: int, repeats: int, num_processes: int) -> str:
    """Advice for training that waits for clips; each decoded video gives ``repeats`` of them."""
    num_cores = os.cpu_count() or 1
    more_clips = f"train.repeated_sampling ({repeats} of each decoded video)"
    if num_workers * num_processes >= num_cores:
        return f"all {num_cores} cores read; raise {more_clips}, or store smaller videos"
    workers = f"{num_workers} x {num_processes} processes, on {num_cores} cores"
    return f"raise data.num_workers ({workers}) or {more_clips}"


class ClipReader:
    """Reads batches of clips for batches of keys. Workers are kept from one reading to the next.

    If a worker process dies or hangs on a video, that video becomes a failure in its batch, like
    one that cannot be decoded. The batches that other workers had read ahead are read again.
    """

    def __init__(
        self, dataset: TrainClips | EvaluationClips, data: ReadingSettings, device: torch.device
    ) -> None:
        self._keys = _Keys()
        start: Callable[[], Workers[ClipBatch]] = partial(
            Workers,
            dataset,
            data.num_workers,
            device,
            batch_sampler=self._keys,
            collate_fn=ClipBatch.concatenate,
            persistent_workers=data.num_workers > 0,
        )
        self._loader = WatchedLoader(start, self._keys.count)

    def read(self, batches: Callable[[], Iterable[list[Any]]]) -> Iterator[ClipBatch]:
        """The clips of ``batches()``, which must give the same keys each time: it is called again
        after workers were restarted."""
        self._keys.batches, self._keys.num_read = batches, 0
        yield from self._loader


class ClipLoader:
    """Batches of clips for the keys in ``batches``; each iteration reads all of them."""

    def __init__(
        self,
        dataset: TrainClips | EvaluationClips,
        batches: Sequence[list[Any]],
        data: ReadingSettings,
        device: torch.device,
    ) -> None:
        self._batches = batches
        self._reader = ClipReader(dataset, data, device)

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[ClipBatch]:
        batches = self._batches  # a reference cycle through self would keep the workers alive
        return self._reader.read(lambda: batches)


class TrainingLoader:
    """Batches of training clips, in a new order each epoch."""

    def __init__(
        self, dataset: TrainClips, order: TrainingOrder, data: ReadingSettings, device: torch.device
    ) -> None:
        self.order = order
        self._reader = ClipReader(dataset, data, device)

    def batches(self, epoch: int, first_row: int, first_image: int = 0) -> Iterator[ClipBatch]:
        """The batches of an epoch from ``first_row`` on. ``first_image`` has no effect: only a
        :class:`PairedLoader` reads images beside the clips."""
        return self._reader.read(partial(self.order.batches, epoch, first_row))


class _Keys:
    """The batches of keys that have not been read yet."""

    def __init__(self) -> None:
        self.batches: Callable[[], Iterable[list[Any]]] = list
        self.num_read = 0

    def count(self, _: ClipBatch) -> None:
        """Count a batch as read."""
        self.num_read += 1

    def __iter__(self) -> Iterator[list[Any]]:
        return islice(self.batches(), self.num_read, None)


def window_batches(
    dataset: VideoWindows, data: ReadingSettings, device: torch.device
) -> Iterator[WindowBatch]:
    """Batches of windows; those of one video in order, those of several workers as they come.

    A video on which a worker dies or hangs becomes a failure, as in :class:`ClipReader`. Videos
    that other workers had begun by then start again, from window 0.
    """
    finished: set[int] = set()

    def start() -> Workers[WindowBatch]:
        unfinished = copy(dataset)
        unfinished.groups = [[row for row in g if row not in finished] for g in dataset.groups]
        return Workers(unfinished, data.num_workers, device, batch_size=None, in_order=False)

    def record(batch: WindowBatch) -> None:
        windows = zip(batch.clips.rows.tolist(), batch.numbers, batch.totals, strict=True)
        finished.update(row for row, number, total in windows if number == total - 1)
        finished.update(failure.row for failure in batch.clips.failures)

    yield from WatchedLoader(start, record)
