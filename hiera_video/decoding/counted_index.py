"""The index of a video made by decoding it once and counting the frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import av
from av import VideoFrame
from av.container import InputContainer
from av.video.stream import VideoStream

from hiera_video.decoding.checksum import checksum
from hiera_video.decoding.container import demux, stream_facts
from hiera_video.decoding.packet_index import (
    STORE_TIMES,
    Packets,
    believable_rate,
    end_of_last,
)
from hiera_video.decoding.time_limit import TimeLimit
from hiera_video.decoding.video_index import VideoIndex
from hiera_video.errors import VideoError

#: Frames per second that FFmpeg assumes for streams that state no rate.
_DEFAULT_RATE = Fraction(25)


@dataclass
class _CountedFrames:
    """For each decoded frame, the number of its packet (``ids``) and a checksum.

    ``restarts``: numbers of the frames at which decoding can start; ``num_damaged``: damaged frames
    and packets; ``num_damaged_first``: those before the first restart.
    """

    ids: list[int] = field(default_factory=list)
    checksums: list[int] = field(default_factory=list)
    restarts: list[int] = field(default_factory=list)
    num_damaged: int = 0
    num_damaged_first: int = 0

    def note_damage(self) -> None:
        self.num_damaged += 1
        self.num_damaged_first += not self.restarts

    def drop_damaged_start(self) -> None:
        """If frames before the first restart are damaged, drop all of these: in a file that was cut
        at its start they refer to frames that are missing."""
        if self.num_damaged_first and self.restarts:
            first = self.restarts[0]
            self.ids, self.checksums = self.ids[first:], self.checksums[first:]
            self.restarts = [frame - first for frame in self.restarts]


def count_frames(
    name: str,
    opened: tuple[InputContainer, VideoStream],
    packets: Packets,
    reason: str,
    limit: TimeLimit,
) -> VideoIndex:
    """Decode a freshly opened container to its end, and count the frames.

    ``opened``: the container and its video stream; ``packets``: the result of an earlier pass over
    the packets; ``reason``: why they are not trusted.

    Raises:
        VideoError: if there are no frames, or the frame rate is not plausible.
        TimeoutError: if a frame takes longer than the limit.
    """
    container, stream = opened
    counted = _decode_all(container, stream, packets, limit)
    counted.drop_damaged_start()
    if not counted.ids:
        raise VideoError(name, f"none of its frames can be decoded ({reason})")
    facts = stream_facts(container, stream)
    time_base = Fraction(stream.time_base or 1)
    timestamps = _display_times(packets, counted.ids)
    try:
        rate = believable_rate(name, stream, timestamps)
    except VideoError:
        if facts.container in STORE_TIMES:
            raise
        timestamps, rate = [], _DEFAULT_RATE
    if timestamps:
        end = end_of_last(container, stream, packets, timestamps)
    else:
        time_base, timestamps, end = 1 / rate, list(range(len(counted.ids))), len(counted.ids)
    return VideoIndex(
        facts=facts,
        frame_ids=tuple(counted.ids),
        timestamps=tuple(timestamps),
        end_timestamp=end,
        time_base=time_base,
        frames_per_second=rate,
        keyframes=tuple(counted.restarts),
        keyframe_ids=tuple(counted.ids[frame] for frame in counted.restarts),
        checksums=tuple(counted.checksums),
        why_counted=reason,
        num_damaged=counted.num_damaged,
        has_hidden_frames=not all(packets.are_shown),
    )


def _decode_all(
    container: InputContainer, stream: VideoStream, packets: Packets, limit: TimeLimit
) -> _CountedFrames:
    counted = _CountedFrames()
    # A palette is stored in the first packet, and in packets that change it, only.
    may_restart = stream.codec_context.pix_fmt != "pal8"
    for frame in _decode_numbered(container, stream, limit, counted.note_damage):
        if frame.is_corrupt:
            counted.note_damage()
        number = frame.pts if frame.pts is not None else -1
        is_flagged = 0 <= number < len(packets) and packets.are_keyframes[number]
        if may_restart and frame.key_frame and is_flagged and number not in counted.ids[-1:]:
            counted.restarts.append(len(counted.ids))
        counted.ids.append(number)
        counted.checksums.append(checksum(frame))
        limit.start()
    return counted


def _decode_numbered(
    container: InputContainer,
    stream: VideoStream,
    limit: TimeLimit,
    on_damage: Callable[[], None],
) -> Iterator[VideoFrame]:
    """All frames, with the numbers of their packets, in stored order, as timestamps.

    Decoders pass timestamps on from packets to frames, in whatever order they return these. Numbers
    identify every frame; the file's own timestamps may be missing, repeated or invented. Packets
    that cannot be decoded are skipped: a later read of a frame near them reports the damage.
    """
    context = stream.codec_context
    for number, packet in enumerate(demux(container, stream)):
        packet.pts = packet.dts = number
        limit.check()
        try:
            yield from context.decode(packet)
        except av.InvalidDataError:
            on_damage()
    yield from context.decode(None)


def _display_times(packets: Packets, ids: list[int]) -> list[int]:
    """When frames are shown, by the timestamps of their packets; empty if some are missing or
    repeated.

    Where these are out of order, they follow the order of decoding, and are assigned in display
    order instead.
    """
    stamps = [packets.timestamps[number] if number >= 0 else None for number in ids]
    known = sorted(stamp for stamp in stamps if stamp is not None)
    return known if len(set(known)) == len(ids) else []
