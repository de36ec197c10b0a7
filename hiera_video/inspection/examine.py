"""What a video file is: its frames, its bytes, and whether it can be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.reader import IndexDisprovedError, VideoReader
from hiera_video.decoding.source import check_regular
from hiera_video.errors import VideoError, reason_of
from hiera_video.files import sha256

#: Frames that a look without ``decode`` takes, besides the first one.
_STEPS = 5


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


def examine(file: Path, decode: bool, options: DecodingOptions | None = None) -> Examined:
    """Find out about a video; ``decode`` decodes every frame, else a few from its first to its
    last."""
    found = Examined(str(file), decode)
    try:
        check_regular(file)
        status = file.stat()
        found.size_bytes, found.modified_ns = status.st_size, status.st_mtime_ns
        found.sha256 = sha256(file)
        with VideoReader(file, options) as reader:
            try:
                _look(found, reader, decode)
            except IndexDisprovedError:  # it has other frames than its packets promised
                _look(found, reader, decode)
    except VideoError as error:
        found.reason = error.reason
    except Exception as error:  # whatever it is about, it must not keep the others from their turn
        found.reason = reason_of(error)
    return found


def _look(found: Examined, reader: VideoReader, decode: bool) -> None:
    """Decode frames, and take note of what they are.

    Raises:
        VideoError: if one cannot be decoded, is damaged, or has another size.
        IndexDisprovedError: if there are other frames than the packets promise.
    """
    index = reader.index
    found.num_frames = index.num_frames
    found.frames_per_second = float(index.frames_per_second)
    found.duration_seconds = float(index.duration_seconds)
    found.codec = index.facts.codec
    first = reader.stored_frame(0)
    found.width, found.height = first.width, first.height
    found.rotation_degrees = -first.rotation % 360
    last = index.num_frames - 1
    some = sorted({last * place // _STEPS for place in range(_STEPS + 1)})
    for _ in reader.stream(range(last + 1) if decode else some):
        pass
