"""Where crops of a resized picture lie: one rule for evaluations and for what is given in code."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torchvision.transforms.v2.functional import crop


def crops(
    frames: Tensor,
    size: tuple[int, int],
    num_crops: int,
    crop_offset: Callable[[int, int, int], int],
) -> list[Tensor]:
    """Crops ``(..., *size)`` of frames ``(..., H, W)`` along their longer side, centred along the
    other; they share the memory of ``frames``. ``crop_offset`` is that of a sampling rule."""
    free_rows = frames.shape[-2] - size[0]
    free_columns = frames.shape[-1] - size[1]
    found = []
    for number in range(num_crops):
        top, left = crop_offset(free_rows, 0, 1), crop_offset(free_columns, 0, 1)
        if free_rows > free_columns:
            top = crop_offset(free_rows, number, num_crops)
        else:
            left = crop_offset(free_columns, number, num_crops)
        found.append(crop(frames, top, left, *size))
    return found
