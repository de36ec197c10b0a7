"""The index of a video: its frames, when each is shown, and where decoding can start."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from hiera_video.decoding.stream_facts import StreamFacts
from hiera_video.decoding.timeline import Timeline

#: Containers round timestamps. The rate counts as constant if no frame is further than this, in
#: frames, from its evenly spaced position.
_MAX_DEVIATION_FRAMES = 0.5


@dataclass(frozen=True)
class VideoIndex:
    """The frames of a video stream, in display order.

    ``frame_ids``: the numbers by which decoded frames are recognised. Where packets are trusted,
    these are their presentation timestamps; otherwise the frames were counted by decoding the file
    once, and these are the numbers of the packets they came with.
    ``timestamps``: when each frame is first shown, in units of ``time_base`` seconds;
    ``end_timestamp``: when the last one ends.
    ``keyframes``: the numbers of frames at which decoding can start. ``keyframe_ids``: their ids.
    ``keyframe_packets``: the numbers of their packets, in stored order; ``seek_targets``: the
    timestamp to seek to for each. Both are empty where frames were counted: such files are read
    from their start, without decoding anything before the keyframe.
    ``checksums``: one per counted frame (empty where packets are trusted).
    ``why_counted``: why packets were not trusted; ``num_damaged``: the number of damaged frames and
    packets found while counting.
    ``has_open_gops``: whether some frame is stored after a keyframe and shown before it;
    ``has_hidden_frames``: whether an edit list hides frames that others refer to.
    """

    facts: StreamFacts
    frame_ids: tuple[int, ...]
    timestamps: tuple[int, ...]
    end_timestamp: int
    time_base: Fraction
    frames_per_second: Fraction
    keyframes: tuple[int, ...]
    keyframe_ids: tuple[int, ...]
    keyframe_packets: tuple[int, ...] = ()
    seek_targets: tuple[int, ...] = ()
    checksums: tuple[int, ...] = ()
    why_counted: str = ""
    num_damaged: int = 0
    has_open_gops: bool = False
    has_hidden_frames: bool = False

    @property
    def num_frames(self) -> int:
        return len(self.frame_ids)

    @property
    def has_seconds(self) -> bool:
        """Whether it is known when frames are shown; only of pictures it may not be."""
        return True

    @property
    def is_counted(self) -> bool:
        """Whether frames were counted by decoding, because packets were not trusted."""
        return bool(self.why_counted)

    @property
    def duration_seconds(self) -> Fraction:
        return self.timeline.seconds(self.num_frames)

    @cached_property
    def timeline(self) -> Timeline:
        """When frames are shown, from the first one on.

        Frames are evenly spaced by the rate, unless one deviates from that by more than half a
        frame, or the last one is shown for longer; then the timestamps count.
        """
        first, last = self.timestamps[0], self.timestamps[-1]
        frames_per_tick = float(self.time_base * self.frames_per_second)
        last_frames = (self.end_timestamp - last) * frames_per_tick
        is_constant = last_frames <= 1 + _MAX_DEVIATION_FRAMES and all(
            abs((timestamp - first) * frames_per_tick - number) <= _MAX_DEVIATION_FRAMES
            for number, timestamp in enumerate(self.timestamps)
        )
        if is_constant:
            return Timeline.constant(self.frames_per_second)
        ticks = (*self.timestamps, self.end_timestamp)
        return Timeline(tuple(tick - first for tick in ticks), self.time_base)
