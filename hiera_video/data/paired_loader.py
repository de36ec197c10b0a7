"""Batches of clips and batches of images, in turns.

The clips set the pace: with each batch of them comes one of images, which go on from pass to pass
in an order of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch.utils.data import Sampler

from hiera_video.batch import ClipBatch
from hiera_video.data.loader import TrainingOrder
from hiera_video.seeding import derive_seed


@dataclass
class JointBatch(ClipBatch):
    """A batch of clips, and one of images beside it; ``failures`` are those of both.

    The first batch of an optimizer step says how many clips and images its step has, ``of_step``.
    """

    images: ClipBatch | None = None
    of_step: tuple[int, int] | None = None


class ImageOrder(Sampler[list[tuple[int, int]]]):
    """This process's share of the images that go with each batch of clips: ``(epoch, row)`` keys.

    Images stand in an endless row, one permutation after the other; each is a function of (seed,
    epoch of the images). ``clips.first_image`` is the place in it that an iteration starts at.
    """

    def __init__(self, num_rows: int, clips: TrainingOrder, batch_size: int) -> None:
        self.num_rows = num_rows
        self.clips = clips
        self.batch_size = batch_size

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        clips = self.clips
        permutations: dict[int, list[int]] = {}
        for batch in range(len(clips)):
            share = batch * clips.num_processes + clips.process_index
            first = clips.first_image + share * self.batch_size
            places = [divmod(first + k, self.num_rows) for k in range(self.batch_size)]
            epochs = {epoch for epoch, _ in places}
            permutations = {e: permutations.get(e) or self._permutation(e) for e in epochs}
            yield [(epoch, permutations[epoch][place]) for epoch, place in places]

    def _permutation(self, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(derive_seed(self.clips.seed, epoch))
        return torch.randperm(self.num_rows, generator=generator).tolist()


class JointLoader:
    """Pairs the batches of two loaders, whose orders are as long as each other.

    The ``accumulate_steps`` pairs of an optimizer step are read before the first is given: by how
    many clips and images their losses are to be divided must be known before they are computed, for
    one gradient holds both.
    """

    def __init__(
        self, clips: Iterable[ClipBatch], images: Iterable[ClipBatch], accumulate_steps: int
    ) -> None:
        self.clips = clips
        self.images = images
        self.accumulate_steps = accumulate_steps

    def __iter__(self) -> Iterator[JointBatch]:
        pairs = zip(self.clips, self.images, strict=True)
        while step := list(islice(pairs, self.accumulate_steps)):
            of_step = sum(len(clips) for clips, _ in step), sum(len(images) for _, images in step)
            for number, (clips, images) in enumerate(step):
                yield JointBatch(
                    clips.pixel_values,
                    clips.rows,
                    clips.labels,
                    clips.start_seconds,
                    clips.end_seconds,
                    clips.failures + images.failures,
                    clips.notices + images.notices,
                    images,
                    of_step if number == 0 else None,
                )
