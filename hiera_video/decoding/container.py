"""Opening a video file, and what can be said of it before any frame is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from hiera_video.decoding.source import Source, ffmpeg_input, is_empty, num_bytes, open_source
from hiera_video.decoding.video_index import StreamFacts
from hiera_video.errors import VideoError

#: Pixels of the largest frame that is believed: twice what 8K video has.
MAX_FRAME_PIXELS = 8192 * 8192

_EBML_HEADER = 0x1A45DFA3
_MATROSKA_SEGMENT = 0x18538067
#: What all decoders convert to the same colours.
_PLAIN_FORMATS = {f"yuv{full}{kind}p" for full in ("", "j") for kind in ("420", "422", "444")}
#: Writers to a pipe leave the largest number there.
_UNKNOWN_RIFF_BYTES = 0xFFFFFFFF - 8


def open_container(source: Source, timeout_seconds: float) -> tuple[InputContainer, VideoStream]:
    """The container, and the video stream in it that a player would show.

    Reading ends with an error where the file keeps it waiting for ``timeout_seconds``.

    Raises:
        VideoError: if the file holds no video, or one whose frames cannot be as large as it says.
        OSError, FFmpegError: if it cannot be opened or is in no known format.
    """
    if is_empty(source):
        raise VideoError(str(source), "the file is empty (0 bytes)")
    limits = {"max_pixels": str(MAX_FRAME_PIXELS)}
    container = av.open(
        ffmpeg_input(source),
        "r",
        options=limits,
        timeout=timeout_seconds,
        metadata_errors="replace",
    )
    try:
        stream = _video_stream(str(source), container)
        _check_size(str(source), stream)
    except BaseException:
        container.close()
        raise
    context = stream.codec_context
    context.options = limits
    context.thread_count = 1  # loader workers are the parallelism
    return container, stream


def _video_stream(name: str, container: InputContainer) -> VideoStream:
    """FFmpeg's choice, as in players; cover pictures do not count."""
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & stream.disposition.attached_pic:
        raise VideoError(name, "the file has no video stream")
    return stream


def _check_size(name: str, stream: VideoStream) -> None:
    context = stream.codec_context
    if context is None:
        raise VideoError(name, "its codec is unknown to FFmpeg")
    # FFmpeg gives no size in the place of one that is too large.
    if not 0 < context.width * context.height <= MAX_FRAME_PIXELS:
        raise VideoError(name, "its frames have no size, or none that can be believed (8192x8192)")


def stream_facts(container: InputContainer, stream: VideoStream) -> StreamFacts:
    """What an open container says of its video stream."""
    context = stream.codec_context
    layout = context.format
    is_plain = context.height % 2 == 0 and layout is not None and layout.name in _PLAIN_FORMATS
    return StreamFacts(
        container=container.format.name,
        codec=context.codec.canonical_name,
        has_b_frames=bool(context.has_b_frames),
        num_video_streams=len(container.streams.video),
        is_plain=is_plain,
        pixel_aspect_ratio=Fraction(stream.sample_aspect_ratio or 1),
    )


def demux(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """The packets of a stream, in the order they are stored."""
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except IndexError:
        return  # PyAV, at the very end, where other streams came up on the way


def missing_bytes(source: Source) -> int | None:
    """How many bytes a Matroska, WebM or AVI file lacks of what its header promises.

    These containers say how long they are themselves (RFC 8794, sections 4 and 11; RIFF). None if
    they do not, as where they were streamed or their writer was interrupted.
    """
    with open_source(source) as file:
        length = num_bytes(source)
        is_riff = file.read(4) == b"RIFF"
        end = _riff_end(file, length) if is_riff else _matroska_end(file)
    return max(end - length, 0) if end else None


def _riff_end(file: BinaryIO, length: int) -> int:
    """Where the pictures and sounds of an AVI file end: its last ``movi`` list. An index may
    follow, without which it can be read. A large file is a row of RIFF chunks."""
    end = begin = 0
    while begin < length:
        kind, num_bytes, _ = _read_chunk(file, begin)
        if kind != b"RIFF" or not 0 < num_bytes < _UNKNOWN_RIFF_BYTES:
            break
        after = begin + 8 + num_bytes
        end = end or after  # unless a list of pictures is found in it
        place = begin + 12
        while place < min(after, length):
            kind, num_bytes, content = _read_chunk(file, place)
            place += 8 + num_bytes + num_bytes % 2
            if content == b"movi":
                end = place - num_bytes % 2
        begin = after + after % 2
    return end


def _read_chunk(file: BinaryIO, place: int) -> tuple[bytes, int, bytes]:
    """What a RIFF chunk is, how many bytes follow its first eight, and the first four of these."""
    file.seek(place)
    header = file.read(12)
    return header[:4], int.from_bytes(header[4:8], "little"), header[8:]


def _matroska_end(file: BinaryIO) -> int:
    file.seek(0)
    if _read_number(file, keep_marker=True) != _EBML_HEADER:
        return 0
    file.seek(_read_number(file) or 0, 1)
    if _read_number(file, keep_marker=True) != _MATROSKA_SEGMENT:
        return 0
    size = _read_number(file)
    return file.tell() + size if size is not None else 0


def _read_number(file: BinaryIO, keep_marker: bool = False) -> int | None:
    """A number of EBML: the leading zeros of its first byte tell how many bytes follow.

    ``None`` at the end of the file and for "unknown", which is all ones.
    """
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    num_bytes = 9 - first[0].bit_length()
    number = int.from_bytes(first + file.read(num_bytes - 1), "big")
    if keep_marker:
        return number
    number -= 1 << (7 * num_bytes)
    return None if number == (1 << (7 * num_bytes)) - 1 else number
