"""Many files, examined by the workers that training has: none stops the others."""

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
    """What is found out about each file, as it comes.

    A file cannot be read if its worker dies of it, or if it takes ``options.timeout_seconds``.
    """
    dataset = ExaminedFiles(files, decode, options)
    done: set[str] = set()

    def start() -> Workers[Examined]:
        rest = [index for index, file in enumerate(files) if str(file) not in done]
        return Workers(
            *(dataset, num_workers, torch.device("cpu")),
            batch_size=None,
            sampler=rest,
            in_order=False,
        )

    yield from WatchedLoader(start, lambda found: done.add(found.file))


class ExaminedFiles(Dataset[Examined]):
    """The place of a file in ``files`` -> what is found out about it."""

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
