"""The part of a video that a manifest row names: where its clips lie, and their frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

import torch
from torch import Tensor

from hiera_video.batch import ClipBatch, Failure, Notice, NoticeKind
from hiera_video.config.groups import ClipSettings
from hiera_video.data.clips import VideoPart, clip_duration, exact, spread_frames
from hiera_video.data.manifest import Row
from hiera_video.data.sampling import bound, evaluation_clips
from hiera_video.decoding.open_video import open_reader
from hiera_video.decoding.options import DecodingOptions
from hiera_video.errors import VideoError

#: A clip's number, and the position of a frame in it.
Place: TypeAlias = tuple[int, int]
#: Where something starts and ends, in seconds.
Times: TypeAlias = tuple[Fraction, Fraction]


class VideoSegment:
    """The part of an open video that a manifest row names, and clips of it.

    Raises:
        VideoError: if the video cannot be read, ends before the segment starts, or is shorter than
            a clip where ``clip.short_video`` refuses that.
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
        """Find the part that is meant, in the frames that the file has."""
        row, clip, index = self.row, self.clip, self._reader.index
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
            raise VideoError(
                str(row.file),
                f"it lasts {float(self.duration):.3f} s, a clip {float(self.clip_seconds):.3f} s, "
                "and clip.short_video=refuse",
            )

    def _between(self, start: Fraction, end: Fraction) -> VideoPart:
        """The frames that are shown in ``[start, end)`` seconds of the file."""
        index = self._reader.index
        first, last = (index.timeline.position(seconds) for seconds in (start, end))
        return VideoPart.between(first, last, index.num_frames, index.frames_per_second)

    def window(self, start: Fraction, end: Fraction) -> list[int]:
        """Frames of the part in the window ``[start, end)``, in seconds of the file."""
        if self.clip.spans_video:
            window = self._between(start, min(end, self.end))
            return evaluation_clips(window, self.clip, num_clips=1)[0]
        begin, stop = (self._reader.index.timeline.position(seconds) for seconds in (start, end))
        frames = spread_frames(begin, stop - begin, self.clip.num_frames)
        first = self.part.first_frame
        inside = bound([i - first for i in frames], self.part.num_frames, self.clip.short_video)
        return [first + i for i in inside]

    def stream(self, plans: Sequence[list[int]]) -> Iterator[tuple[Tensor, list[Place]]]:
        """The frames ``(C, H, W)`` of the clips in ``plans``, from one pass over the file: each is
        decoded once, and comes with the places, (clip, position in it), that it takes."""
        places: dict[int, list[Place]] = {}
        for clip, plan in enumerate(plans):
            for position, index in enumerate(plan):
                places.setdefault(index, []).append((clip, position))
        wanted = sorted(places)
        for index, frame in zip(wanted, self._reader.stream(wanted), strict=True):
            yield frame, places[index]

    def new_views(self, num_views: int) -> Tensor:
        """Memory for that many views ``(B, C, T, H, W)``."""
        clip = self.clip
        size = (len(clip.mean), clip.num_frames, clip.crop_size, clip.crop_size)
        return torch.empty((num_views, *size), dtype=torch.uint8)

    def times(self, plans: Sequence[list[int]]) -> list[Times]:
        """The seconds of the file that clips span."""
        if self.clip.spans_video:
            return [(self.start, self.end)] * len(plans)
        timeline = self._reader.index.timeline
        span = self.clip_seconds * self.part.frames_per_second
        return [(timeline.seconds(min(p)), timeline.seconds(min(p) + span)) for p in plans]

    @property
    def notices(self) -> list[Notice]:
        """What there is to say of how the file was read, besides that it was."""
        reader = self._reader
        reason = reader.fallback or reader.index.why_counted
        if not reason:
            return []
        kind: NoticeKind = "read by pyav" if reader.fallback else "counted by decoding"
        return [Notice(self.row.index, str(self.row.file), kind, reason)]

    def batch(self, views: Tensor, times: Sequence[Times]) -> ClipBatch:
        """``views`` ``(B, C, T, H, W)`` as a batch; as many of them for each of ``times``."""
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
        """Give file handles back."""
        self._reader.close()

    def __enter__(self) -> VideoSegment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _for_each(value: Any, num_clips: int) -> Tensor:
    """A row's target, once for each of its clips: ``(B, ...)``."""
    target = torch.as_tensor(value)
    return target.expand(num_clips, *target.shape).contiguous()


def failed_batch(row: Row, error: VideoError, clip: ClipSettings) -> ClipBatch:
    """The batch, without clips, of a video that cannot be read."""
    shape = (len(clip.mean), clip.num_frames, clip.crop_size, clip.crop_size)
    return ClipBatch.of_failure(Failure(row.index, error.path, error.reason), shape)
