"""Views of a clip, by torchvision's transforms v2 on uint8 frames.

Axes: T frames, C channels, H rows, W columns. All frames of a clip are treated alike: torchvision
draws once and applies the result to every leading axis.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from hiera_video.config import AugmentSettings, ClipSettings


class TrainView:
    """A random view ``(T, C, H, W) -> (T, C, crop_size, crop_size)``; a function of ``seed``."""

    def __init__(self, augment: AugmentSettings, clip: ClipSettings) -> None:
        steps: list[v2.Transform] = [
            v2.RandomResizedCrop(clip.crop_size, augment.scale, augment.ratio, antialias=True)
        ]
        if augment.horizontal_flip:
            steps.append(v2.RandomHorizontalFlip(augment.horizontal_flip))
        if augment.rand_augment_num_ops:
            # After the crop: the colour operations cost a third there of what they do before it.
            # Magnitudes of papers are tenths of the full strength; torchvision counts in bins.
            steps.append(
                v2.RandAugment(
                    augment.rand_augment_num_ops,
                    augment.rand_augment_magnitude,
                    num_magnitude_bins=11,
                )
            )
        if augment.random_erasing:
            # The mean colour is zero after normalisation.
            mean_colour = [round(255 * value) for value in clip.mean]
            steps.append(v2.RandomErasing(augment.random_erasing, value=mean_colour))
        self._transform = v2.Compose(steps)

    def __call__(self, frames: Tensor, seed: int) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self._transform(frames)


class EvaluationViews:
    """``num_crops`` square crops, evenly spaced along the longer side.

    ``(T, C, H, W)`` -> ``num_crops`` times ``(T, C, crop_size, crop_size)``: one is the centre,
    three are left, centre and right (or top, centre, bottom), as in PySlowFast.
    """

    def __init__(self, clip: ClipSettings, num_crops: int) -> None:
        self.crop_size = clip.crop_size
        self.short_side = clip.short_side or clip.crop_size
        self.num_crops = num_crops

    def __call__(self, frames: Tensor) -> list[Tensor]:
        frames = F.resize(frames, [self.short_side], antialias=True)
        free_rows = frames.shape[-2] - self.crop_size
        free_columns = frames.shape[-1] - self.crop_size
        crops = []
        for crop in range(self.num_crops):
            share = crop / (self.num_crops - 1) if self.num_crops > 1 else 0.5
            along_rows = free_rows > free_columns
            top = round(free_rows * (share if along_rows else 0.5))
            left = round(free_columns * (0.5 if along_rows else share))
            crops.append(F.crop(frames, top, left, self.crop_size, self.crop_size))
        return crops
