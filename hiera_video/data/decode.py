"""File + frame indices -> uint8 frames, by PyAV, decord or torchcodec.

All readers agree on what frame i is: the i-th frame that a player would show. The container's index
is read with PyAV first, whatever decodes the frames afterwards, so that a damaged file is refused
alike, with a reason, before a decoder can hang on it. The same indices give bit-identical frames.

Axes: T frames, C channels (RGB), H rows, W columns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
import torch
from torch import Tensor

from hiera_video.data.video_index import VideoIndex, read_index, video_stream
from hiera_video.errors import ConfigError, VideoError


class VideoReader(ABC):
    """An open video. A context manager; readers must not cross a fork.

    Raises:
        VideoError: when opened, if the file is missing, is no video, is cut off, or is one of those
            in which this decoder takes one frame for another.
    """

    name: ClassVar[str]

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.index = read_index(path)
        except (OSError, av.FFmpegError) as error:
            raise VideoError(str(path), _reason(path, error)) from None
        misplaced = self._misplaced(self.index)
        if misplaced:
            raise VideoError(str(path), f"{self.name} misplaces frames of {misplaced}; use pyav")

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
        if not wanted or wanted[0] < 0 or wanted[-1] >= self.index.num_frames:
            raise IndexError(f"frames {indices} of {self.index.num_frames}")
        try:
            frames = self._decode(wanted)
        except (OSError, av.FFmpegError, ValueError, RuntimeError) as error:
            raise VideoError(str(self.path), _reason(self.path, error)) from None
        positions = {index: position for position, index in enumerate(wanted)}
        if list(indices) != wanted:
            frames = frames[[positions[index] for index in indices]]
        return frames.permute(0, 3, 1, 2)

    @abstractmethod
    def _decode(self, wanted: list[int]) -> Tensor:
        """Frames at ascending ``wanted`` indices, uint8 ``(T, H, W, C)``."""

    def close(self) -> None:  # noqa: B027 - not every decoder has something to close
        """Give file handles back."""

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PyAVReader(VideoReader):
    """The default. PyAV brings a current FFmpeg.

    Decoding starts at the keyframe before a wanted frame, skips what nobody refers to, and stops
    after the last wanted frame.
    """

    name = "pyav"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._open()

    def _open(self) -> None:
        self._container = av.open(str(self.path))
        self._stream = video_stream(self._container)
        self._stream.codec_context.thread_count = 1  # loader workers are the parallelism

    def close(self) -> None:
        self._container.close()

    def _decode(self, wanted: list[int]) -> Tensor:
        if self.index.seekable:
            try:
                return self._collect(wanted, self._sparse(wanted))
            except _SeekError:
                pass
        return self._collect(wanted, self._counted(wanted))

    def _collect(self, wanted: list[int], decoded: Iterator[av.VideoFrame]) -> Tensor:
        frames: np.ndarray | None = None
        count = 0
        for frame in decoded:
            image = frame.to_ndarray(format="rgb24")
            if frames is None:
                frames = np.empty((len(wanted), *image.shape), np.uint8)
            if image.shape != frames.shape[1:]:
                raise ValueError(
                    f"frame size changes from {frames.shape[2]}x{frames.shape[1]} to "
                    f"{image.shape[1]}x{image.shape[0]}"
                )
            frames[count] = image
            count += 1
        if frames is None or count < len(wanted):
            raise ValueError(
                f"frame {wanted[count]} of {self.index.num_frames} cannot be decoded "
                "(the file is damaged or cut off)"
            )
        return torch.from_numpy(frames)

    def _sparse(self, wanted: list[int]) -> Iterator[av.VideoFrame]:
        """The wanted frames, by their timestamps."""
        timestamps = [self.index.timestamps[index] for index in wanted]
        remaining = set(timestamps)
        position = 0
        while position < len(timestamps):
            start = self._keyframe_before(timestamps[position])
            self._container.seek(start, stream=self._stream)
            last = None
            for frame in self._decode_packets(remaining):
                last = frame.pts
                if last is None or last > timestamps[position]:
                    raise _SeekError
                if last == timestamps[position]:
                    yield frame
                    position += 1
                    if position == len(timestamps):
                        return
                    if self._keyframe_before(timestamps[position]) > last:
                        break  # nothing is wanted between here and a later keyframe: seek there
            else:
                if last is None:
                    raise _SeekError
                return  # the stream ended early

    def _decode_packets(self, wanted: set[int]) -> Iterator[av.VideoFrame]:
        context = self._stream.codec_context
        for packet in self._container.demux(self._stream):
            # Frames that no other frame refers to need not be decoded unless they are wanted.
            context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
            yield from packet.decode()

    def _counted(self, wanted: list[int]) -> Iterator[av.VideoFrame]:
        """The wanted frames, by counting from the start."""
        self.close()
        self._open()
        remaining = set(wanted)
        for count, frame in enumerate(self._container.decode(self._stream)):
            if count in remaining:
                yield frame
            if count == wanted[-1]:
                return

    def _keyframe_before(self, timestamp: int) -> int:
        position = bisect_right(self.index.keyframes, timestamp)
        return self.index.keyframes[max(position - 1, 0)]


class DecordReader(VideoReader):
    """decord. Its bundled FFmpeg is old: newer codecs are missing."""

    name = "decord"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        decord = _import_decoder("decord")
        decord.logging.set_level(decord.logging.QUIET)
        self._errors = (decord.DECORDError, RuntimeError)
        try:
            self._reader = decord.VideoReader(str(path), num_threads=1)
        except self._errors as error:
            raise VideoError(str(path), _decord_reason(error)) from None
        if len(self._reader) != self.index.num_frames:
            raise VideoError(
                str(path),
                f"decord finds {len(self._reader)} frames where the container has "
                f"{self.index.num_frames}",
            )

    @staticmethod
    def _misplaced(index: VideoIndex) -> str | None:
        """Containers without an index of their frames, MPEG-4 part 2 with B-frames, and open groups
        of pictures: a seek to their keyframes ends at the frames shown before it."""
        in_avi = index.container == "avi" and index.codec in ("h264", "hevc")
        if not index.seekable or index.container == "mpegts" or in_avi:
            return f"{index.codec} in {index.container}"
        if index.codec == "mpeg4" and index.has_b_frames:
            return "mpeg4 with B-frames"
        return f"{index.codec} with open groups of pictures" if index.has_open_gops else None

    def _decode(self, wanted: list[int]) -> Tensor:
        try:
            return torch.from_numpy(self._reader.get_batch(wanted).asnumpy())
        except self._errors as error:
            raise VideoError(str(self.path), _decord_reason(error)) from None


def _decord_reason(error: Exception) -> str:
    """What decord's message says at its end, after places in its source and failed conditions."""
    text = str(error).partition("\n")[0]
    return f"decord cannot decode it ({text.rpartition(' vs. 0) ')[2].rstrip('.')})"


