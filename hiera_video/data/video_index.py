"""What a container says about its video: where the frames are, almost without decoding any."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from hiera_video.data.container import demux, missing_bytes
from hiera_video.data.source import Source
from hiera_video.data.time_limit import TimeLimit
from hiera_video.data.timeline import Timeline
from hiera_video.errors import VideoError

#: The rate in a header may differ by this from the rate of the timestamps (rounded, and few).
_RATE_TOLERANCE = 0.05

#: Rates that are believed, in frames per second: from one frame an hour to a high-speed camera's.
_SLOWEST_RATE, _FASTEST_RATE = Fraction(1, 3600), Fraction(100_000)

#: Timestamps are rounded: the rate counts as constant if none is further than this, in frames, from
#: where it puts the frame.
_LARGEST_SHIFT = 0.5

#: Headers are rounded: frames that end less than this before what they say are all there.
_MISSING_SECONDS = 0.5


@dataclass(frozen=True)
class VideoIndex:
    """The frames of a video stream, in the order they are shown.

    ``timestamps``: presentation timestamps in units of ``time_base`` seconds; ``keyframes``: those
    at which decoding can start; ``seek_targets``: what to ask the container for, to get to each of
    them; ``seekable``: whether frames are found by their timestamps. Where they are not, a reader
    counts from the start of the file, which is as exact and slower, and ``timestamps`` are numbers.
    ``container`` and ``codec``: FFmpeg's names; ``has_b_frames``: whether frames are stored out of
    order; ``has_open_gops``: whether some are stored after a keyframe and shown before it;
    ``has_hidden_frames``: whether an edit list leaves some out that others refer to;
    ``num_video_streams``: those that were not chosen and cover pictures included.
    """

    timestamps: tuple[int, ...]
    time_base: Fraction
    keyframes: tuple[int, ...]
    seek_targets: tuple[int, ...]
    frames_per_second: Fraction
    seekable: bool
    container: str
    codec: str
    has_b_frames: bool
    has_open_gops: bool
    has_hidden_frames: bool
    num_video_streams: int

    @property
    def num_frames(self) -> int:
        return len(self.timestamps)

    @property
    def duration_seconds(self) -> Fraction:
        return self.timeline.seconds(self.num_frames)

    @cached_property
    def timeline(self) -> Timeline:
        """When frames are shown: evenly by the rate, unless one is off that by more than half a
        frame; then by the timestamps, from the first one on."""
        first = self.timestamps[0]
        frames_per_tick = float(self.time_base * self.frames_per_second)
        is_constant = not self.seekable or all(
            abs((timestamp - first) * frames_per_tick - number) <= _LARGEST_SHIFT
            for number, timestamp in enumerate(self.timestamps)
        )
        if is_constant:
            return Timeline.constant(self.frames_per_second)
        ticks = tuple(timestamp - first for timestamp in self.timestamps)
        return Timeline(ticks, self.time_base)


class _Packet(NamedTuple):
    """What is kept of a packet: its data would be the whole file."""

    timestamp: int | None
    decoding_timestamp: int | None
    duration: int
    is_keyframe: bool
    is_shown: bool
    is_damaged: bool


def read_index(
    source: Source, container: InputContainer, stream: VideoStream, limit: TimeLimit
) -> VideoIndex:
    """Read where the frames of a video are. The container of ``source`` is left at its end.

    Raises:
        VideoError: if there are no frames, or fewer than the header promises.
        FFmpegError: if the container is damaged.
        TimeoutError: past the limit.
    """
    name, form = str(source), container.format.name
    # Edit lists leave frames out: what FFmpeg has made of them is what is to come.
    promised = len(stream.index_entries) if "mp4" in form else stream.frames
    packets = _read_packets(container, stream, limit)
    _check_whole(source, form, packets, promised)
    if "matroska" in form:
        _check_end(source, container, stream, packets)
    has_b_frames = stream.codec_context.has_b_frames
    # AVI stores no presentation timestamps. For H.264, FFmpeg gives decoding order in their
    # place, which shows as timestamps that never step back although B-frames are there.
    stamps = [packet.timestamp for packet in packets if packet.timestamp is not None]
    is_invented = form == "avi" and has_b_frames and stamps == sorted(stamps)
    keyframes = _keyframes(packets, form)
    timestamps = [] if is_invented or not keyframes else _timestamps(packets, keyframes[0][0])
    seekable = bool(timestamps)
    num_shown = sum(packet.is_shown for packet in packets)
    return VideoIndex(
        timestamps=tuple(timestamps if seekable else range(num_shown)),
        time_base=Fraction(stream.time_base or 1),
        keyframes=tuple(timestamp for timestamp, _ in keyframes),
        seek_targets=tuple(target for _, target in keyframes),
        frames_per_second=_rate(name, stream, timestamps),
        seekable=seekable,
        container=form,
        codec=stream.codec_context.name,
        has_b_frames=has_b_frames,
        has_open_gops=_has_open_gops(packets),
        has_hidden_frames=num_shown < len(packets),
        num_video_streams=len(container.streams.video),
    )


def _read_packets(
    container: InputContainer, stream: VideoStream, limit: TimeLimit
) -> list[_Packet]:
    packets = []
    for packet in demux(container, stream):
        limit.check()
        packets.append(
            _Packet(
                packet.pts,
                packet.dts,
                packet.duration or 0,
                packet.is_keyframe,
                not packet.is_discard,
                packet.is_corrupt,
            )
        )
    return packets


def _timestamps(packets: Sequence[_Packet], first_keyframe: int) -> list[int]:
    """Timestamps of what is shown, in that order; none if they do not tell frames apart."""
    shown = [packet.timestamp for packet in packets if packet.is_shown]
    # An edit list of several parts gives frames that it leaves out the timestamps of others.
    hidden = {packet.timestamp for packet in packets if not packet.is_shown}
    if len(set(shown) - hidden - {None}) < len(shown):
        return []
    # What is shown before the first keyframe refers to frames that are not in the file.
    return sorted(stamp for stamp in shown if stamp is not None and stamp >= first_keyframe)


def _check_whole(source: Source, form: str, packets: Sequence[_Packet], promised: int) -> None:
    name = str(source)
    if not any(packet.is_shown for packet in packets):
        raise VideoError(name, "the video stream has no frames")
    damaged = sum(packet.is_damaged for packet in packets)
    if form == "mpegts":
        damaged = 0  # it calls packets damaged where transmissions were joined; decoding will tell
    if damaged or len(packets) < promised:
        raise VideoError(
            name,
            f"the file is damaged or cut off: {len(packets) - damaged} whole frames of "
            f"{max(promised, len(packets))}",
        )


def _check_end(
    source: Source, container: InputContainer, stream: VideoStream, packets: Sequence[_Packet]
) -> None:
    """Matroska says how long a file and its video are, not how many frames there are."""
    if missing := missing_bytes(source):
        raise VideoError(
            str(source), f"the file is cut off: {missing} bytes are missing at its end"
        )
    stated = _stated_seconds(container, stream)
    ends = [p.timestamp + p.duration for p in packets if p.timestamp is not None]
    if stated is None or not ends:
        return
    seconds = float(max(ends) * Fraction(stream.time_base or 1))
    if stated - seconds > _MISSING_SECONDS:
        raise VideoError(
            str(source),
            f"the file is damaged or cut off: frames end at {seconds:.1f} s of {stated:.1f} s",
        )


def _stated_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    clock = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if clock:  # of the stream, as FFmpeg and mkvmerge write it
        hours, minutes, seconds = map(float, clock.groups())
        return 3600 * hours + 60 * minutes + seconds
    if len(container.streams) > 1 or container.duration is None:
        return None  # sound may last longer
    return container.duration / av.time_base


def _keyframes(packets: Sequence[_Packet], container: str) -> list[tuple[int, int]]:
    """Timestamps of keyframes, with those to seek to."""
    # MPEG's own containers are searched by decoding time, the others by presentation time.
    by_decoding_time = container in ("mpegts", "mpeg")
    return sorted(
        (
            packet.timestamp,
            packet.decoding_timestamp
            if by_decoding_time and packet.decoding_timestamp is not None
            else packet.timestamp,
        )
        for packet in packets
        if packet.is_keyframe and packet.timestamp is not None
    )


def _rate(name: str, stream: VideoStream, timestamps: Sequence[int]) -> Fraction:
    """Frames per second: the header's, unless the timestamps tell otherwise."""
    rate = Fraction(stream.average_rate or stream.guessed_rate or 1)
    span = timestamps[-1] - timestamps[0] if len(timestamps) > 1 else 0
    if span and stream.time_base:
        measured = (len(timestamps) - 1) / (span * Fraction(stream.time_base))
        if abs(rate - measured) > _RATE_TOLERANCE * measured:
            rate = measured
    if not _SLOWEST_RATE <= rate <= _FASTEST_RATE:
        raise VideoError(name, f"{float(rate):.3g} frames per second cannot be believed")
    return rate


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
