"""The segment of a video that a manifest row names: where its clips are, and their frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import nan
from typing import Any, TypeAlias

import torch
from torch import Tensor

from hiera_video.batch import ClipBatch, Failure, Notice, NoticeKind
from hiera_video.config.clip_groups import ClipSettings
from hiera_video.data.clips import VideoPart, clip_duration, exact, spread_frames
from hiera_video.data.frame_rates import NO_FRAME_RATE, counts_seconds
from hiera_video.data.manifest import Row
from hiera_video.data.sampling import bound, evaluation_clips
from hiera_video.decoding.open_video import open_reader
from hiera_video.decoding.options import DecodingOptions
from hiera_video.errors import VideoError

#: A clip's number, and the position of a frame in it.
Place: TypeAlias = tuple[int, int]
#: Where something starts and ends, in seconds.
Times: TypeAlias = tuple[Fraction | float, Fraction | float]


def view_shape(clip: ClipSettings) -> tuple[int, int, int, int]:
    """``(C, T, H, W)`` of a view of such a clip."""
    return len(clip.mean), clip.num_frames, clip.crop_size, clip.crop_size


def places_in(plans: Sequence[Sequence[int]]) -> dict[int, list[Place]]:
    """The places of each frame in the clips that ``plans`` lists frame by frame."""
    places: dict[int, list[Place]] = {}
    for clip, plan in enumerate(plans):
        for position, index in enumerate(plan):
            places.setdefault(index, []).append((clip, position))
    return places


class VideoSegment:
    """The segment of an open video that a manifest row names, and its clips.

    Raises:
        VideoError: if the video cannot be read, ends before the segment starts, or is shorter than
            a clip and ``clip.short_video`` is ``refuse``.
    """

    def __init__(
        self,
        row: Row,
        clip: ClipSettings,
        decoding: DecodingOptions | None = None,
    ) -> None:
        self.row = row
        self.clip = clip
        self._reader = open_reader(row.file, decoding)
        try:
            self.locate()
        except BaseException:
            self.close()
            raise

    def locate(self) -> None:
        """Find the segment among the frames of the file's index."""
        row, clip, index = self.row, self.clip, self._reader.index
        if counts_seconds(row, clip):
            self.check_seconds()
        self.start = exact(row.start_seconds)
        self.end = index.duration_seconds
        if row.end_seconds is not None:
            self.end = min(self.end, exact(row.end_seconds))
        self.duration = self.end - self.start
        if self.duration <= 0:
            raise VideoError(
                str(row.file),
                f"start_seconds={row.start_seconds} is past the video's end "
                f"({float(index.duration_seconds):.3f} s)",
            )
        self.part = self._between(self.start, self.end)
        self.clip_seconds = (
            self.duration if clip.spans_video else clip_duration(clip, index.frames_per_second)
        )
        if clip.short_video == "refuse" and self.duration < self.clip_seconds:
            unit = "s" if index.has_seconds else "frames"  # of which a second then has one
            raise VideoError(
                str(row.file),
                f"it lasts {float(self.duration):.3f} {unit}, a clip "
                f"{float(self.clip_seconds):.3f} {unit}, and clip.short_video=refuse",
            )

    def check_seconds(self) -> None:
        """Make sure that it is known when frames are shown.

        Raises:
            VideoError: if the frames are pictures, and ``data.frame_rate`` was not given.
        """
        if not self._reader.index.has_seconds:
            raise VideoError(str(self.row.file), NO_FRAME_RATE)

    def _between(self, start: Fraction, end: Fraction) -> VideoPart:
        """The frames that the file shows in the seconds ``[start, end)``."""
        index = self._reader.index
        first, last = (index.timeline.position(seconds) for seconds in (start, end))
        return VideoPart.between(first, last, index.num_frames, index.frames_per_second)

    def window(self, start: Fraction, end: Fraction) -> list[int]:
        """The frames of the window ``[start, end)``, in seconds of the file, within the segment."""
        if self.clip.spans_video:
            window = self._between(start, min(end, self.end))
            return evaluation_clips(window, self.clip, num_clips=1)[0]
        begin, stop = (self._reader.index.timeline.position(seconds) for seconds in (start, end))
        frames = spread_frames(begin, stop - begin, self.clip.num_frames)
        first = self.part.first_frame
        inside = bound([i - first for i in frames], self.part.num_frames, self.clip.short_video)
        return [first + i for i in inside]

    def stream(self, plans: Sequence[list[int]]) -> Iterator[tuple[Tensor, list[Place]]]:
        """The frames ``(C, H, W)`` of the clips in ``plans``, from one pass over the file. Each
        frame is decoded once, and comes with all its places: (clip, position in the clip)."""
        places = places_in(plans)
        indices = sorted(places)
        for index, frame in zip(indices, self._reader.stream(indices), strict=True):
            yield frame, places[index]

    def new_views(self, num_views: int) -> Tensor:
        """Uninitialised memory for ``num_views`` views ``(B, C, T, H, W)``."""
        return torch.empty((num_views, *view_shape(self.clip)), dtype=torch.uint8)

    def times(self, plans: Sequence[list[int]]) -> list[Times]:
        """The range of the file, in seconds, that each clip spans; not a number if unknown."""
        if not self._reader.index.has_seconds:
            return [(nan, nan)] * len(plans)
        if self.clip.spans_video:
            return [(self.start, self.end)] * len(plans)
        timeline = self._reader.index.timeline
        span = self.clip_seconds * self.part.frames_per_second
        return [(timeline.seconds(min(p)), timeline.seconds(min(p) + span)) for p in plans]

    @property
    def notices(self) -> list[Notice]:
        """A notice if the file was read in an unusual way."""
        reader = self._reader
        reason = reader.fallback or reader.index.why_counted
        if not reason:
            return []
        kind: NoticeKind = "read by pyav" if reader.fallback else "counted by decoding"
        return [Notice(self.row.index, str(self.row.file), kind, reason)]

    def batch(self, views: Tensor, times: Sequence[Times]) -> ClipBatch:
        """``views`` ``(B, C, T, H, W)`` as a batch; each of ``times`` has equally many views."""
        starts, ends = (
            torch.tensor([float(seconds) for seconds in side], dtype=torch.float64)
            for side in zip(*times, strict=True)
        )
        num_views = len(views) // len(times)
        return ClipBatch(
            pixel_values=views,
            rows=torch.full((len(views),), self.row.index),
            start_seconds=starts.repeat_interleave(num_views),
            end_seconds=ends.repeat_interleave(num_views),
            targets={name: _for_each(v, len(views)) for name, v in self.row.targets.items()},
            notices=self.notices,
        )

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def __enter__(self) -> VideoSegment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _for_each(value: Any, num_clips: int) -> Tensor:
    """A row's target, repeated for each of its clips: ``(B, ...)``."""
    target = torch.as_tensor(value)
    return target.expand(num_clips, *target.shape).contiguous()


def failed_batch(row: Row, error: VideoError, clip: ClipSettings) -> ClipBatch:
    """The empty batch of a video that cannot be read."""
    failure = Failure(row.index, error.path, error.reason)
    return ClipBatch.of_failure(failure, view_shape(clip))
