"""Order, division over processes, and workers.

Nothing here depends on how many workers there are, and the clips of a training step do not depend
on how many processes share it: step s takes the same videos whether one loads them or eight.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler

from hiera_video.batch import ClipBatch
from hiera_video.data.dataset import WindowBatch
from hiera_video.errors import ConfigError
from hiera_video.seeding import derive_seed


class TrainingOrder(Sampler[list[tuple[int, int]]]):
    """This process's share of every batch of an epoch, as ``(epoch, row)`` keys.

    Each epoch is a new permutation, a function of (seed, epoch). Rows that do not fill a last step
    are left out of that epoch. ``epoch`` and ``first_batch`` say where the next iteration starts:
    a resumed run goes on without decoding what it has seen.
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
        self.first_batch = 0
        rows_per_step = rows_per_batch * num_processes * accumulate_steps
        self.batches_per_epoch = num_rows // rows_per_step * accumulate_steps
        if self.batches_per_epoch == 0:
            raise ConfigError(
                f"train.batch_size: {num_rows} training videos do not fill one step of "
                f"{rows_per_step} ({rows_per_batch} videos x {num_processes} processes x "
                f"{accumulate_steps} accumulated batches)"
            )

    def __len__(self) -> int:
        return self.batches_per_epoch - self.first_batch

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, self.epoch))
        order = torch.randperm(self.num_rows, generator=generator).tolist()
        for batch in range(self.first_batch, self.batches_per_epoch):
            begin = (batch * self.num_processes + self.process_index) * self.rows_per_batch
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


def clip_loader(
    dataset: Dataset[ClipBatch],
    batches: Sampler[list[tuple[int, int]]] | Sequence[list[int]],
    num_workers: int,
    device: torch.device,
) -> DataLoader[ClipBatch]:
    """Batches of clips, in the order of ``batches``."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=ClipBatch.concatenate,
        **_worker_arguments(num_workers, device),
    )


def window_loader(
    dataset: IterableDataset[WindowBatch], num_workers: int, device: torch.device
) -> DataLoader[WindowBatch]:
    """Batches of windows; those of one video in order, those of several interleaved."""
    return DataLoader(dataset, batch_size=None, **_worker_arguments(num_workers, device))


def _worker_arguments(num_workers: int, device: torch.device) -> dict[str, Any]:
    return {
        "num_workers": num_workers,
        "persistent_workers": num_workers > 0,
        "pin_memory": device.type == "cuda",
    }
