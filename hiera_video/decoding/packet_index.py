"""The index of a video made from its packets, and the check whether to trust it.

An index is made from packets, but the decoder's output is the truth. The two agree where each
packet holds one picture and states when it is shown, which :func:`_reason_to_count` checks.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from hiera_video.decoding.container import demux, missing_bytes, stream_facts
from hiera_video.decoding.source import Source
from hiera_video.decoding.stream_facts import MATROSKA, MP4, StreamFacts
from hiera_video.decoding.time_limit import TimeLimit
from hiera_video.decoding.video_index import VideoIndex
from hiera_video.errors import VideoError

#: Containers (FFmpeg's names) that store when each picture is shown. The others store nothing, or
#: only the order of packets (AVI, raw streams), or one timestamp for several pictures (ASF).
STORE_TIMES = {MP4, MATROSKA, "flv", "mpegts", "mpeg"}
#: Encoders write packets of up to this size where there is no picture, or the last one stays.
_PLACEHOLDER_BYTES = 8
#: Codecs whose packets state in their first byte whether they show a picture, however small.
_CODECS_WITH_SHOW_FLAG = {"vp8", "vp9", "av1"}

#: The header's rate may differ from the rate of the timestamps by this share, since timestamps are
#: rounded, and may be few.
_RATE_TOLERANCE = 0.05

#: Plausible rates, in frames per second: from one frame an hour to a high-speed camera's.
_SLOWEST_RATE, _FASTEST_RATE = Fraction(1, 3600), Fraction(100_000)

#: Durations in headers are rounded: a video is complete if it ends at most this much earlier.
_MISSING_SECONDS = 0.5


@dataclass
class Packets:
    """The metadata of a stream's packets, in stored order, without their data.

    ``timestamps`` and ``decoding_timestamps`` are in ticks of the stream; ``are_shown``: whether
    the edit list, if any, includes them; ``num_hidden``: packets that show no picture according to
    the codec; ``num_small``: packets too small for a picture.
    """

    timestamps: list[int | None] = field(default_factory=list)
    decoding_timestamps: list[int | None] = field(default_factory=list)
    durations: list[int] = field(default_factory=list)
    are_keyframes: list[bool] = field(default_factory=list)
    are_shown: list[bool] = field(default_factory=list)
    num_damaged: int = 0
    num_hidden: int = 0
    num_small: int = 0

    def __len__(self) -> int:
        return len(self.timestamps)

    @property
    def keyframe_timestamps(self) -> list[int]:
        pairs = zip(self.timestamps, self.are_keyframes, strict=True)
        return [stamp for stamp, is_keyframe in pairs if is_keyframe and stamp is not None]

    @property
    def shown_timestamps(self) -> list[int | None]:
        if all(self.are_shown):
            return self.timestamps
        pairs = zip(self.timestamps, self.are_shown, strict=True)
        return [stamp for stamp, is_shown in pairs if is_shown]

    @property
    def hidden_timestamps(self) -> set[int | None]:
        if all(self.are_shown):
            return set()
        pairs = zip(self.timestamps, self.are_shown, strict=True)
        return {stamp for stamp, is_shown in pairs if not is_shown}


def read_packets(container: InputContainer, stream: VideoStream, limit: TimeLimit) -> Packets:
    """Read all packets of a stream.

    Raises:
        FFmpegError: if the container is damaged.
        TimeoutError: past the limit.
    """
    packets = Packets()
    codec = stream.codec_context.codec.canonical_name
    may_hide = codec in ("vp8", "vp9")
    placeholder_bytes = 0 if codec in _CODECS_WITH_SHOW_FLAG else _PLACEHOLDER_BYTES
    for packet in demux(container, stream):
        limit.check()
        packets.timestamps.append(packet.pts)
        packets.decoding_timestamps.append(packet.dts)
        packets.durations.append(packet.duration or 0)
        packets.are_keyframes.append(packet.is_keyframe)
        packets.are_shown.append(not packet.is_discard)
        packets.num_damaged += packet.is_corrupt
        packets.num_small += packet.size <= placeholder_bytes
        if may_hide:
            packets.num_hidden += _is_hidden(packet, codec)
    return packets


def _is_hidden(packet: Packet, codec: str) -> bool:
    """Whether a packet of VP8 or VP9 is a reference frame that is not shown.

    VP8: bit 4 of the frame tag (RFC 6386, section 9.1). VP9: ``show_existing_frame`` and
    ``show_frame`` of the uncompressed header (VP9 bitstream specification, section 6.2). A
    superframe, recognised by the marker in its last byte, always shows a frame.
    """
    data = memoryview(packet)
    first = data[0]
    if codec == "vp8":
        return not first & 0x10
    is_superframe = data[len(data) - 1] & 0xE0 == 0xC0
    if is_superframe or first >> 6 != 2:
        return False
    # The marker and the profile (one bit longer for profile 3) come first; then the three bits
    # show_existing_frame, frame_type, show_frame.
    bits = first << 1 if first >> 4 & 3 == 3 else first
    return not bits & 0x08 and not bits & 0x02


def check_whole(
    source: Source, container: InputContainer, stream: VideoStream, packets: Packets
) -> None:
    """Check that the file is not cut off.

    Raises:
        VideoError: if there are no frames, or fewer than the header promises.
    """
    name, container_name = str(source), container.format.name
    if not any(packets.are_shown):
        raise VideoError(name, "the video stream has no frames")
    # FFmpeg reports damaged packets where MPEG-TS transmissions were joined; decoding will tell.
    damaged = 0 if container_name == "mpegts" else packets.num_damaged
    promised = _promised_packets(stream, packets) if container_name == MP4 else 0
    if damaged or len(packets) < promised:
        raise VideoError(
            name,
            f"the file is damaged or cut off: {len(packets) - damaged} whole frames of "
            f"{max(promised, len(packets))}",
        )
    if container_name in (MATROSKA, "avi"):
        missing = missing_bytes(source)
        if missing:
            raise VideoError(name, f"the file is cut off: {missing} bytes are missing at its end")
        if missing is None and container_name == MATROSKA:
            _check_end(name, container, stream, packets)


def _promised_packets(stream: VideoStream, packets: Packets) -> int:
    """The number of samples that an MP4 file lists, without empty ones and those that, by FFmpeg's
    reading of the edit list, are left out."""
    entries = stream.index_entries
    if len(packets) >= len(entries):
        return len(entries)
    return sum(entry.size > 0 for entry in entries)


def _check_end(name: str, container: InputContainer, stream: VideoStream, packets: Packets) -> None:
    """For Matroska files that do not state their size: check that frames last as long as stated."""
    stated = _stated_seconds(container, stream)
    ends = [
        stamp + duration
        for stamp, duration in zip(packets.timestamps, packets.durations, strict=True)
        if stamp is not None
    ]
    if stated is None or not ends:
        return
    seconds = float(max(ends) * Fraction(stream.time_base or 1))
    if stated - seconds > _MISSING_SECONDS:
        raise VideoError(
            name, f"the file is damaged or cut off: frames end at {seconds:.1f} s of {stated:.1f} s"
        )


def _stated_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    clock = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if clock:  # the stream's duration, as FFmpeg and mkvmerge write it
        hours, minutes, seconds = map(float, clock.groups())
        return 3600 * hours + 60 * minutes + seconds
    if len(container.streams) > 1 or container.duration is None:
        return None  # the container's duration may be that of a longer sound
    return container.duration / av.time_base


def index_packets(
    name: str, container: InputContainer, stream: VideoStream, packets: Packets
) -> VideoIndex | str:
    """The index made from packets, or the reason why frames must be counted by decoding instead.

    Raises:
        VideoError: if the frame rate is not plausible.
    """
    facts = stream_facts(container, stream)
    if reason := _reason_to_count(facts, stream, packets):
        return reason
    keyframes = _keyframes(packets, facts.container)
    if not keyframes:
        return f"{facts.codec} without a keyframe"
    # Frames shown before the first keyframe refer to frames that are not in the file.
    first_keyframe = keyframes[0][0]
    timestamps = sorted(
        stamp for stamp in packets.shown_timestamps if stamp is not None and stamp >= first_keyframe
    )
    return VideoIndex(
        facts=facts,
        frame_ids=tuple(timestamps),
        timestamps=tuple(timestamps),
        end_timestamp=end_of_last(container, stream, packets, timestamps),
        time_base=Fraction(stream.time_base or 1),
        frames_per_second=believable_rate(name, stream, timestamps),
        keyframes=tuple(bisect_left(timestamps, stamp) for stamp, _ in keyframes),
        keyframe_ids=tuple(stamp for stamp, _ in keyframes),
        keyframe_packets=tuple(
            number for number, is_keyframe in enumerate(packets.are_keyframes) if is_keyframe
        ),
        seek_targets=tuple(target for _, target in keyframes),
        has_open_gops=_has_open_gops(packets),
        has_hidden_frames=not all(packets.are_shown),
    )


def _reason_to_count(facts: StreamFacts, stream: VideoStream, packets: Packets) -> str | None:
    """Why packets may not be one picture each with its own time; None if nothing suggests so."""
    kind = f"{facts.codec} in {facts.container.partition(',')[0]}"
    if facts.container not in STORE_TIMES:
        return f"{kind}, which does not store when pictures are shown"
    if stream.codec_context.pix_fmt == "pal8":
        return f"{kind} with a palette, which not every packet stores"
    if not packets.are_keyframes[0]:
        return f"{kind} whose first packet is not flagged as a keyframe"
    if packets.num_hidden:
        return f"{kind} with {packets.num_hidden} packets that show no picture"
    if packets.num_small:
        return f"{kind} with {packets.num_small} packets too small for a picture"
    shown = packets.shown_timestamps
    # With an edit list of several parts, hidden frames get the timestamps of shown ones.
    hidden = packets.hidden_timestamps
    if None in shown or len(set(shown) - hidden) < len(shown):
        return f"{kind} with missing or repeated timestamps"
    decoding = [stamp for stamp in packets.decoding_timestamps if stamp is not None]
    if decoding != sorted(decoding):
        return f"{kind} with decoding timestamps that go backwards"
    keyframes = packets.keyframe_timestamps
    if keyframes != sorted(keyframes):
        return f"{kind} with keyframes that are stored out of order"
    is_reordered = shown != sorted(shown)  # type: ignore[type-var]
    if facts.has_b_frames and not is_reordered:
        return f"{kind} that declares B-frames and stores no picture out of order"
    if is_reordered and not facts.has_b_frames:
        return f"{kind} that stores pictures out of order and declares no B-frames"
    return None


def end_of_last(
    container: InputContainer, stream: VideoStream, packets: Packets, timestamps: Sequence[int]
) -> int:
    """When the last frame of ``timestamps`` ends.

    MP4: after the duration of its packet. Matroska, whose packets all have one duration: at the
    video's stated end, but not before that duration has passed. If no duration is stored, the
    frame lasts as long as the one before.
    """
    last, container_name = timestamps[-1], container.format.name
    previous_duration = last - timestamps[-2] if len(timestamps) > 1 else 1
    stored = packets.durations[packets.timestamps.index(last)]
    if container_name == MP4 and stored > 0:
        return last + stored
    if container_name != MATROSKA:
        return last + previous_duration
    stated = _stated_seconds(container, stream) or 0
    return max(
        last + max(stored, previous_duration), round(stated / Fraction(stream.time_base or 1))
    )


def believable_rate(name: str, stream: VideoStream, timestamps: Sequence[int]) -> Fraction:
    """Frames per second: the header's rate, unless the timestamps contradict it.

    Raises:
        VideoError: if the rate is not plausible.
    """
    rate = Fraction(stream.average_rate or stream.guessed_rate or 1)
    span = timestamps[-1] - timestamps[0] if len(timestamps) > 1 else 0
    if span and stream.time_base:
        measured = (len(timestamps) - 1) / (span * Fraction(stream.time_base))
        if abs(rate - measured) > _RATE_TOLERANCE * measured:
            rate = measured
    if not _SLOWEST_RATE <= rate <= _FASTEST_RATE:
        raise VideoError(name, f"a rate of {float(rate):.3g} frames per second is not plausible")
    return rate


def _keyframes(packets: Packets, container: str) -> list[tuple[int, int]]:
    """Pairs of a keyframe's timestamp and the timestamp to seek to for it."""
    # FFmpeg seeks in MPEG's own containers by decoding time, in others by presentation time.
    by_decoding_time = container in ("mpegts", "mpeg")
    return sorted(
        (stamp, decoding if by_decoding_time and decoding is not None else stamp)
        for stamp, decoding, is_keyframe in zip(
            packets.timestamps,
            packets.decoding_timestamps,
            packets.are_keyframes,
            strict=True,
        )
        if is_keyframe and stamp is not None
    )


def _has_open_gops(packets: Packets) -> bool:
    """Whether some packet is stored after a keyframe and shown before it."""
    keyframe = None
    for stamp, is_keyframe in zip(packets.timestamps, packets.are_keyframes, strict=True):
        if stamp is None:
            continue
        if is_keyframe:
            keyframe = stamp
        elif keyframe is not None and stamp < keyframe:
            return True
    return False
