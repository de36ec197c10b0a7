"""Pixel values of images as the image processor of ``transformers`` gives them, to the last bit.

Its order of steps and of operations is kept, since both count for the last bit. Axes: C channels, H
rows, W columns.
"""

from __future__ import annotations

import logging

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from hiera_video.config.image_options import ImageOptions, Resample
from hiera_video.data.given_pictures import Picture, channels_first, opened
from hiera_video.errors import ConfigError, reason_of

logger = logging.getLogger(__name__)

_FILTERS = {
    Resample.NEAREST: InterpolationMode.NEAREST_EXACT,
    Resample.BILINEAR: InterpolationMode.BILINEAR,
    Resample.BICUBIC: InterpolationMode.BICUBIC,
    Resample.LANCZOS: InterpolationMode.LANCZOS,
}
#: Versions of torchvision have tensors resized by Lanczos' filter since this one.
_LANCZOS_SINCE = (0, 27)


def image_pixels(
    picture: Picture, options: ImageOptions, device: torch.device | str | None = None
) -> Tensor:
    """The values ``(C, H, W)`` of one picture; of a file they are those of its upright image.

    Raises:
        ConfigError: if its values, its size or its channels do not go with ``options``.
        VideoError: if a file cannot be read.
    """
    pixels = opened(picture)
    try:
        if isinstance(pixels, Image.Image):
            pixels = _of_image(pixels, options.do_convert_rgb)
        else:
            pixels = channels_first(pixels, options.input_data_format)
            if pixels.ndim != 3:
                raise ConfigError(f"wanted (H, W, C) or (C, H, W), got {tuple(pixels.shape)}")
            pixels = _to_rgb(pixels) if options.do_convert_rgb else pixels
        pixels = pixels.contiguous().to(device)[None]
        if options.do_resize:
            size = _resized(pixels.shape[-2], pixels.shape[-1], options.size)
            filter = _filter(options.resample, pixels.device)
            pixels = F.resize(pixels, list(size), interpolation=filter, antialias=True)
        if options.do_center_crop:
            pixels = _center(pixels, options.crop_size["height"], options.crop_size["width"])
        return _normalize(pixels, options)[0]
    except ConfigError:
        raise
    except (OSError, RuntimeError, SyntaxError, TypeError, ValueError) as error:
        raise ConfigError(f"an image cannot be processed ({reason_of(error)})") from None


def _of_image(image: Image.Image, do_convert_rgb: bool) -> Tensor:
    """Pillow's pixels; where they are made RGB, what is transparent becomes white."""
    if do_convert_rgb:
        if "A" in image.getbands() or image.info.get("transparency") is not None:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, (255, 255, 255, 255))
            image = Image.alpha_composite(white, image)
        image = image.convert("RGB")
    pixels = torch.from_numpy(np.array(image))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)


def _to_rgb(pixels: Tensor) -> Tensor:
    """Grey three times; what is transparent becomes white."""
    if pixels.shape[0] == 1:
        return pixels.expand(3, -1, -1)
    if pixels.shape[0] != 4:
        return pixels
    if pixels.is_floating_point() and (pixels.min() < 0 or pixels.max() > 1):
        raise ConfigError("an image with transparency has values outside of 0..1")
    values = F.to_dtype(pixels, torch.float32, scale=True)
    opacity = values[3:]
    return F.to_dtype(values[:3] * opacity + (1 - opacity), pixels.dtype, scale=True)


def _resized(height: int, width: int, size: dict[str, int]) -> tuple[int, int]:
    """The height and width of a picture after resizing."""
    if "height" in size:
        return size["height"], size["width"]
    if "max_height" in size:
        factor = min(size["max_height"] / height, size["max_width"] / width)
        return int(height * factor), int(width * factor)
    short, long = min(height, width), max(height, width)
    edge = size["shortest_edge"]
    limit = size.get("longest_edge")
    if limit is None:
        new = (edge, int(edge * long / short))
    else:
        exact: float = edge
        if float(long) / short * edge > limit:
            exact = limit * float(short) / long
            edge = round(exact)
        # Where the short side has that length already, the picture stays as it is.
        new = (short, long) if short == edge else (edge, int(exact * long / short))
    return (new[1], new[0]) if width <= height else new


def _filter(resample: Resample, device: torch.device) -> InterpolationMode:
    if resample is Resample.LANCZOS:
        version = tuple(int(part) for part in torchvision.__version__.split(".")[:2])
        if version < _LANCZOS_SINCE or device.type != "cpu":
            logger.warning("torchvision has no Lanczos filter for these tensors: bicubic is taken")
            return InterpolationMode.BICUBIC
    return _FILTERS[resample]


def _center(pixels: Tensor, height: int, width: int) -> Tensor:
    """The centre; what is smaller is padded with black."""
    missing = [max(height - pixels.shape[-2], 0), max(width - pixels.shape[-1], 0)]
    if any(missing):
        before = [side // 2 for side in reversed(missing)]  # left, top
        after = [(side + 1) // 2 for side in reversed(missing)]
        pixels = F.pad(pixels, [*before, *after], fill=0)
    top, left = (pixels.shape[-2] - height) // 2, (pixels.shape[-1] - width) // 2
    return F.crop(pixels, top, left, height, width)


def _normalize(pixels: Tensor, options: ImageOptions) -> Tensor:
    """Both steps at once: mean and deviation are scaled, not the pixels."""
    if not options.do_normalize:
        return pixels * options.rescale_factor if options.do_rescale else pixels
    mean, std = (
        torch.tensor(x, device=pixels.device) for x in (options.image_mean, options.image_std)
    )
    for name, values in (("image_mean", mean), ("image_std", std)):
        if values.ndim and len(values) not in (1, pixels.shape[-3]):
            raise ConfigError(
                f"{name} has {len(values)} values, and an image {pixels.shape[-3]} channels"
            )
    if options.do_rescale:
        factor = 1.0 / options.rescale_factor
        mean, std = mean * factor, std * factor
    mean, std = (x.view(-1, 1, 1) if x.ndim else x for x in (mean, std))
    return pixels.to(torch.float32).sub(mean).div_(std)
