"""Pairs of a batch of clips and a batch of images, for joint training.

The clips set the pace: each of their batches comes with a batch of images. The images have an order
of their own, which continues from one pass over the clips to the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

import torch
from torch import Tensor

from hiera_video.batch import ClipBatch, Failure, Notice
from hiera_video.config.groups import ReadingSettings
from hiera_video.data.dataset import TrainClips
from hiera_video.data.loader import ClipReader, Key, TrainingLoader, TrainingOrder
from hiera_video.seeding import generator


@dataclass(frozen=True)
class PairedBatch:
    """A batch of clips and a batch of images. The length is the number of clips.

    ``of_step``, in the first pair of an optimizer step: how many clips and images the step has.
    """

    clips: ClipBatch
    images: ClipBatch
    of_step: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def rows(self) -> Tensor:
        """The manifest row of each clip; ``images.rows`` refer to another manifest."""
        return self.clips.rows

    @property
    def failures(self) -> list[Failure]:
        """The failures of the clips, then those of the images."""
        return self.clips.failures + self.images.failures

    @property
    def notices(self) -> list[Notice]:
        """The notices of the clips, then those of the images."""
        return self.clips.notices + self.images.notices


@dataclass(frozen=True)
class ImageOrder:
    """Which images a process reads with each batch of clips, as ``(epoch, row)`` keys.

    The images form an endless sequence, one permutation of ``num_rows`` after the other; each is a
    function of (seed, epoch of the images). The seed and the division over processes are those of
    ``clips``.
    """

    num_rows: int
    rows_per_batch: int
    clips: TrainingOrder

    def batches(self, first_image: int, num_batches: int) -> Iterator[list[Key]]:
        """This process's share of ``num_batches`` batches, from position ``first_image`` on."""
        permutations: dict[int, list[int]] = {}
        for batch in range(num_batches):
            share = batch * self.clips.num_processes + self.clips.process_index
            first = first_image + share * self.rows_per_batch
            positions = [divmod(first + k, self.num_rows) for k in range(self.rows_per_batch)]
            epochs = {epoch for epoch, _ in positions}
            permutations = {e: permutations.get(e) or self._permutation(e) for e in epochs}
            yield [(epoch, permutations[epoch][position]) for epoch, position in positions]

    def _permutation(self, epoch: int) -> list[int]:
        order = generator(self.clips.seed, epoch)
        return torch.randperm(self.num_rows, generator=order).tolist()


class PairedLoader:
    """Pairs the batches of a training loader with batches of images.

    It reads all ``accumulate_steps`` pairs of an optimizer step before it yields the first. One
    gradient holds both losses, so each is divided by its count of clips or images in the step, and
    these counts must be known before the losses are computed.
    """

    def __init__(
        self,
        clips: TrainingLoader,
        images: TrainClips,
        image_order: ImageOrder,
        data: ReadingSettings,
        device: torch.device,
    ) -> None:
        self._clips = clips
        self._images = ClipReader(images, data, device)
        self._image_order = image_order

    @property
    def order(self) -> TrainingOrder:
        """The order of the clips."""
        return self._clips.order

    def batches(self, epoch: int, first_row: int, first_image: int = 0) -> Iterator[PairedBatch]:
        """The pairs of an epoch: clips from ``first_row`` on, images from position ``first_image``
        of their endless sequence on."""
        num_batches = self.order.num_batches(first_row)
        images = partial(self._image_order.batches, first_image, num_batches)
        clips = self._clips.batches(epoch, first_row)
        pairs = zip(clips, self._images.read(images), strict=True)
        while step := list(islice(pairs, self.order.accumulate_steps)):
            of_step = sum(len(clips) for clips, _ in step), sum(len(images) for _, images in step)
            for number, (of_clips, of_images) in enumerate(step):
                yield PairedBatch(of_clips, of_images, of_step if number == 0 else None)
