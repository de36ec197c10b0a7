"""What all decoders have in common: file + frame indices -> uint8 frames.

All readers agree on what frame i is: the i-th frame that a player would show. The container's index
is read with PyAV first, whatever decodes the frames afterwards, so that a damaged file is refused
alike, with a reason, before a decoder can hang on it. The same indices give bit-identical frames,
but for the differences that docs/decoding.md lists.

Axes: T frames, C channels (RGB), H rows, W columns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, ClassVar

import av
import numpy as np
import torch
from av.container import InputContainer
from av.video.stream import VideoStream
from torch import Tensor

from hiera_video.config import TIMEOUT_SECONDS
from hiera_video.data.container import open_video
from hiera_video.data.source import Source
from hiera_video.data.time_limit import TimeLimit
from hiera_video.data.video_index import VideoIndex, read_index
from hiera_video.errors import ConfigError, VideoError

#: Frames that decoders which take lists of frames are given at a time.
BATCH_FRAMES = 16


class VideoReader(ABC):
    """An open video. A context manager; readers must not cross a fork.

    Opening it, and then each frame, may take ``timeout_seconds``.

    Raises:
        VideoError: when opened, if the file is missing, is no video, is cut off, or is one of those
            in which this decoder takes one frame for another.
    """

    #: What users call the decoder, and the module that has it.
    name: ClassVar[str]
    module: ClassVar[str]

    def __init__(self, source: Source, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.source = source
        self._limit = TimeLimit(timeout_seconds)
        with self._guarded():
            container, stream = open_video(source, timeout_seconds)
            try:
                self.index = read_index(source, container, stream, self._limit)
                misplaced = self._misplaced(self.index)
                if misplaced:
                    raise ValueError(f"{self.name} misplaces frames of {misplaced}; use pyav")
                self._open(container, stream)
            except BaseException:
                container.close()
                raise

    @abstractmethod
    def _open(self, container: InputContainer, stream: VideoStream) -> None:
        """Get ready to decode. The reader owns ``container``, which has been read to its end."""

    @staticmethod
    def _misplaced(index: VideoIndex) -> str | None:
        """What a file is, if this decoder gives other frames of it than those asked for."""
        return None

    def frames(self, indices: Sequence[int]) -> Tensor:
        """The frames at ``indices`` (any order, repetition allowed): uint8 ``(T, C, H, W)``.

        Each frame is decoded once. The tensor is a view of frames stored as ``(T, H, W, C)``.

        Raises:
            VideoError: if a frame cannot be decoded.
        """
        wanted = sorted(set(indices))
        images = np.empty(0)
        for position, image in enumerate(self._images(wanted)):
            if position == 0:
                images = np.empty((len(wanted), *image.shape), np.uint8)
            images[position] = image
        if list(indices) != wanted:
            positions = {index: position for position, index in enumerate(wanted)}
            images = images[[positions[index] for index in indices]]
        return torch.from_numpy(images).permute(0, 3, 1, 2)

    def stream(self, wanted: Sequence[int]) -> Iterator[Tensor]:
        """The frames at strictly ascending ``wanted`` indices, one by one: uint8 ``(C, H, W)``.

        For more frames than memory holds: those given out are not kept.

        Raises:
            VideoError: if a frame cannot be decoded.
        """
        for image in self._images(wanted):
            yield torch.from_numpy(image).permute(2, 0, 1)

    def _images(self, wanted: Sequence[int]) -> Iterator[np.ndarray]:
        """The frames at ``wanted``, ``(H, W, C)`` each, all of one size and none left out."""
        ascending = all(before < after for before, after in pairwise(wanted))
        if not ascending or not wanted or wanted[0] < 0 or wanted[-1] >= self.index.num_frames:
            raise IndexError(f"frames {wanted} of {self.index.num_frames}")
        decoded = self._decode(wanted)
        size: tuple[int, ...] = ()
        for index in wanted:
            with self._guarded():
                image = next(decoded, None)
                if image is None:
                    raise ValueError(
                        f"frame {index} of {self.index.num_frames} cannot be decoded "
                        "(the file is damaged or cut off)"
                    )
                size = size or image.shape
                if image.shape != size:
                    raise ValueError(
                        f"frame size changes from {size[1]}x{size[0]} to "
                        f"{image.shape[1]}x{image.shape[0]}"
                    )
            yield image

    @abstractmethod
    def _decode(self, wanted: Sequence[int]) -> Iterator[np.ndarray]:
        """Frames at ascending ``wanted`` indices, uint8 ``(H, W, C)`` each."""

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Limit the time, and say of any failure which file it is about."""
        self._limit.start()
        try:
            yield
        except (OSError, av.FFmpegError, ValueError, RuntimeError) as error:
            raise VideoError(str(self.source), self._reason(error)) from None

    def _reason(self, error: Exception) -> str:
        """One line that says what is wrong, without the path, which messages name already."""
        if isinstance(error, av.ExitError):  # FFmpeg was waiting for the file
            return self._limit.reason
        if isinstance(error, EOFError):
            return "the file is cut off (end of file)"
        if isinstance(error, OSError | av.FFmpegError) and error.strerror:
            return error.strerror[0].lower() + error.strerror[1:]
        text = str(error).replace(str(self.source), "").strip(" :'\n")
        return text.partition("\n")[0] or type(error).__name__

    @abstractmethod
    def close(self) -> None:
        """Give file handles back."""

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def import_decoder(module: str) -> Any:
    """A decoder's module.

    Raises:
        ConfigError: saying what to install.
    """
    package = module.partition(".")[0]
    try:
        return __import__(module, fromlist=["_"])
    except (ImportError, RuntimeError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"data.decoder={package}: cannot be imported ({reason}); install it, or use pyav"
        ) from None
