"""Views of a clip, made by torchvision's transforms v2 on uint8 frames.

Axes: T frames, C channels, H rows, W columns. All frames of a clip are treated alike: torchvision
draws random numbers once and applies the result to every leading axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from hiera_video.config.clip_groups import ClipSettings, ViewSettings
from hiera_video.data.crops import crops
from hiera_video.data.sampling import RULES
from hiera_video.seeding import derive_seed


class TrainView:
    """A random view ``(T, C, H, W) -> (T, C, crop_size, crop_size)``; a function of ``seed``.

    It has two parts, so that each frame is cropped right after it is decoded, while it is still in
    the cache; full-size clips are never assembled.
    """

    def __init__(self, augment: ViewSettings, clip: ClipSettings) -> None:
        self._crop = v2.RandomResizedCrop(clip.crop_size, augment.scale, augment.ratio)
        self._interpolation = InterpolationMode(clip.interpolation)
        self._flip = augment.horizontal_flip
        # After the crop, where the colour operations cost a third of what they cost before it.
        steps: list[v2.Transform] = []
        if augment.rand_augment_num_ops:
            # Papers give magnitudes in tenths of the full strength; torchvision counts in bins.
            steps.append(
                v2.RandAugment(
                    augment.rand_augment_num_ops,
                    augment.rand_augment_magnitude,
                    num_magnitude_bins=11,
                )
            )
        if augment.random_erasing:
            steps.append(_RandomErasing(augment.random_erasing, clip))
        self._alter = v2.Compose(steps) if steps else None

    def __call__(self, frames: Tensor, seed: int) -> Tensor:
        return self.alter(self.crop(frames, seed)(frames), seed)

    def crop(self, frames: Tensor, seed: int) -> Callable[[Tensor], Tensor]:
        """The first part: a function that crops, resizes and perhaps flips frames ``(T, C, H, W)``
        of the same size as ``frames``."""
        with _seeded(seed):
            box = self._crop.make_params([frames])
            is_flipped = self._flip > torch.rand(()).item()
        size = self._crop.size

        def crop(frames: Tensor) -> Tensor:
            # torch resizes bytes almost twice as fast if channels come last and rows are
            # contiguous; that gains more than the copy costs.
            part = F.crop(frames, **box).contiguous(memory_format=torch.channels_last)
            view = interpolate(part, size, mode=self._interpolation.value, antialias=True)
            return F.horizontal_flip(view) if is_flipped else view

        return crop

    def alter(self, clip: Tensor, seed: int) -> Tensor:
        """The second part, for a cropped clip ``(T, C, H, W)``: changes colours, erases boxes."""
        if self._alter is None:
            return clip
        with _seeded(derive_seed(seed, 1)):
            return self._alter(clip)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's global CPU generator, from which torchvision draws, for the block; then restore
    its state.

    (``torch.manual_seed`` costs ten times as much: it seeds GPUs too, and records its caller.)
    """
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)


class _RandomErasing(v2.RandomErasing):
    """torchvision's random erasing, but filled with noise whose mean and deviation are those of the
    normalisation. Normalised, it is standard normal noise: ``pixel`` in timm and PySlowFast."""

    def __init__(self, probability: float, clip: ClipSettings) -> None:
        super().__init__(probability)
        self._mean, self._std = (torch.tensor(x).view(-1, 1, 1) for x in (clip.mean, clip.std))

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """The box, and the noise that fills it, uint8 ``(C, h, w)``."""
        box = super().make_params(flat_inputs)
        if box["v"] is not None:
            noise = torch.randn(len(self._mean), box["h"], box["w"])
            pixels = (noise * self._std + self._mean) * 255
            box["v"] = pixels.round().clamp(0, 255).to(torch.uint8)
        return box


class EvaluationViews:
    """Resizes the short side of frames, then takes ``num_crops`` square crops along the longer one.

    ``(..., H, W)`` -> ``num_crops`` times ``(..., crop_size, crop_size)``: one is the centre, three
    are left, centre and right (or top, centre, bottom). ``clip.sampling`` gives their exact offsets
    in pixels. Resizing frame by frame gives the same bits as resizing a whole clip.
    """

    def __init__(self, clip: ClipSettings, num_crops: int) -> None:
        self.crop_size = clip.crop_size
        self.short_side = clip.short_side or clip.crop_size
        self.interpolation = InterpolationMode(clip.interpolation)
        self.num_crops = num_crops
        self.crop_offset = RULES[clip.sampling].crop_offset

    def __call__(self, frames: Tensor) -> list[Tensor]:
        return self.crops(self.resize(frames))

    def resize(self, frames: Tensor) -> Tensor:
        """Frames ``(..., H, W)`` with their short side resized to ``short_side``."""
        return F.resize(frames, [self.short_side], self.interpolation, antialias=True)

    def crops(self, frames: Tensor) -> list[Tensor]:
        """The crops of resized frames; they share the memory of ``frames``."""
        return crops(frames, (self.crop_size, self.crop_size), self.num_crops, self.crop_offset)

    def of_clips(
        self, frames: Iterable[tuple[Tensor, list[tuple[int, int]]]], views: Tensor
    ) -> Tensor:
        """Fill ``views`` ``(B, C, T, H, W)``, the crops of a clip one after the other.

        Args:
            frames: each ``(C, H, W)``, with its places: (clip, position in the clip).
        """
        for frame, places in frames:
            crops = self(frame)
            for clip, position in places:
                for number, crop in enumerate(crops, clip * len(crops)):
                    views[number, :, position] = crop
        return views
