"""The compressed frames of a video, from any keyframe on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import chain

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from hiera_video.decoding.container import demux, open_container
from hiera_video.decoding.source import Source
from hiera_video.decoding.time_limit import TimeLimit
from hiera_video.decoding.video_index import VideoIndex


class PacketSource:
    """A container that is opened on demand and read from any keyframe on. The stream's decoder is
    flushed at each new start."""

    def __init__(self, source: Source, limit: TimeLimit) -> None:
        self._source = source
        self._limit = limit
        self._container: InputContainer | None = None
        self._seeks_well = True

    def open(self) -> tuple[InputContainer, VideoStream]:
        """Open the container anew; return it and its video stream.

        Raises:
            VideoError, OSError, FFmpegError: if it cannot be opened.
        """
        self.close()
        self._container, self.stream = open_container(self._source, self._limit.seconds)
        # dav1d (AV1) fixes its skip mode when it is opened; open it now, while nothing is skipped.
        self.stream.codec_context.open()
        self._unread: Iterator[Packet] = iter(())
        self._newest_keyframe = -1
        self._num_read = 0
        return self._container, self.stream

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None

    def from_number(self, number: int) -> Iterator[Packet]:
        """Packet ``number`` and all later ones, with their numbers instead of timestamps.

        Earlier packets are read but not returned.
        """
        if self._container is None or self._num_read == 0 or self._num_read > number:
            self._rewind()
            self._num_read = 0
        self.stream.codec_context.flush_buffers()
        for packet in self._unread:
            self._limit.check()
            packet.pts = packet.dts = position = self._num_read
            self._num_read += 1
            if position >= number:
                yield packet

    def from_keyframe(self, index: VideoIndex, number: int) -> Iterator[Packet]:
        """The packets from keyframe ``number`` of a packet-based ``index`` on.

        Raises:
            ValueError: if there is no such keyframe.
        """
        keyframe = None
        for approach in self._approaches(index, number):
            approach()
            keyframe = self._skip_to(index, number)
            if keyframe is not None:
                break
        if keyframe is None:
            raise ValueError("a keyframe cannot be found again (the file is damaged)")
        self.stream.codec_context.flush_buffers()
        return chain((keyframe,), self._read(index))

    def _approaches(self, index: VideoIndex, number: int) -> Iterator[Callable[[], None]]:
        """Ways to move to a position before a keyframe, the fastest first."""
        if self._container is not None:
            steps = number - self._newest_keyframe
            if steps == 1 or (steps > 0 and not self._seeks_well):
                yield lambda: None  # read on
        if self._seeks_well:
            yield lambda: self._seek(index.seek_targets[number])
            self._seeks_well = False  # it went past the keyframe, as it may without an index
        yield self._rewind

    def _seek(self, target: int) -> None:
        if self._container is None:
            self.open()
        assert self._container is not None
        try:
            self._container.seek(target, stream=self.stream)
        except av.FFmpegError:  # for example where no keyframe is listed before the target
            self._unread = iter(())
        else:
            self._unread = demux(self._container, self.stream)

    def _rewind(self) -> None:
        container, stream = self.open()
        self._unread = demux(container, stream)

    def _skip_to(self, index: VideoIndex, number: int) -> Packet | None:
        """Read on to that keyframe; ``None`` if it has been passed."""
        timestamp = index.keyframe_ids[number]
        for packet in self._read(index):
            if packet.is_keyframe and packet.pts is not None and packet.pts >= timestamp:
                return packet if packet.pts == timestamp else None
        return None

    def _read(self, index: VideoIndex) -> Iterator[Packet]:
        for packet in self._unread:
            self._limit.check()
            if packet.is_keyframe and packet.pts is not None:
                self._newest_keyframe = bisect_right(index.keyframe_ids, packet.pts) - 1
            yield packet
