"""Pictures as code has them, to tensors: Pillow's images, arrays, tensors, paths, lists of them.

Axes: T frames, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hiera_video.decoding.images import open_upright, upright_rgb
from hiera_video.errors import ConfigError, reason_of

#: One picture.
Picture: TypeAlias = "Image.Image | np.ndarray[Any, Any] | Tensor | str | Path"
#: Where an array has its channels; None: where 1, 3 or 4 of them are, the first axis before others.
ChannelOrder: TypeAlias = Literal["channels_first", "channels_last"] | None

_CHANNELS = (1, 3, 4)


def each_picture(given: Any, axes: int = 3) -> Iterator[Picture]:
    """The pictures in ``given``, of which lists may hold lists, and arrays more than one.

    Args:
        axes: how many axes one of them has: 3, or 4 for the frames of a video. A grey picture may
            have 2.

    Raises:
        ConfigError: for anything else.
    """
    if isinstance(given, list | tuple):
        for one in given:
            yield from each_picture(one, axes)
    elif isinstance(given, np.ndarray | Tensor) and given.ndim == axes + 1:
        yield from given
    elif isinstance(given, np.ndarray | Tensor):
        if given.ndim not in (axes, axes - 1 if axes == 3 else axes):
            raise ConfigError(f"wanted {axes} axes, or {axes + 1}, got {tuple(given.shape)}")
        yield given
    elif isinstance(given, str | Path | Image.Image):
        yield given
    else:
        raise ConfigError(
            f"wanted images, arrays, tensors, paths or lists of them, got {type(given).__name__}"
        )


def opened(picture: Picture) -> Image.Image | Tensor:
    """A picture that a path names, in the mode of its file; an array as a tensor.

    Raises:
        ConfigError: for an array of no numbers.
        VideoError: if the file cannot be read.
    """
    if isinstance(picture, str | Path):
        return open_upright(Path(picture))
    if isinstance(picture, np.ndarray):
        try:
            return torch.from_numpy(np.ascontiguousarray(picture))
        except TypeError as error:
            raise ConfigError(f"an array of {picture.dtype}: {reason_of(error)}") from None
    return picture


def channels_first(pixels: Tensor, order: ChannelOrder) -> Tensor:
    """``(..., H, W, C)`` or ``(..., C, H, W)`` in the latter form; ``(H, W)`` is grey.

    Raises:
        ConfigError: if it cannot be told where the channels are.
    """
    if pixels.ndim == 2:
        return pixels[None]
    if order is None and pixels.shape[-3] not in _CHANNELS:
        if pixels.shape[-1] not in _CHANNELS:
            raise ConfigError(
                f"an array {tuple(pixels.shape)} has no axis of 1, 3 or 4 channels; "
                "input_data_format says where they are"
            )
        order = "channels_last"
    return pixels.movedim(-1, -3) if order == "channels_last" else pixels


def frame_bytes(picture: Picture, num_channels: int, order: ChannelOrder = None) -> Tensor:
    """A picture ``(C, H, W)``, or frames ``(T, C, H, W)``, uint8, as those of its file are read.

    Raises:
        ConfigError: for values that are no bytes, and other channels than a model takes.
        VideoError: if a file cannot be read.
    """
    pixels = opened(picture)
    if isinstance(pixels, Image.Image):
        try:
            return torch.from_numpy(upright_rgb(pixels)).movedim(-1, -3)
        except Exception as error:  # Pillow's format plugins raise exceptions of many types
            raise ConfigError(f"an image cannot be read ({reason_of(error)})") from None
    if pixels.dtype != torch.uint8:
        raise ConfigError(f"wanted uint8, got {pixels.dtype}")
    pixels = channels_first(pixels, order)
    channels = pixels.shape[-3]
    if channels == 1 and num_channels == 3:
        return pixels.expand(*pixels.shape[:-3], 3, -1, -1)
    if channels == 4 and num_channels == 3:  # as of a file: without its transparency
        return pixels[..., :3, :, :]
    if channels != num_channels:
        raise ConfigError(f"wanted {num_channels} channels, got {channels}")
    return pixels
