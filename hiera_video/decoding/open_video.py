"""The entry points: open a file, and read its frames by their numbers."""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from hiera_video.decoding.decoders import check_decoder
from hiera_video.decoding.frame_reader import FrameReader
from hiera_video.decoding.images import ImageReader
from hiera_video.decoding.options import TIMEOUT_SECONDS, DecodingOptions
from hiera_video.decoding.pictures import holds_pictures
from hiera_video.decoding.reader import VideoReader
from hiera_video.decoding.source import ShardMember, check_regular, is_image
from hiera_video.errors import VideoError

#: What reads a file.
Reader: TypeAlias = VideoReader | ImageReader | FrameReader


def open_reader(file: Path | ShardMember, options: DecodingOptions | None = None) -> Reader:
    """The reader for a file: an ``ImageReader`` for images, a ``FrameReader`` for folders and
    archives of pictures, else a ``VideoReader``.

    A member of a shard is read into memory first.

    Raises:
        VideoError: if the file cannot be read.
    """
    if isinstance(file, Path):
        check_regular(file)
    source = file if isinstance(file, Path) else file.read()
    if is_image(str(source)):
        return ImageReader(source)
    kind = FrameReader if holds_pictures(source) else VideoReader
    return kind(source, options)


class Video:
    """An open video, a folder or archive of pictures as the video that has these frames, or an
    image as a video of one frame: see :func:`open_video`.

    Threads may share it and take turns; another process must open the file itself.
    """

    def __init__(self, path: Path, reader: Reader) -> None:
        self.path = path
        self._reader = reader
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._is_closed = False

    @property
    def num_frames(self) -> int:
        """The number of frames that a player shows."""
        return self._reader.index.num_frames

    @property
    def frames_per_second(self) -> float:
        """The mean frame rate.

        Raises:
            VideoError: of pictures, which have none; so do the other properties with seconds.
        """
        self._check_seconds()
        return float(self._reader.index.frames_per_second)

    @property
    def duration_seconds(self) -> float:
        """The time from the start of the first frame to the end of the last."""
        self._check_seconds()
        return float(self._reader.index.duration_seconds)

    @property
    def start_seconds(self) -> Tensor:
        """When each frame is first shown, counted from the first one: float64 ``(N,)``."""
        return self._seconds(range(self.num_frames))

    @property
    def end_seconds(self) -> Tensor:
        """When each frame ends, counted from the start of the first: float64 ``(N,)``."""
        return self._seconds(range(1, self.num_frames + 1))

    def _seconds(self, positions: range) -> Tensor:
        self._check_seconds()
        timeline = self._reader.index.timeline
        return torch.tensor([float(timeline.seconds(p)) for p in positions], dtype=torch.float64)

    def _check_seconds(self) -> None:
        if not self._reader.index.has_seconds:
            raise VideoError(str(self.path), "pictures do not say how many a second has")

    @property
    def decoded_by_pyav(self) -> str | None:
        """Why PyAV reads this video although another decoder was requested; None if it does not."""
        return self._reader.fallback

    def frames(self, numbers: Sequence[int]) -> Tensor:
        """The frames ``numbers``, in any order, repetition allowed: uint8 RGB ``(T, C, H, W)``.

        Frame i is the i-th that a player shows: upright, in the colours that
        docs/decoding.md describes.

        Raises:
            VideoError: if a frame does not exist, or cannot be decoded; if the video was closed, or
                opened by another process.
            TypeError: if a number is not an integer.
        """
        numbers = [operator.index(number) for number in numbers]
        if self._is_closed:
            raise VideoError(str(self.path), "was closed")
        if self._process != os.getpid():
            raise VideoError(str(self.path), "was opened by another process; open it in this one")
        if not numbers:
            raise VideoError(str(self.path), "no frames were requested")
        for number in numbers:
            if not 0 <= number < self.num_frames:
                raise VideoError(
                    str(self.path),
                    f"has no frame {number}: its frames are 0 to {self.num_frames - 1}",
                )
        with self._lock:
            return self._reader.frames(numbers)

    def close(self) -> None:
        """Close open files. Frames cannot be read afterwards."""
        with self._lock:
            self._is_closed = True
            self._reader.close()


@contextmanager
def open_video(
    path: str | Path,
    decoder: str = "pyav",
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    index_dir: str | Path | None = None,
    square_pixels: bool = False,
) -> Iterator[Video]:
    """Open a video to read frames by their numbers, exactly, in any order.

        with open_video("video.mp4") as video:
            clip = video.frames(range(0, video.num_frames, 4))

    Args:
        path: a video; an image, which is a video of one frame; or a folder, ``.zip`` or ``.tar``
            of numbered pictures, which are its frames.
        decoder: pyav, decord or torchcodec; the frames are the same. PyAV reads the files of which
            decord or torchcodec would return other frames.
        timeout_seconds: the time limit for opening the file, and then for each frame.
        index_dir: a folder that stores the indexes of long files and of files whose frames were
            counted by decoding.
        square_pixels: stretch frames in width where their pixels are not square.

    Raises:
        VideoError: if the file is missing, is no video, or is cut off; it has ``path`` and
            ``reason``.
        ConfigError: if the decoder is unknown or not installed.
    """
    check_decoder(decoder)
    folder = Path(index_dir) if index_dir is not None else None
    options = DecodingOptions(decoder, timeout_seconds, folder, square_pixels)
    video = Video(Path(path), open_reader(Path(path), options))
    try:
        yield video
    finally:
        video.close()
