"""What a container says about its video: where the frames are, without decoding any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from hiera_video.errors import VideoError


@dataclass(frozen=True)
class VideoIndex:
    """The frames of a video stream, in the order they are shown.

    ``timestamps``: presentation timestamps in units of the stream's time base; ``keyframes``: those
    at which decoding can start; ``seekable``: whether frames can be found by their timestamps,
    rather than by counting from the start; ``container`` and ``codec``: FFmpeg's names;
    ``has_b_frames``: whether frames are stored out of order; ``has_open_gops``: whether some are
    stored after a keyframe and shown before it.
    """

    timestamps: tuple[int, ...]
    keyframes: tuple[int, ...]
    frames_per_second: Fraction
    seekable: bool
    container: str
    codec: str
    has_b_frames: bool
    has_open_gops: bool

    @property
    def num_frames(self) -> int:
        return len(self.timestamps)

    @property
    def duration_seconds(self) -> Fraction:
        return self.num_frames / self.frames_per_second


class _Packet(NamedTuple):
    """What is kept of a packet: its data would be the whole file."""

    timestamp: int | None
    is_keyframe: bool
    is_shown: bool
    is_damaged: bool


def read_index(path: Path) -> VideoIndex:
    """Read where the frames of a video are.

    Raises:
        VideoError: if the file holds no video, or fewer frames than its header promises.
        OSError, FFmpegError: if it cannot be opened or is in no known format.
    """
    if path.is_file() and path.stat().st_size == 0:
        raise VideoError(str(path), "the file is empty (0 bytes)")
    with av.open(str(path)) as container:
        if container.format.name.endswith("_pipe"):  # FFmpeg's readers of single pictures
            raise VideoError(str(path), "the file is a picture, not a video")
        stream = video_stream(container)
        packets = [
            _Packet(packet.pts, packet.is_keyframe, not packet.is_discard, packet.is_corrupt)
            for packet in container.demux(stream)
            if packet.size
        ]
        _check_whole(path, packets, stream.frames)
        shown = [packet for packet in packets if packet.is_shown]
        stamps = [packet.timestamp for packet in shown if packet.timestamp is not None]
        keys = [p.timestamp for p in shown if p.is_keyframe and p.timestamp is not None]
        timestamps = tuple(sorted(set(stamps)))
        # AVI stores no presentation timestamps. For H.264, FFmpeg gives decoding order in their
        # place, which shows as timestamps that never step back although B-frames are there.
        has_b_frames = stream.codec_context.has_b_frames > 0
        invented = container.format.name == "avi" and has_b_frames and stamps == sorted(stamps)
        seekable = len(timestamps) == len(shown) and not invented
        return VideoIndex(
            timestamps=timestamps if seekable else tuple(range(len(shown))),
            keyframes=tuple(sorted(keys)) or timestamps[:1],
            frames_per_second=Fraction(stream.average_rate or stream.guessed_rate or 1),
            seekable=seekable,
            container=container.format.name,
            codec=stream.codec_context.name,
            has_b_frames=has_b_frames,
            has_open_gops=_has_open_gops(packets),
        )


def video_stream(container: InputContainer) -> VideoStream:
    """The video stream that a player would show; cover pictures do not count.

    Raises:
        VideoError: if there is none.
    """
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & stream.disposition.attached_pic:
        raise VideoError(container.name, "the file has no video stream")
    return stream


def _check_whole(path: Path, packets: Sequence[_Packet], promised: int) -> None:
    if not any(packet.is_shown for packet in packets):
        raise VideoError(str(path), "the video stream has no frames")
    damaged = sum(packet.is_damaged for packet in packets)
    if damaged or len(packets) < promised:
        raise VideoError(
            str(path),
            f"the file is damaged or cut off: {len(packets) - damaged} whole frames of "
            f"{max(promised, len(packets))}",
        )


def _has_open_gops(packets: Sequence[_Packet]) -> bool:
    """Whether a packet, in the order they are stored, is shown before the keyframe it follows."""
    keyframe = None
    for packet in packets:
        if packet.timestamp is None:
            continue
        if packet.is_keyframe:
            keyframe = packet.timestamp
        elif keyframe is not None and packet.timestamp < keyframe:
            return True
    return False
