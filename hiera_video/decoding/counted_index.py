"""The index of a video by decoding it once: frame by frame, what the decoder gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from zlib import crc32

import av
from av import VideoFrame
from av.container import InputContainer
from av.packet import Packet
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream

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

#: Frames per second that FFmpeg takes for those of streams which do not say.
_USUAL_RATE = Fraction(25)


def numbered(packets: Iterator[Packet], first: int = 0) -> Iterator[Packet]:
    """Packets with their number, in the order they are stored, in the place of timestamps.

    Decoders hand timestamps on to the pictures that come of packets, whatever order they give them
    in. Numbers tell all pictures apart; timestamps may be missing, doubled or made up.
    """
    for number, packet in enumerate(packets, first):
        packet.pts = packet.dts = number
        yield packet


@dataclass
class _Counted:
    """What is kept of each frame: the packet it came with, and a checksum of its picture.
    ``restarts``: numbers of frames that are whole by themselves; ``num_guessed``: frames, and
    packets, that are damaged; ``num_guessed_first``: those before the first restart."""

    ids: list[int] = field(default_factory=list)
    checksums: list[int] = field(default_factory=list)
    restarts: list[int] = field(default_factory=list)
    num_guessed: int = 0
    num_guessed_first: int = 0

    def drop_guesses(self) -> None:
        """Leave out what a file that was cut in the middle shows before its first keyframe: it
        refers to frames that are not there."""
        if self.num_guessed_first and self.restarts:
            first = self.restarts[0]
            self.ids, self.checksums = self.ids[first:], self.checksums[first:]
            self.restarts = [frame - first for frame in self.restarts]


def count_frames(
    name: str,
    container: InputContainer,
    stream: VideoStream,
    packets: Packets,
    why: str,
    limit: TimeLimit,
) -> VideoIndex:
    """Decode a freshly opened container to its end, and count.

    ``packets`` are what an earlier reading found of them, and ``why`` they are not trusted.

    Raises:
        VideoError: if there are no frames, or the frame rate cannot be believed.
        TimeoutError: if a frame takes longer than the limit.
    """
    counted = _decode_all(container, stream, packets, limit)
    counted.drop_guesses()
    if not counted.ids:
        raise VideoError(name, f"no frame of it can be decoded ({why})")
    facts = stream_facts(container, stream)
    time_base = Fraction(stream.time_base or 1)
    timestamps = _display_times(packets, counted.ids)
    try:
        rate = believable_rate(name, stream, timestamps)
    except VideoError:
        if facts.container in STORE_TIMES:
            raise
        timestamps, rate = [], _USUAL_RATE
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
        why_counted=why,
        num_damaged=counted.num_guessed,
        has_hidden_frames=not all(packets.are_shown),
    )


def _decode_all(
    container: InputContainer, stream: VideoStream, packets: Packets, limit: TimeLimit
) -> _Counted:
    counted = _Counted()

    def guess() -> None:
        counted.num_guessed += 1
        counted.num_guessed_first += not counted.restarts

    # A palette comes with the first packet alone, and with those that change it.
    may_restart = stream.codec_context.pix_fmt != "pal8"
    for frame in decode_numbered(container, stream, limit, guess):
        if frame.is_corrupt:
            guess()
        number = frame.pts if frame.pts is not None else -1
        is_stored_so = 0 <= number < len(packets) and packets.are_keyframes[number]
        if may_restart and frame.key_frame and is_stored_so and number not in counted.ids[-1:]:
            counted.restarts.append(len(counted.ids))
        counted.ids.append(number)
        counted.checksums.append(checksum(frame))
        limit.start()
    return counted


def decode_numbered(
    container: InputContainer,
    stream: VideoStream,
    limit: TimeLimit,
    on_damage: Callable[[], None],
) -> Iterator[VideoFrame]:
    """All frames, with the numbers of packets as timestamps. What cannot be decoded is passed over:
    whoever asks for a frame near it will be told."""
    context = stream.codec_context
    for packet in numbered(demux(container, stream)):
        limit.check()
        try:
            yield from context.decode(packet)
        except av.InvalidDataError:
            on_damage()
    yield from context.decode(None)


def checksum(frame: VideoFrame) -> int:
    """Of a picture's brightness."""
    grey = frame.reformat(format="gray", interpolation=Interpolation.POINT, threads=1)
    return crc32(grey.to_ndarray().tobytes())


def _display_times(packets: Packets, ids: list[int]) -> list[int]:
    """When frames are shown, by the timestamps of their packets; none if these do not tell.

    Where these are out of order, they belong to the order of decoding, and are given out in the
    order of display.
    """
    stamps = [packets.timestamps[number] if number >= 0 else None for number in ids]
    known = sorted(stamp for stamp in stamps if stamp is not None)
    return known if len(set(known)) == len(ids) else []
