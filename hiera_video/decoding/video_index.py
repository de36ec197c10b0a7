"""The frames of a video: which there are, when they are shown, where decoding can start."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from hiera_video.decoding.timeline import Timeline

#: Timestamps are rounded: the rate counts as constant if none is further than this, in frames, from
#: where it puts the frame.
_LARGEST_SHIFT = 0.5


@dataclass(frozen=True)
class StreamFacts:
    """What a container says of a video stream before any packet is read.

    ``container`` and ``codec``: FFmpeg's names. ``has_b_frames``: whether frames are stored out of
    order. ``num_video_streams``: all of them, cover pictures included. ``is_plain``: whether its
    pictures have 8 bits and an even height: what all decoders convert to the same colours.
    ``pixel_aspect_ratio``: width of a pixel by its height.
    """

    container: str
    codec: str
    has_b_frames: bool
    num_video_streams: int
    is_plain: bool
    pixel_aspect_ratio: Fraction


@dataclass(frozen=True)
class VideoIndex:
    """The frames of a video stream, in the order they are shown.

    ``frame_ids``: what the decoder's frames are recognised by. These are the presentation
    timestamps of packets, where those can be trusted; else the frames were counted by decoding the
    file once, and these are the numbers of the packets that they came with.
    ``timestamps``: when frames are shown, and ``end_timestamp``, when the last one no longer is, in
    units of ``time_base`` seconds.
    ``keyframes``: the frames at which decoding can start. ``keyframe_ids``: their ids.
    ``keyframe_packets``: the numbers of their packets, in the order they are stored;
    ``seek_targets``: what to ask the container for, to get to each. Both are empty where frames
    were counted: such files are read from their start, decoding nothing before the keyframe.
    ``checksums``: of the pictures of counted frames (empty where packets are trusted).
    ``why_counted``: why packets were not trusted; ``num_damaged``: how many frames and packets were
    seen to be damaged when frames were counted.
    ``has_open_gops``: whether frames are stored after a keyframe and shown before it;
    ``has_hidden_frames``: whether an edit list leaves some out that others refer to.
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
    def is_counted(self) -> bool:
        """Whether frames were counted by decoding, since packets were not trusted."""
        return bool(self.why_counted)

    @property
    def duration_seconds(self) -> Fraction:
        return self.timeline.seconds(self.num_frames)

    @cached_property
    def timeline(self) -> Timeline:
        """When frames are shown, from the first one on: evenly by the rate, unless one is off that
        by more than half a frame, or the last one stays for longer; then by the timestamps."""
        first, last = self.timestamps[0], self.timestamps[-1]
        frames_per_tick = float(self.time_base * self.frames_per_second)
        is_constant = (self.end_timestamp - last) * frames_per_tick <= 1 + _LARGEST_SHIFT and all(
            abs((timestamp - first) * frames_per_tick - number) <= _LARGEST_SHIFT
            for number, timestamp in enumerate(self.timestamps)
        )
        if is_constant:
            return Timeline.constant(self.frames_per_second)
        ticks = (*self.timestamps, self.end_timestamp)
        return Timeline(tuple(tick - first for tick in ticks), self.time_base)
