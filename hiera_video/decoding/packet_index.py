"""The index of a video by its packets, almost without decoding any; and whether to trust it.

An index is made of packets; what is true is what the decoder gives. Both agree where each packet is
one picture and says when it is shown, which :func:`_reason_to_count` makes sure of.
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
from hiera_video.decoding.time_limit import TimeLimit
from hiera_video.decoding.video_index import StreamFacts, VideoIndex
from hiera_video.errors import VideoError

MP4, MATROSKA = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"

#: Containers (FFmpeg's names) that store when each picture is shown. The others store nothing or
#: the order of packets (AVI, raw streams), or one time for several (ASF).
STORE_TIMES = {MP4, MATROSKA, "flv", "mpegts", "mpeg"}
#: Encoders put such packets where there is no picture, or where the one before stays.
_PLACEHOLDER_BYTES = 8
#: Codecs that tell in a packet's first byte whether it shows a picture, however small it is.
_SAY_WHAT_IS_SHOWN = {"vp8", "vp9", "av1"}

#: The rate in a header may differ by this from the rate of the timestamps (rounded, and few).
_RATE_TOLERANCE = 0.05

#: Rates that are believed, in frames per second: from one frame an hour to a high-speed camera's.
_SLOWEST_RATE, _FASTEST_RATE = Fraction(1, 3600), Fraction(100_000)

#: Headers are rounded: frames that end less than this before what they say are all there.
_MISSING_SECONDS = 0.5


@dataclass
class Packets:
    """What is kept of a stream's packets, in the order they are stored; their data would be the
    whole file. ``timestamps`` and ``decoding_timestamps`` are in ticks of the stream;
    ``are_shown``: not left out by an edit list; ``num_hidden``: those that a codec says to show no
    picture; ``num_small``: those too small for one."""

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
    """Read a stream to its end.

    Raises:
        FFmpegError: if the container is damaged.
        TimeoutError: past the limit.
    """
    packets = Packets()
    codec = stream.codec_context.codec.canonical_name
    may_hide = codec in ("vp8", "vp9")
    smallest = 0 if codec in _SAY_WHAT_IS_SHOWN else _PLACEHOLDER_BYTES
    for packet in demux(container, stream):
        limit.check()
        packets.timestamps.append(packet.pts)
        packets.decoding_timestamps.append(packet.dts)
        packets.durations.append(packet.duration or 0)
        packets.are_keyframes.append(packet.is_keyframe)
        packets.are_shown.append(not packet.is_discard)
        packets.num_damaged += packet.is_corrupt
        packets.num_small += packet.size <= smallest
        if may_hide:
            packets.num_hidden += _is_hidden(packet, codec)
    return packets


def _is_hidden(packet: Packet, codec: str) -> bool:
    """Whether a packet of VP8 or VP9 is a frame that others refer to and that is not shown.

    VP8: bit 4 of the frame tag (RFC 6386, section 9.1). VP9: ``show_existing_frame`` and
    ``show_frame`` of the uncompressed header (VP9 bitstream specification, section 6.2); of a
    superframe, which ends as it begins, some frame is shown.
    """
    data = memoryview(packet)
    first = data[0]
    if codec == "vp8":
        return not first & 0x10
    is_superframe = data[len(data) - 1] & 0xE0 == 0xC0
    if is_superframe or first >> 6 != 2:
        return False
    # After marker and profile, of which profile 3 takes one bit more: existing, type, show.
    bits = first << 1 if first >> 4 & 3 == 3 else first
    return not bits & 0x08 and not bits & 0x02


def check_whole(
    source: Source, container: InputContainer, stream: VideoStream, packets: Packets
) -> None:
    """Make sure that the file is not cut off.

    Raises:
        VideoError: if there are no frames, or fewer than the header promises.
    """
    name, form = str(source), container.format.name
    if not any(packets.are_shown):
        raise VideoError(name, "the video stream has no frames")
    # MPEG-TS calls packets damaged where transmissions were joined; decoding will tell.
    damaged = 0 if form == "mpegts" else packets.num_damaged
    promised = _promised_packets(stream, packets) if form == MP4 else 0
    if damaged or len(packets) < promised:
        raise VideoError(
            name,
            f"the file is damaged or cut off: {len(packets) - damaged} whole frames of "
            f"{max(promised, len(packets))}",
        )
    if form in (MATROSKA, "avi"):
        missing = missing_bytes(source)
        if missing:
            raise VideoError(name, f"the file is cut off: {missing} bytes are missing at its end")
        if missing is None and form == MATROSKA:
            _check_end(name, container, stream, packets)


def _promised_packets(stream: VideoStream, packets: Packets) -> int:
    """How many samples an MP4 file lists, without those that an edit list leaves out (as FFmpeg has
    it) and those of no bytes."""
    entries = stream.index_entries
    if len(packets) >= len(entries):
        return len(entries)
    return sum(entry.size > 0 for entry in entries)


def _check_end(name: str, container: InputContainer, stream: VideoStream, packets: Packets) -> None:
    """Matroska that does not say how many bytes it has may say how long its video is."""
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
    if clock:  # of the stream, as FFmpeg and mkvmerge write it
        hours, minutes, seconds = map(float, clock.groups())
        return 3600 * hours + 60 * minutes + seconds
    if len(container.streams) > 1 or container.duration is None:
        return None  # sound may last longer
    return container.duration / av.time_base


def index_packets(
    name: str, container: InputContainer, stream: VideoStream, packets: Packets
) -> VideoIndex | str:
    """The index by packets, or why the frames are to be counted by decoding instead.

    Raises:
        VideoError: if the frame rate cannot be believed.
    """
    facts = stream_facts(container, stream)
    if reason := _reason_to_count(facts, stream, packets):
        return reason
    keyframes = _keyframes(packets, facts.container)
    if not keyframes:
        return f"{facts.codec} without a keyframe"
    # What is shown before the first keyframe refers to frames that are not in the file.
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
    """Why the packets of a file may be other things than its pictures in the order of their times,
    if there is a reason."""
    what = f"{facts.codec} in {facts.container.partition(',')[0]}"
    if facts.container not in STORE_TIMES:
        return f"{what}, which does not store when pictures are shown"
    if stream.codec_context.pix_fmt == "pal8":
        return f"{what} with a palette, which comes once"
    if not packets.are_keyframes[0]:
        return f"{what} whose first packet is not flagged as a keyframe"
    if packets.num_hidden:
        return f"{what} with {packets.num_hidden} packets that show no picture"
    if packets.num_small:
        return f"{what} with {packets.num_small} packets too small for a picture"
    shown = packets.shown_timestamps
    # An edit list of several parts gives frames that it leaves out the timestamps of others.
    hidden = packets.hidden_timestamps
    if None in shown or len(set(shown) - hidden) < len(shown):
        return f"{what} without a timestamp of its own for each picture"
    decoding = [stamp for stamp in packets.decoding_timestamps if stamp is not None]
    if decoding != sorted(decoding):
        return f"{what} with decoding times that step back"
    keyframes = packets.keyframe_timestamps
    if keyframes != sorted(keyframes):
        return f"{what} with keyframes that are stored out of order"
    is_reordered = shown != sorted(shown)  # type: ignore[type-var]
    if facts.has_b_frames and not is_reordered:
        return f"{what} that declares B-frames and stores no picture out of order"
    if is_reordered and not facts.has_b_frames:
        return f"{what} that stores pictures out of order and declares no B-frames"
    return None


def end_of_last(
    container: InputContainer, stream: VideoStream, packets: Packets, timestamps: Sequence[int]
) -> int:
    """When the last of ``timestamps`` is over: after the duration of its packet in MP4; at the end
    that Matroska states, which has one duration for all packets alike; but no sooner than after as
    long as the frame before, where nothing is stored."""
    last, form = timestamps[-1], container.format.name
    before = last - timestamps[-2] if len(timestamps) > 1 else 1
    stored = packets.durations[packets.timestamps.index(last)]
    if form == MP4 and stored > 0:
        return last + stored
    if form != MATROSKA:
        return last + before
    stated = _stated_seconds(container, stream) or 0
    return max(last + max(stored, before), round(stated / Fraction(stream.time_base or 1)))


def believable_rate(name: str, stream: VideoStream, timestamps: Sequence[int]) -> Fraction:
    """Frames per second: the header's, unless the timestamps tell otherwise.

    Raises:
        VideoError: if it cannot be believed.
    """
    rate = Fraction(stream.average_rate or stream.guessed_rate or 1)
    span = timestamps[-1] - timestamps[0] if len(timestamps) > 1 else 0
    if span and stream.time_base:
        measured = (len(timestamps) - 1) / (span * Fraction(stream.time_base))
        if abs(rate - measured) > _RATE_TOLERANCE * measured:
            rate = measured
    if not _SLOWEST_RATE <= rate <= _FASTEST_RATE:
        raise VideoError(name, f"{float(rate):.3g} frames per second cannot be believed")
    return rate


def _keyframes(packets: Packets, container: str) -> list[tuple[int, int]]:
    """Timestamps of keyframes, with those to seek to."""
    # MPEG's own containers are searched by decoding time, the others by presentation time.
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
    """Whether a packet, in the order they are stored, is shown before the keyframe it follows."""
    keyframe = None
    for stamp, is_keyframe in zip(packets.timestamps, packets.are_keyframes, strict=True):
        if stamp is None:
            continue
        if is_keyframe:
            keyframe = stamp
        elif keyframe is not None and stamp < keyframe:
            return True
    return False
