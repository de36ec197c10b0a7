"""The default decoder. PyAV brings a current FFmpeg."""

from __future__ import annotations

import gc
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import groupby

import av
import numpy as np
from av import VideoFrame
from av.packet import Packet
from av.video.reformatter import Interpolation, VideoReformatter

from hiera_video.decoding.counted_index import checksum
from hiera_video.decoding.decoder import FrameDecoder
from hiera_video.decoding.orientation import Orientation


class PyAVDecoder(FrameDecoder):
    """Decodes no more than FFmpeg must for the frames that are wanted.

    Decoding starts at the keyframe before a wanted frame, skips what nobody refers to, stops after
    the last frame that is wanted before the next keyframe, and goes on at the next keyframe before
    a wanted frame.
    """

    name, module = "pyav", "av"

    def open(self) -> None:
        self._converter = VideoReformatter()

    def close(self) -> None:
        # A frame whose side data was read refers to itself: Python would keep it, and with it the
        # decoder's memory, until a collection of everything, which hardly ever comes.
        gc.collect(1)

    def decode(self, wanted: Sequence[int]) -> Iterator[np.ndarray]:
        orientation, rotation = Orientation(), None
        for frame in self._sparse(wanted):
            rgb = self._to_rgb(frame)
            if frame.rotation != rotation:  # which costs less to ask for than the whole matrix
                orientation, rotation = Orientation.of(frame), frame.rotation
            yield orientation.apply(rgb.to_ndarray())

    def _to_rgb(self, frame: VideoFrame) -> VideoFrame:
        if self.stretch != 1:
            return self._converter.reformat(
                frame,
                width=max(1, round(frame.width * self.stretch)),
                format="rgb24",
                interpolation=Interpolation.BILINEAR,
                threads=1,
            )
        # Each pixel takes the nearest chroma sample, whatever the format and the processor.
        return self._converter.reformat(
            frame, format="rgb24", interpolation=Interpolation.POINT, threads=1
        )

    def frame(self, number: int) -> VideoFrame:
        """A frame as FFmpeg has it.

        Raises:
            ValueError: if it cannot be decoded.
        """
        for frame in self._sparse([number]):
            return frame
        raise ValueError(f"frame {number} cannot be decoded (the file is damaged or cut off)")

    def _sparse(self, wanted: Sequence[int]) -> Iterator[VideoFrame]:
        from_keyframe = self._count_from if self.index.is_counted else self._from_keyframe
        for keyframe, group in groupby(wanted, self._keyframe_before):
            missing = deque(group)
            for frame in from_keyframe(keyframe, list(missing)):
                yield frame
                missing.popleft()
            if missing and keyframe != self._first_start:
                # As where pictures are refreshed bit by bit, not by keyframes.
                for frame in from_keyframe(self._first_start, list(missing)):
                    yield frame
                    missing.popleft()
            if missing:
                return

    @property
    def _first_start(self) -> int:
        """Where decoding starts that does not start at a keyframe in between: at the first one, or
        at the start of a file that shows pictures before it (-1)."""
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
                # Frames shown before the keyframe may refer to some before it.
                if frame.pts is None or frame.pts >= first_id:
                    _refuse_damage(frame)
                    if frame.pts is None or frame.pts < newest:
                        return  # timestamps are not in the order of frames
                    if frame.pts == first_id and start > 0 and not frame.key_frame:
                        return  # flagged as a keyframe, and none
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
            frames += context.decode(None)  # what it held back to put frames in order
        return frames

    def _count_from(self, start: int, numbers: Sequence[int]) -> Iterator[VideoFrame]:
        """The same, where frames were counted: by counting on from keyframe ``start``, or from the
        start of the file; the first ones, where the decoder does not go on as it did then."""
        index, due, is_first = self.index, deque(numbers), start == self._first_start
        number = index.keyframes[start] if start >= 0 else 0
        has_begun = start < 0
        first_packet = index.keyframe_ids[start] if start >= 0 else 0
        for frame in self._counted_frames(first_packet, must_go_on=is_first):
            # Frames shown before the keyframe refer to some before it.
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

    def _counted_frames(self, first_packet: int, must_go_on: bool) -> Iterator[VideoFrame]:
        """All frames from a packet on. It may take more to decode them than follows that packet:
        then they end there, unless they must go on."""
        try:
            for packet in self.packets.from_number(first_packet):
                yield from self.packets.stream.codec_context.decode(packet)
            yield from self.packets.stream.codec_context.decode(None)
        except av.InvalidDataError:
            if must_go_on:
                raise


def _refuse_damage(frame: VideoFrame) -> None:
    if frame.is_corrupt:
        raise ValueError("a frame is damaged, and FFmpeg could only guess what it showed")
