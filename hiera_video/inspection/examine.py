"""Examining one video file: its frames, its bytes, and whether it can be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.reader import IndexDisprovedError, VideoReader
from hiera_video.decoding.source import check_regular
from hiera_video.errors import VideoError, reason_of
from hiera_video.files import sha256

#: Without ``decode``, this many frames are decoded besides the first one.
_STEPS = 5


@dataclass
class Examined:
    """The facts about ``file``; None means unknown.

    ``width`` and ``height`` are those of the stored picture, which players rotate clockwise by
    ``rotation_degrees``. ``decoded``: whether all frames were decoded. ``reason``: why the file
    cannot be read.
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
    """Examine a video. ``decode`` decodes every frame; otherwise a few are decoded, from the first
    to the last."""
    facts = Examined(str(file), decode)
    try:
        check_regular(file)
        status = file.stat()
        facts.size_bytes, facts.modified_ns = status.st_size, status.st_mtime_ns
        facts.sha256 = sha256(file)
        with VideoReader(file, options) as reader:
            try:
                _decode(facts, reader, decode)
            except IndexDisprovedError:  # decoding found other frames than the packets promised
                _decode(facts, reader, decode)
    except VideoError as error:
        facts.reason = error.reason
    except Exception as error:  # no fault of one file may stop the examination of the others
        facts.reason = reason_of(error)
    return facts


def _decode(facts: Examined, reader: VideoReader, all_frames: bool) -> None:
    """Decode frames, and record the facts about them.

    Raises:
        VideoError: if a frame cannot be decoded, is damaged, or has another size.
        IndexDisprovedError: if decoding finds other frames than the packets promise.
    """
    index = reader.index
    facts.num_frames = index.num_frames
    facts.frames_per_second = float(index.frames_per_second)
    facts.duration_seconds = float(index.duration_seconds)
    facts.codec = index.facts.codec
    first = reader.stored_frame(0)
    facts.width, facts.height = first.width, first.height
    facts.rotation_degrees = -first.rotation % 360
    last = index.num_frames - 1
    spread = sorted({last * step // _STEPS for step in range(_STEPS + 1)})
    for _ in reader.stream(range(last + 1) if all_frames else spread):
        pass
