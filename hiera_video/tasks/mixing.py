"""Mixup and cutmix on batches of clips or images, by torchvision, on the device.

Axes: B clips, C channels, T H W frames, rows, columns, K classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from hiera_video.config.clip_groups import AugmentSettings


class Mixing:
    """Mixes each batch by mixup or cutmix; if both are on, each has an equal chance.

    Draws from torch's global generator. All frames of two clips are mixed alike. ``repeats`` is the
    number of neighbouring clips in a batch that are of one video: a clip is mixed with a clip of
    another video, if the batch has any.
    """

    def __init__(self, augment: AugmentSettings, num_classes: int, repeats: int = 1) -> None:
        self.num_classes = num_classes
        self.repeats = repeats
        choices: list[v2.Transform] = []
        if augment.mixup_alpha:
            choices.append(v2.MixUp(alpha=augment.mixup_alpha, num_classes=num_classes))
        if augment.cutmix_alpha:
            choices.append(v2.CutMix(alpha=augment.cutmix_alpha, num_classes=num_classes))
        self._mix = v2.RandomChoice(choices) if choices else None

    def __call__(self, pixel_values: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Float clips ``(B, C, T, H, W)`` or images ``(B, C, H, W)``, labels ``(B,)`` or sets of
        labels ``(B, K)`` -> the same, mixed, in another order, and soft targets ``(B, K)``."""
        if self._mix is None or len(labels) == 0:
            hot = labels if labels.ndim == 2 else F.one_hot(labels, self.num_classes)
            return pixel_values, hot.to(pixel_values.dtype)
        # torchvision mixes neighbours.
        order = torch.arange(len(labels), device=labels.device).view(-1, self.repeats).T.flatten()
        pixel_values, labels = pixel_values[order], labels[order]
        if pixel_values.ndim == 4:
            return self._mix(pixel_values, labels)
        video = tv_tensors.Video(pixel_values.transpose(1, 2))  # torchvision's order: B T C H W
        mixed, targets = self._mix(video, labels)
        # Mixup and cutmix leave it in two memory orders, and a model is compiled for each it meets.
        return mixed.as_subclass(Tensor).transpose(1, 2).contiguous(), targets