class TorchCodecReader(VideoReader):
    """torchcodec, an optional extra. It needs FFmpeg's shared libraries on the system."""

    name = "torchcodec"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        decoders = _import_decoder("torchcodec.decoders")
        try:
            self._decoder = decoders.VideoDecoder(
                str(path), dimension_order="NHWC", num_ffmpeg_threads=1
            )
        except (RuntimeError, ValueError) as error:
            raise VideoError(str(path), _reason(path, error)) from None

    @staticmethod
    def _misplaced(index: VideoIndex) -> str | None:
        if index.container in ("avi", "mpegts"):
            return f"{index.codec} in {index.container}"
        open_h264 = index.codec == "h264" and index.has_open_gops
        return "h264 with open groups of pictures" if open_h264 else None

    def _decode(self, wanted: list[int]) -> Tensor:
        return self._decoder.get_frames_at(wanted).data


READERS: dict[str, type[VideoReader]] = {
    reader.name: reader for reader in (PyAVReader, DecordReader, TorchCodecReader)
}


def check_decoder(decoder: str) -> None:
    """Make sure that a decoder is installed.

    Raises:
        ConfigError: saying what to install.
    """
    if decoder != "pyav":
        _import_decoder({"torchcodec": "torchcodec.decoders"}.get(decoder, decoder))


class _SeekError(Exception):
    """A seek ended after the frame it was for, as it may in containers without an index."""


def _import_decoder(module: str) -> Any:
    package = module.partition(".")[0]
    try:
        return __import__(module, fromlist=["_"])
    except (ImportError, RuntimeError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"data.decoder={package}: cannot be imported ({reason}); install it, or use pyav"
        ) from None


def _reason(path: Path, error: Exception) -> str:
    """One line that says what is wrong, without the path, which messages name already."""
    if isinstance(error, EOFError):
        return "the file is cut off (end of file)"
    if isinstance(error, OSError | av.FFmpegError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    text = str(error).replace(str(path), "").strip(" :'\n")
    return text.partition("\n")[0] or type(error).__name__
