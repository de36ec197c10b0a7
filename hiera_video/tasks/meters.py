"""Averages over all processes, and counts that a run takes with it when it goes on."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from accelerate.utils import gather, reduce
from torch import Tensor


class ClipMean:
    """The mean over clips of values that are means over batches."""

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(2, device=device)  # of values times clips, and of clips

    def update(self, value: Tensor, num_clips: int) -> None:
        """Take in a batch's mean ``value``."""
        self.sums[0] += value.detach() * num_clips
        self.sums[1] += num_clips

    def read(self) -> float | None:
        """The mean since the last reading; None where there were no clips in any process."""
        value, num_clips = reduce(self.sums).tolist()
        self.sums.zero_()
        return value / num_clips if num_clips else None


def read_tallies(means: Iterable[ClipMean], num_failed: int) -> list[list[float]]:
    """What each process has counted since the last reading, one list per process."""
    sums = [mean.sums for mean in means]
    counted = torch.cat([*sums, torch.tensor([num_failed], device=sums[0].device)])
    return gather(counted[None]).tolist()


def has_clips(tallies: list[list[float]]) -> bool:
    """Whether :func:`read_tallies` found any clips that had not been read."""
    return any(any(counted[1:-1:2]) for counted in tallies)


def restore_tallies(
    tallies: list[list[float]], means: Iterable[ClipMean], num_processes: int, process_index: int
) -> int:
    """Put what :func:`read_tallies` gave back into ``means``; return the failures.

    With another number of processes than it was counted by, the first one takes over all of it.
    """
    if len(tallies) != num_processes:
        total = torch.tensor(tallies).sum(0)
        tallies = [(total if index == 0 else total * 0).tolist() for index in range(num_processes)]
    mine = tallies[process_index]
    for number, mean in enumerate(means):
        mean.sums.copy_(torch.tensor(mine[2 * number : 2 * number + 2]))
    return int(mine[-1])
