"""Images, read as videos of one frame.

All code that accepts clips accepts images too: a reader returns an image as a video of one frame
that is shown for one second, so that a clip of one frame, ``clip.num_frames=1``, is the image.

Axes: T frames (one), C channels (RGB), H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from hiera_video.decoding.source import Source, num_bytes, open_source
from hiera_video.decoding.timeline import Timeline
from hiera_video.errors import VideoError, reason_of

#: EXIF orientation -> the operation that turns the image upright. Pillow's ``exif_transpose`` also
#: rewrites the other tags, and fails on damaged ones.
_EXIF_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: EXIF orientation -> the same in degrees clockwise, where it is a turn.
_EXIF_DEGREES = {3: 180, 6: 90, 8: 270}


@dataclass(frozen=True)
class ImageIndex:
    """The part of a :class:`VideoIndex` that an image needs."""

    num_frames: int = 1
    frames_per_second: Fraction = Fraction(1)
    duration_seconds: Fraction = Fraction(1)
    why_counted: str = ""
    has_seconds: bool = True
    timeline: Timeline = Timeline.constant(Fraction(1))  # noqa: RUF009 - it cannot be changed


class ImageReader:
    """Reads an image with Pillow: upright (EXIF), RGB, the first picture of a file with several.

    It has the interface of a ``VideoReader`` of one frame, number 0.

    Raises:
        VideoError: if the file is missing, empty, cut off, or no image.
    """

    index = ImageIndex()
    fallback = None

    def __init__(self, source: Source) -> None:
        with _opening(source) as file:
            self._frame = torch.from_numpy(read_upright(file)).permute(2, 0, 1)

    def frames(self, indices: Sequence[int]) -> Tensor:
        """The image once for each index: uint8 ``(T, C, H, W)``."""
        return self._frame.expand(len(indices), -1, -1, -1)

    def stream(self, wanted: Sequence[int]) -> Iterator[Tensor]:
        """The same, one by one: uint8 ``(C, H, W)`` each."""
        yield from self.frames(wanted)

    def close(self) -> None:
        """Do nothing: no file stays open."""


@contextmanager
def _opening(source: Source) -> Iterator[BinaryIO]:
    """The open file; what goes wrong in the block becomes a :class:`VideoError`."""
    try:
        with open_source(source) as file:
            yield file
    except UnidentifiedImageError:
        empty = num_bytes(source) == 0
        reason = "the file is empty (0 bytes)" if empty else "the file is not an image"
        raise VideoError(str(source), reason) from None
    except Exception as error:  # Pillow's format plugins raise exceptions of many types
        raise VideoError(str(source), reason_of(error)) from None


def open_upright(source: Source) -> Image.Image:
    """An image in the mode that its file has, upright (EXIF).

    Raises:
        VideoError: if the file is missing, empty, cut off, or no image.
    """
    with _opening(source) as file, Image.open(file) as image:
        return _upright(image)


class ImageFacts(NamedTuple):
    """What an image's header says: its format, as ``jpeg``; the size of the stored picture, which
    is to be turned clockwise by ``rotation_degrees``."""

    codec: str
    width: int
    height: int
    rotation_degrees: int


def read_facts(file: BinaryIO) -> ImageFacts:
    """The facts about an image, from its header.

    Raises:
        Exception: as :func:`read_upright` does.
    """
    with Image.open(file) as image:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        degrees = _EXIF_DEGREES.get(orientation, 0)
        return ImageFacts((image.format or "image").lower(), image.width, image.height, degrees)


def read_upright(file: BinaryIO) -> np.ndarray:
    """The pixels ``(H, W, C)`` of an image: uint8 RGB, upright (EXIF).

    Raises:
        Exception: of many types, if it is damaged, or no image (``UnidentifiedImageError``).
    """
    with Image.open(file) as image:
        return upright_rgb(image)


def _upright(image: Image.Image) -> Image.Image:
    image.load()  # also turns TIFF files upright
    transpose = _EXIF_TRANSPOSES.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if transpose is None else image.transpose(transpose)


def upright_rgb(image: Image.Image) -> np.ndarray:
    """Its pixels ``(H, W, C)``, as those of its file are read: uint8 RGB, upright (EXIF).

    Raises:
        ValueError: for 32-bit grey, and whatever Pillow raises of a damaged file.
    """
    image = _upright(image)
    if image.mode in ("I", "F"):
        raise ValueError("32-bit grey has no known range: convert it to 8 or 16 bits")
    if image.mode.startswith("I;16"):  # Pillow would clip 16-bit grey instead of scaling it
        image = Image.fromarray((np.array(image) >> 8).astype(np.uint8))
    return np.array(image.convert("RGB"))
