"""Examining many files in supervised workers, as training has: no file stops the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch.utils.data import Dataset

from hiera_video.data.worker_watch import WorkerWatch
from hiera_video.data.workers import WatchedLoader, Workers
from hiera_video.decoding.options import DecodingOptions
from hiera_video.errors import VideoError
from hiera_video.inspection.examine import Examined, examine


def examine_all(
    files: Sequence[Path], num_workers: int, decode: bool, options: DecodingOptions
) -> Iterator[Examined]:
    """Examine files in parallel; results come in the order in which they are ready.

    A file counts as unreadable if its worker dies, or takes longer than
    ``options.timeout_seconds``.
    """
    dataset = ExaminedFiles(files, decode, options)
    done: set[str] = set()

    def start() -> Workers[Examined]:
        unfinished = [index for index, file in enumerate(files) if str(file) not in done]
        return Workers(
            *(dataset, num_workers, torch.device("cpu")),
            batch_size=None,
            sampler=unfinished,
            in_order=False,
        )

    yield from WatchedLoader(start, lambda examined: done.add(examined.file))


class ExaminedFiles(Dataset[Examined]):
    """Maps the index of a file in ``files`` to the facts about it."""

    def __init__(self, files: Sequence[Path], decode: bool, options: DecodingOptions) -> None:
        self.files = files
        self.decode = decode
        self.options = options
        self.watch = WorkerWatch(options.timeout_seconds, "--timeout-seconds")

    def __getitem__(self, index: int) -> Examined:
        file = self.files[index]
        try:
            with self.watch.reading(index, str(file)):
                return examine(file, self.decode, self.options)
        except VideoError as error:
            return Examined(str(file), decoded=False, reason=error.reason)
