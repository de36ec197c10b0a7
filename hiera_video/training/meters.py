"""Means over all processes of the figures that are logged; a resumed run continues them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from accelerate.utils import gather, reduce
from torch import Tensor


class ClipMean:
    """The mean over all clips, from means over batches."""

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(2, device=device)  # of values times clips, and of clips

    def update(self, value: Tensor, num_clips: int) -> None:
        """Add a batch's mean ``value``."""
        self.sums[0] += value.detach() * num_clips
        self.sums[1] += num_clips

    def read(self) -> float | None:
        """The mean since the last reading; None where there were no clips in any process."""
        value, num_clips = reduce(self.sums).tolist()
        self.sums.zero_()
        return value / num_clips if num_clips else None


class Meters:
    """The means that a task logs, by name.

    Args:
        names: what is logged; the same in all processes.
    """

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self._means = {name: ClipMean(device) for name in names}

    def update(self, means: Mapping[str, tuple[Tensor, int]]) -> None:
        """Add the means of a batch, each with the number of clips it was taken over."""
        for name, (value, num_clips) in means.items():
            self._means[name].update(value, num_clips)

    def read(self) -> dict[str, float]:
        """The means since the last reading, over all processes, as far as there were clips."""
        means = {name: mean.read() for name, mean in self._means.items()}
        return {name: value for name, value in means.items() if value is not None}

    def read_tallies(self, num_failed: int) -> list[list[float]]:
        """The sums and counts since the last reading, one list per process; failures come last."""
        sums = [mean.sums for mean in self._means.values()]
        counted = torch.cat([*sums, torch.tensor([num_failed], device=sums[0].device)])
        return gather(counted[None]).tolist()

    def restore_tallies(
        self, tallies: list[list[float]], num_processes: int, process_index: int
    ) -> int:
        """Continue from the result of :meth:`read_tallies`; return the failures.

        If the number of processes has changed, the first one takes over all counts.
        """
        if len(tallies) != num_processes:
            total = torch.tensor(tallies).sum(0)
            tallies = [
                (total if index == 0 else total * 0).tolist() for index in range(num_processes)
            ]
        mine = tallies[process_index]
        for number, mean in enumerate(self._means.values()):
            mean.sums.copy_(torch.tensor(mine[2 * number : 2 * number + 2]))
        return int(mine[-1])


def has_clips(tallies: list[list[float]]) -> bool:
    """Whether the result of :meth:`Meters.read_tallies` counts any clips."""
    return any(any(counted[1:-1:2]) for counted in tallies)
