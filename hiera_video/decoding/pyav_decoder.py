"""The default decoder. PyAV brings a current FFmpeg."""

from __future__ import annotations

import gc
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import groupby

import av
import numpy as np
from av import VideoFrame
from av.packet import Packet
from av.video.reformatter import Interpolation, VideoReformatter

from hiera_video.decoding.checksum import checksum
from hiera_video.decoding.decoder import FrameDecoder
from hiera_video.decoding.orientation import Orientation
from hiera_video.decoding.packet_source import PacketSource
from hiera_video.decoding.source import Source
from hiera_video.decoding.time_limit import TimeLimit
from hiera_video.decoding.video_index import VideoIndex


class PyAVDecoder(FrameDecoder):
    """Decodes as few frames as FFmpeg allows.

    Decoding starts at the keyframe before a wanted frame, skips unwanted frames that no other
    frame refers to, stops after the last frame wanted before the next keyframe, and continues at
    the next keyframe that precedes a wanted frame.

    ``packets`` reads the container; the caller closes it. ``width_scale`` widens the images.
    """

    name, module = "pyav", "av"

    def __init__(
        self,
        source: Source,
        index: VideoIndex,
        limit: TimeLimit,
        packets: PacketSource,
        width_scale: Fraction = Fraction(1),
    ) -> None:
        self.packets = packets
        self.width_scale = width_scale
        super().__init__(source, index, limit)

    def open(self) -> None:
        self._converter = VideoReformatter()
        self._forget_orientation()

    def close(self) -> None:
        # A frame whose side data was read refers to itself. Without this collection, Python would
        # keep it, and with it the decoder's memory, until a full collection, which is rare.
        gc.collect(1)

    def decode(self, wanted: Sequence[int]) -> Iterator[np.ndarray]:
        self._forget_orientation()
        return map(self._to_image, self._frames(wanted))

    def _forget_orientation(self) -> None:
        self._orientation = Orientation()
        self._rotation: int | None = None

    def _to_image(self, frame: VideoFrame) -> np.ndarray:
        """Upright RGB ``(H, W, C)``."""
        rgb = self._to_rgb(frame)
        if frame.rotation != self._rotation:  # cheaper to compare than the whole display matrix
            self._orientation, self._rotation = Orientation.of(frame), frame.rotation
        return self._orientation.apply(rgb.to_ndarray())

    def _to_rgb(self, frame: VideoFrame) -> VideoFrame:
        if self.width_scale != 1:
            return self._converter.reformat(
                frame,
                width=max(1, round(frame.width * self.width_scale)),
                format="rgb24",
                interpolation=Interpolation.BILINEAR,
                threads=1,
            )
        # Each pixel takes the nearest chroma sample, whatever the pixel format and the processor.
        return self._converter.reformat(
            frame, format="rgb24", interpolation=Interpolation.POINT, threads=1
        )

    def frame(self, number: int) -> VideoFrame:
        """A frame in FFmpeg's pixel format, not turned upright.

        Raises:
            ValueError: if it cannot be decoded.
        """
        for frame in self._frames([number]):
            return frame
        raise ValueError(f"frame {number} cannot be decoded (the file is damaged or cut off)")

    def _frames(self, wanted: Sequence[int]) -> Iterator[VideoFrame]:
        """The frames ``wanted``, up to the first one that does not come."""
        from_keyframe = self._count_from if self.index.is_counted else self._from_keyframe
        for keyframe, group in groupby(wanted, self._keyframe_before):
            missing = deque(group)
            for frame in from_keyframe(keyframe, list(missing)):
                yield frame
                missing.popleft()
            if missing and keyframe != self._first_start:
                # Intra refresh, for example, renews pictures bit by bit, without keyframes.
                for frame in from_keyframe(self._first_start, list(missing)):
                    yield frame
                    missing.popleft()
            if missing:
                return

    @property
    def _first_start(self) -> int:
        """The keyframe number at which decoding from the beginning starts: 0, or -1 (the start of
        the file) if the file shows frames before its first keyframe."""
        keyframes = self.index.keyframes
        return 0 if keyframes and keyframes[0] == 0 else -1

    def _keyframe_before(self, number: int) -> int:
        return bisect_right(self.index.keyframes, number) - 1

    def _from_keyframe(self, start: int, numbers: Sequence[int]) -> Iterator[VideoFrame]:
        """The frames ``numbers``, by decoding from keyframe ``start``: all, or the first ones."""
        first_id, due = self.index.keyframe_ids[start], deque(self._ids(numbers))
        wanted, unsent, newest = set(due), set(due), first_id
        for packet in self.packets.from_keyframe(self.index, start):
            for frame in self._decode_packet(packet, wanted, unsent):
                # Frames shown before the keyframe may refer to frames stored before it.
                if frame.pts is None or frame.pts >= first_id:
                    _refuse_damage(frame)
                    if frame.pts is None or frame.pts < newest:
                        return  # timestamps are not in the order of frames
                    if frame.pts == first_id and start > 0 and not frame.key_frame:
                        return  # flagged as a keyframe without being one
                    newest = frame.pts
                if frame.pts in wanted:
                    if not due or frame.pts != due.popleft():
                        return
                    yield frame
            if not unsent:
                return

    def _ids(self, numbers: Sequence[int]) -> list[int]:
        return [self.index.frame_ids[number] for number in numbers]

    def _decode_packet(
        self, packet: Packet, wanted: set[int], unsent: set[int]
    ) -> list[VideoFrame]:
        context = self.packets.stream.codec_context
        is_wanted = packet.pts in wanted and not packet.is_discard
        # Frames that no other frame refers to need not be decoded unless they are wanted.
        context.skip_frame = "DEFAULT" if is_wanted else "NONREF"
        frames = context.decode(packet)
        if packet.pts is not None:
            unsent.discard(packet.pts)
        if not unsent:
            frames += context.decode(None)  # the frames held back for reordering
        return frames

    def _count_from(self, start: int, numbers: Sequence[int]) -> Iterator[VideoFrame]:
        """:meth:`_from_keyframe` for counted frames: decodes from keyframe ``start`` (-1: from the
        start of the file) and counts on. Ends early where the decoder returns other frames than
        when they were counted."""
        index, due, is_first = self.index, deque(numbers), start == self._first_start
        number = index.keyframes[start] if start >= 0 else 0
        has_begun = start < 0
        first_packet = index.keyframe_ids[start] if start >= 0 else 0
        for frame in self._counted_frames(first_packet, tolerate_damage=not is_first):
            # Frames shown before the keyframe refer to frames stored before it.
            has_begun = has_begun or frame.pts == index.keyframe_ids[start]
            if not has_begun:
                continue
            if number == index.num_frames or frame.pts != index.frame_ids[number]:
                return
            _refuse_damage(frame)
            if number == due[0]:
                if not is_first and checksum(frame) != index.checksums[number]:
                    return
                yield frame
                due.popleft()
                if not due:
                    return
            number += 1

    def _counted_frames(self, first_packet: int, tolerate_damage: bool) -> Iterator[VideoFrame]:
        """All frames from a packet on.

        They may depend on packets before that one, and decoding then fails; ``tolerate_damage``
        ends the frames there instead of raising.
        """
        try:
            for packet in self.packets.from_number(first_packet):
                yield from self.packets.stream.codec_context.decode(packet)
            yield from self.packets.stream.codec_context.decode(None)
        except av.InvalidDataError:
            if not tolerate_damage:
                raise


def _refuse_damage(frame: VideoFrame) -> None:
    if frame.is_corrupt:
        raise ValueError("a frame is damaged, and FFmpeg could only guess what it showed")
