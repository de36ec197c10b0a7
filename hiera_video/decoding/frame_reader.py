"""A folder or archive of numbered pictures, read as the video that has these frames.

Axes: T frames, C channels (RGB), H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from PIL import UnidentifiedImageError
from torch import Tensor

from hiera_video.decoding.images import read_upright
from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.pictures import open_pictures
from hiera_video.decoding.source import Source
from hiera_video.decoding.timeline import Timeline
from hiera_video.errors import VideoError, reason_of


@dataclass(frozen=True)
class FramesIndex:
    """The part of a :class:`VideoIndex` that pictures have.

    ``frame_rate``: frames per second; None if nobody said. Then ``frames_per_second`` is 1, which
    chooses the same frames as any other rate, and ``has_seconds`` is False: no second is known.
    """

    num_frames: int
    frame_rate: Fraction | None
    why_counted: str = ""

    @property
    def has_seconds(self) -> bool:
        return self.frame_rate is not None

    @property
    def frames_per_second(self) -> Fraction:
        return self.frame_rate or Fraction(1)

    @property
    def duration_seconds(self) -> Fraction:
        return self.num_frames / self.frames_per_second

    @cached_property
    def timeline(self) -> Timeline:
        """Evenly spaced frames."""
        return Timeline.constant(self.frames_per_second)


class FrameReader:
    """Reads numbered pictures with Pillow, as images are read; only those that are wanted.

    It has the interface of a ``VideoReader``. A context manager; must not cross a fork.

    Raises:
        VideoError: when opened, if there are no pictures, or their numbers are not those of one
            clip: one is missing, there twice, or in another numbering.
    """

    fallback = None

    def __init__(self, source: Source, options: DecodingOptions | None = None) -> None:
        self.source = source
        try:
            self.pictures = open_pictures(source)
        except (OSError, ValueError) as error:
            raise VideoError(str(source), reason_of(error)) from None
        rate = options.frame_rate if options else None
        self.index = FramesIndex(self.pictures.names.num_frames, rate)

    def frames(self, numbers: Sequence[int]) -> Tensor:
        """The frames ``numbers`` (any order, repetition allowed): uint8 ``(T, C, H, W)``.

        Each picture is read once.

        Raises:
            VideoError: as :meth:`stream` does.
        """
        wanted = sorted(set(numbers))
        positions = {number: position for position, number in enumerate(wanted)}
        images = torch.from_numpy(np.stack(list(self._images(wanted))))
        if list(numbers) != wanted:
            images = images[[positions[number] for number in numbers]]
        return images.permute(0, 3, 1, 2)

    def stream(self, wanted: Sequence[int]) -> Iterator[Tensor]:
        """The frames at strictly ascending ``wanted`` numbers, one by one: uint8 ``(C, H, W)``, all
        of one size.

        Raises:
            VideoError: if a picture cannot be read, or has another size than the first one; the
                message names it.
        """
        return (torch.from_numpy(image).permute(2, 0, 1) for image in self._images(wanted))

    def _images(self, wanted: Sequence[int]) -> Iterator[np.ndarray]:
        """:meth:`stream`, as arrays ``(H, W, C)``."""
        ascending = all(before < after for before, after in pairwise(wanted))
        if not ascending or not wanted or wanted[0] < 0 or wanted[-1] >= self.index.num_frames:
            raise IndexError(f"frames {wanted} of {self.index.num_frames}")
        size: tuple[int, ...] = ()
        for number in wanted:
            image = self._image(number)
            size = size or image.shape
            if image.shape != size:
                raise self._error(
                    f"{self._name(number)} has {image.shape[1]}x{image.shape[0]} pixels, "
                    f"{self._name(wanted[0])} has {size[1]}x{size[0]}"
                )
            yield image

    def _image(self, number: int) -> np.ndarray:
        try:
            with self.pictures.open(number) as file:
                try:
                    return read_upright(file)
                except UnidentifiedImageError:
                    is_empty = not file.seek(0, 2)
                    reason = "is empty (0 bytes)" if is_empty else "is not an image"
                    raise self._error(f"{self._name(number)} {reason}") from None
        except VideoError:
            raise
        except Exception as error:  # Pillow's format plugins raise exceptions of many types
            raise self._error(f"{self._name(number)}: {reason_of(error)}") from None

    def _name(self, number: int) -> str:
        return self.pictures.names[number]

    def _error(self, reason: str) -> VideoError:
        return VideoError(str(self.source), reason)

    def close(self) -> None:
        """Close open files."""
        self.pictures.close()

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
