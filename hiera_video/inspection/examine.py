"""What a video file is: its frames, its bytes, and whether it can be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
from av import VideoFrame

from hiera_video.config import TIMEOUT_SECONDS
from hiera_video.data.container import demux, open_video
from hiera_video.data.decode import READERS
from hiera_video.errors import VideoError, reason_of
from hiera_video.files import sha256


@dataclass
class Examined:
    """What was found out about ``file``; None is what could not be.

    ``width`` and ``height`` are those of the stored picture, which players turn clockwise by
    ``rotation_degrees``. ``decoded``: whether all frames were decoded. ``reason``: why it cannot be
    read.
    """

    file: str
    decoded: bool
    size_bytes: int | None = None
    modified_ns: int | None = None
    sha256: str | None = None
    num_frames: int | None = None
    frames_per_second: float | None = None
    duration_seconds: float | None = None
    width: int | None = None
    height: int | None = None
    rotation_degrees: int | None = None
    codec: str | None = None
    reason: str | None = None


def examine(file: Path, decode: bool) -> Examined:
    """Find out about a video; ``decode`` decodes every frame, not only the first."""
    found = Examined(str(file), decode)
    try:
        status = file.stat()
        found.size_bytes, found.modified_ns = status.st_size, status.st_mtime_ns
        found.sha256 = sha256(file)
        with READERS["pyav"](file, TIMEOUT_SECONDS) as reader:
            index = reader.index
        found.num_frames = index.num_frames
        found.frames_per_second = float(index.frames_per_second)
        found.duration_seconds = float(index.duration_seconds)
        found.codec = index.codec
        _look(found, file, decode)
    except VideoError as error:
        found.reason = error.reason
    except Exception as error:  # whatever it is about, it must not keep the others from their turn
        found.reason = reason_of(error)
    return found


def _look(found: Examined, file: Path, decode: bool) -> None:
    """Decode the first frame, or all of them.

    Raises:
        VideoError: if one cannot be decoded, is damaged, has another size, or too few come.
    """
    count = 0
    try:
        for frame in _frames(file):
            if not count:
                found.width, found.height = frame.width, frame.height
                found.rotation_degrees = -frame.rotation % 360
            if (frame.width, frame.height) != (found.width, found.height):
                raise VideoError(str(file), f"frame {count} has another size than the first")
            if frame.is_corrupt and decode:
                raise VideoError(str(file), f"frame {count} is damaged")
            count += 1
            if not decode:
                break
    except av.FFmpegError as error:
        raise VideoError(
            str(file), f"frame {count} cannot be decoded ({str(error.strerror).lower()})"
        ) from None
    if count < (found.num_frames if decode and found.num_frames else 1):
        raise VideoError(str(file), f"{count} of {found.num_frames} frames can be decoded")


def _frames(file: Path) -> Iterator[VideoFrame]:
    """All frames, those that FFmpeg had to patch up as well."""
    container, stream = open_video(file, TIMEOUT_SECONDS)
    with container:
        for packet in demux(container, stream):
            yield from stream.decode(packet)
        yield from stream.decode(None)
