"""The default decoder. PyAV brings a current FFmpeg."""

from __future__ import annotations

import gc
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
from av import VideoFrame
from av.container import InputContainer
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from hiera_video.data.orientation import Orientation
from hiera_video.data.packets import PacketSource
from hiera_video.data.reader import VideoReader


class PyAVReader(VideoReader):
    """Decodes no more than FFmpeg must for the frames that are wanted.

    Decoding starts at the keyframe before a wanted frame, skips what nobody refers to, stops after
    the last frame that is wanted before the next keyframe, and goes on at the next keyframe before
    a wanted frame.
    """

    name, module = "pyav", "av"

    def _open(self, container: InputContainer, stream: VideoStream) -> None:
        self._source = PacketSource(self.source, container, stream, self.index, self._limit)
        self._converter = VideoReformatter()

    def close(self) -> None:
        self._source.close()
        # A frame whose side data was read refers to itself: Python would keep it, and with it the
        # decoder's memory, until a collection of everything, which hardly ever comes.
        gc.collect(1)

    def _decode(self, wanted: Sequence[int]) -> Iterator[np.ndarray]:
        orientation = None
        for frame in self._sparse(wanted) if self.index.seekable else self._counted(wanted):
            orientation = orientation or Orientation.of(frame)
            # Each pixel takes the nearest chroma sample, whatever the format and the processor.
            rgb = self._converter.reformat(
                frame, format="rgb24", interpolation=Interpolation.POINT, threads=1
            )
            yield orientation.apply(rgb.to_ndarray())

    def _sparse(self, wanted: Sequence[int]) -> Iterator[VideoFrame]:
        """The wanted frames, by their timestamps."""
        timestamps = (self.index.timestamps[index] for index in wanted)
        for keyframe, group in groupby(timestamps, self._keyframe_before):
            missing = deque(group)
            for frame in self._from_keyframe(keyframe, list(missing)):
                yield frame
                missing.popleft()
            if missing:  # as where pictures are refreshed bit by bit, not by keyframes
                yield from self._from_keyframe(0, list(missing))

    def _keyframe_before(self, timestamp: int) -> int:
        return bisect_right(self.index.keyframes, timestamp) - 1

    def _from_keyframe(self, start: int, timestamps: Sequence[int]) -> Iterator[VideoFrame]:
        """The frames at ``timestamps``, by decoding from keyframe ``start``: all, or the first."""
        packets = self._source.from_keyframe(start)
        wanted, unsent, due = set(timestamps), set(timestamps), deque(timestamps)
        for packet in packets:
            context = self._source.stream.codec_context
            is_wanted = packet.pts in wanted and not packet.is_discard
            # Frames that no other frame refers to need not be decoded unless they are wanted.
            context.skip_frame = "DEFAULT" if is_wanted else "NONREF"
            frames = context.decode(packet)
            unsent -= {packet.pts}
            if not unsent:
                frames += context.decode(None)  # what it held back to put frames in order
            for frame in frames:
                # Frames shown before the keyframe may refer to some before it.
                if frame.pts is None or frame.pts >= self.index.keyframes[start]:
                    _refuse_damage(frame)
                if frame.pts in wanted:
                    if frame.pts != due.popleft():
                        return
                    yield frame
            if not unsent:
                return

    def _counted(self, wanted: Sequence[int]) -> Iterator[VideoFrame]:
        """The wanted frames, by counting from the start."""
        remaining = set(wanted)
        for number, frame in enumerate(self._all_frames()):
            _refuse_damage(frame)
            if number in remaining:
                yield frame
            if number == wanted[-1]:
                return

    def _all_frames(self) -> Iterator[VideoFrame]:
        for packet in self._source.from_start():
            yield from self._source.stream.codec_context.decode(packet)
        yield from self._source.stream.codec_context.decode(None)


def _refuse_damage(frame: VideoFrame) -> None:
    if frame.is_corrupt:
        raise ValueError("a frame is damaged, and FFmpeg could only guess what it showed")
