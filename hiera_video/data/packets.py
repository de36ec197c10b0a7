"""The compressed frames of a video, from any keyframe on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator

from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from hiera_video.data.container import demux, open_video
from hiera_video.data.source import Source
from hiera_video.data.time_limit import TimeLimit
from hiera_video.data.video_index import VideoIndex


class PacketSource:
    """An open container, read from where one asks. Its decoder starts afresh there."""

    def __init__(
        self,
        source: Source,
        container: InputContainer,
        stream: VideoStream,
        index: VideoIndex,
        limit: TimeLimit,
    ) -> None:
        self._source = source
        self._container = container
        self._index = index
        self._limit = limit
        self._seeks_well = True
        self._use(stream)

    def _use(self, stream: VideoStream) -> None:
        self.stream = stream
        # dav1d takes what to skip from the moment it is opened, and for good: that is nothing.
        stream.codec_context.open()
        self._unread: Iterator[Packet] = iter(())
        self._newest_keyframe = -1

    def close(self) -> None:
        self._container.close()

    def from_start(self) -> Iterator[Packet]:
        """All packets, in the order they are stored."""
        self._reopen(0)
        yield from self._read()

    def from_keyframe(self, number: int) -> Iterator[Packet]:
        """The packets from keyframe ``number`` of the index on.

        Raises:
            ValueError: if there is no such keyframe.
        """
        keyframe = None
        for go_there in self._ways(number):
            go_there(number)
            keyframe = self._skip_to(number)
            if keyframe is not None:
                break
        if keyframe is None:
            raise ValueError("a keyframe cannot be found again (the file is damaged)")
        self.stream.codec_context.flush_buffers()
        yield keyframe
        yield from self._read()

    def _ways(self, number: int) -> Iterator[Callable[[int], None]]:
        """How to get to a keyframe, the fastest way first."""
        steps = number - self._newest_keyframe
        if steps == 1 or (steps > 0 and not self._seeks_well):
            yield lambda _: None  # read on
        if self._seeks_well:
            yield self._seek
            self._seeks_well = False  # it went past the keyframe, as it may without an index
        yield self._reopen

    def _seek(self, number: int) -> None:
        self._container.seek(self._index.seek_targets[number], stream=self.stream)
        self._unread = demux(self._container, self.stream)

    def _reopen(self, _: int) -> None:
        self.close()
        self._container, stream = open_video(self._source, self._limit.seconds)
        self._use(stream)
        self._unread = demux(self._container, stream)

    def _skip_to(self, number: int) -> Packet | None:
        """Read on to that keyframe; ``None`` if it has been passed."""
        timestamp = self._index.keyframes[number]
        for packet in self._read():
            if packet.is_keyframe and packet.pts is not None and packet.pts >= timestamp:
                return packet if packet.pts == timestamp else None
        return None

    def _read(self) -> Iterator[Packet]:
        for packet in self._unread:
            self._limit.check()
            if packet.is_keyframe and packet.pts is not None:
                self._newest_keyframe = bisect_right(self._index.keyframes, packet.pts) - 1
            yield packet
