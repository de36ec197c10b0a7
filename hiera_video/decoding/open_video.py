"""The ways in: a file, and frames of it by their numbers."""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from hiera_video.decoding.decoders import check_decoder
from hiera_video.decoding.images import ImageReader
from hiera_video.decoding.options import TIMEOUT_SECONDS, DecodingOptions
from hiera_video.decoding.reader import VideoReader
from hiera_video.decoding.source import ShardMember, check_regular, is_image
from hiera_video.errors import VideoError


def open_reader(
    file: Path | ShardMember, options: DecodingOptions | None = None
) -> VideoReader | ImageReader:
    """The reader of a file: images have one of their own.

    What lies in a shard is read into memory first.

    Raises:
        VideoError: if the file cannot be read.
    """
    if isinstance(file, Path):
        check_regular(file)
    source = file if isinstance(file, Path) else file.read()
    return ImageReader(source) if is_image(str(source)) else VideoReader(source, options)


class Video:
    """An open video, or an image as a video of one frame: see :func:`open_video`.

    Threads may share it, and take turns; processes may not.
    """

    def __init__(self, path: Path, reader: VideoReader | ImageReader) -> None:
        self.path = path
        self._reader = reader
        self._process = os.getpid()
        self._turn = threading.Lock()
        self._is_closed = False

    @property
    def num_frames(self) -> int:
        """How many frames a player shows."""
        return self._reader.index.num_frames

    @property
    def frames_per_second(self) -> float:
        """The mean rate of frames."""
        return float(self._reader.index.frames_per_second)

    @property
    def duration_seconds(self) -> float:
        """From the start of the first frame to the end of the last."""
        return float(self._reader.index.duration_seconds)

    @property
    def start_seconds(self) -> Tensor:
        """When each frame is first shown, from the first one on: float64 ``(N,)``."""
        return self._seconds(range(self.num_frames))

    @property
    def end_seconds(self) -> Tensor:
        """When each frame is no longer shown: float64 ``(N,)``."""
        return self._seconds(range(1, self.num_frames + 1))

    def _seconds(self, positions: range) -> Tensor:
        timeline = self._reader.index.timeline
        return torch.tensor([float(timeline.seconds(p)) for p in positions], dtype=torch.float64)

    @property
    def decoded_by_pyav(self) -> str | None:
        """Why PyAV reads this video in the place of the decoder that was asked for; None if it does
        not."""
        return self._reader.fallback

    def frames(self, numbers: Sequence[int]) -> Tensor:
        """The frames ``numbers``, in any order, repetition allowed: uint8 RGB ``(T, C, H, W)``.

        Frame i is the i-th that a player shows: upright, in the colours that
        docs/decoding.md describes.

        Raises:
            VideoError: if a frame is not there, or cannot be decoded; if the video was closed, or
                opened by another process.
            TypeError: if a number is no integer.
        """
        numbers = [operator.index(number) for number in numbers]
        if self._is_closed:
            raise VideoError(str(self.path), "was closed")
        if self._process != os.getpid():
            raise VideoError(str(self.path), "was opened by another process; open it in this one")
        if not numbers:
            raise VideoError(str(self.path), "no frames were asked for")
        for number in numbers:
            if not 0 <= number < self.num_frames:
                raise VideoError(
                    str(self.path), f"has no frame {number}, but 0 to {self.num_frames - 1}"
                )
        with self._turn:
            return self._reader.frames(numbers)

    def close(self) -> None:
        """Give file handles back; no frames can be had any more."""
        with self._turn:
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
        path: a video, or an image, which is a video of one frame.
        decoder: pyav, decord or torchcodec; the frames are the same. Files that decord or
            torchcodec misplace are read by PyAV.
        timeout_seconds: how long opening may take, and then each frame.
        index_dir: a folder that keeps the frames of files that had to be counted by decoding.
        square_pixels: stretch pictures in width where their pixels are not square.

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
