"""Opening a video file, and checks that need no decoded frame."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from hiera_video.decoding.source import Source, ffmpeg_input, is_empty, num_bytes, open_source
from hiera_video.decoding.stream_facts import StreamFacts
from hiera_video.errors import VideoError

#: The largest accepted frame, in pixels: twice the size of 8K video.
MAX_FRAME_PIXELS = 8192 * 8192

_EBML_HEADER = 0x1A45DFA3
_MATROSKA_SEGMENT = 0x18538067
#: Pixel formats that all decoders convert to the same colours.
_PLAIN_FORMATS = {f"yuv{full}{kind}p" for full in ("", "j") for kind in ("420", "422", "444")}
#: Muxers that write to a pipe store the largest possible size.
_UNKNOWN_RIFF_BYTES = 0xFFFFFFFF - 8


def open_container(source: Source, timeout_seconds: float) -> tuple[InputContainer, VideoStream]:
    """Open a file; return the container and the video stream that a player would show.

    A read that blocks for ``timeout_seconds`` ends with an error.

    Raises:
        VideoError: if the file has no video stream, or the stream's frame size is not plausible.
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
    """The stream that FFmpeg chooses, as players do; cover pictures do not count."""
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & stream.disposition.attached_pic:
        raise VideoError(name, "the file has no video stream")
    return stream


def _check_size(name: str, stream: VideoStream) -> None:
    context = stream.codec_context
    if context is None:
        raise VideoError(name, "its codec is unknown to FFmpeg")
    # FFmpeg reports no size in place of one above the limit.
    if not 0 < context.width * context.height <= MAX_FRAME_PIXELS:
        raise VideoError(name, "its frames have no size, or more than 8192x8192 pixels")


def stream_facts(container: InputContainer, stream: VideoStream) -> StreamFacts:
    """The facts that an open container states about its video stream."""
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
    """The packets of a stream, in stored order."""
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except IndexError:
        return  # PyAV raises it at the end of files in which further streams appear midway


def missing_bytes(source: Source) -> int | None:
    """The number of bytes by which a Matroska, WebM or AVI file is shorter than its header states.

    These containers store their own length (RFC 8794, sections 4 and 11; RIFF). None if the length
    is not stored, as in streamed files and where the writer was interrupted.
    """
    with open_source(source) as file:
        length = num_bytes(source)
        is_riff = file.read(4) == b"RIFF"
        end = _riff_end(file, length) if is_riff else _matroska_end(file)
    return max(end - length, 0) if end else None


def _riff_end(file: BinaryIO, length: int) -> int:
    """The offset at which the last ``movi`` list of an AVI file ends, which holds its pictures and
    sounds. The index after it is not needed. A large file is a sequence of RIFF chunks."""
    end = begin = 0
    while begin < length:
        chunk_id, chunk_bytes, _ = _read_chunk(file, begin)
        if chunk_id != b"RIFF" or not 0 < chunk_bytes < _UNKNOWN_RIFF_BYTES:
            break
        after = begin + 8 + chunk_bytes
        end = end or after  # unless a movi list is found in it
        offset = begin + 12
        while offset < min(after, length):
            _, chunk_bytes, list_type = _read_chunk(file, offset)
            offset += 8 + chunk_bytes + chunk_bytes % 2
            if list_type == b"movi":
                end = offset - chunk_bytes % 2
        begin = after + after % 2
    return end


def _read_chunk(file: BinaryIO, offset: int) -> tuple[bytes, int, bytes]:
    """A RIFF chunk's id, the number of bytes after its 8-byte header, and the first 4 of these."""
    file.seek(offset)
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
    """An EBML number: the leading zero bits of its first byte tell how many bytes follow.

    ``None`` at the end of the file and for "unknown", which is all ones.
    """
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    width = 9 - first[0].bit_length()
    number = int.from_bytes(first + file.read(width - 1), "big")
    if keep_marker:
        return number
    number -= 1 << (7 * width)
    return None if number == (1 << (7 * width)) - 1 else number
