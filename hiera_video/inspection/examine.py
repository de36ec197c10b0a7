"""Examining one video file: its frames, its bytes, and whether it can be read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hiera_video.decoding.frame_reader import FrameReader
from hiera_video.decoding.images import read_facts
from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.pictures import holds_pictures, state_of
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
        facts.size_bytes, facts.modified_ns = state_of(file)
        if holds_pictures(file):
            with FrameReader(file, options) as pictures:
                _read_pictures(facts, pictures, decode)
            return facts
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


def _read_pictures(facts: Examined, reader: FrameReader, all_frames: bool) -> None:
    """Read pictures, and record the facts about them. Their hash is that of their bytes, whatever
    they are called and wherever they are: a folder, and an archive of it, are duplicates.

    Raises:
        VideoError: if a picture that is decoded cannot be, or has another size.
        OSError, ValueError: if the bytes of a picture cannot be read.
    """
    index, digest = reader.index, hashlib.sha256()
    for number in range(index.num_frames):
        with reader.pictures.open(number) as file:
            data = file.read()
        digest.update(len(data).to_bytes(8, "big") + data)
    facts.sha256 = digest.hexdigest()
    facts.num_frames = index.num_frames
    if index.has_seconds:
        facts.frames_per_second = float(index.frames_per_second)
        facts.duration_seconds = float(index.duration_seconds)
    for _ in reader.stream(_to_decode(index.num_frames, all_frames)):
        pass
    with reader.pictures.open(0) as file:
        facts.codec, facts.width, facts.height, facts.rotation_degrees = read_facts(file)


def _to_decode(num_frames: int, all_frames: bool) -> Sequence[int]:
    """All frames, or some from the first to the last."""
    last = num_frames - 1
    spread = sorted({last * step // _STEPS for step in range(_STEPS + 1)})
    return range(num_frames) if all_frames else spread


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
    for _ in reader.stream(_to_decode(index.num_frames, all_frames)):
        pass
