"""Rows to clips: where clips lie, which frames they are, decoding, views.

A bad video never raises here: it becomes a batch without clips that carries the reason, so that one
place (``failures.py``) decides what to do about it, in the main process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from typing import TypeAlias

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from hiera_video.batch import ClipBatch, Failure, Notice, NoticeKind
from hiera_video.config.groups import ClipSettings, EvaluateSettings, ViewSettings
from hiera_video.data.clips import VideoPart, clip_duration, exact, spread_frames, window_starts
from hiera_video.data.manifest import Row, Rows
from hiera_video.data.sampling import bound, evaluation_clips, training_clip
from hiera_video.data.transforms import EvaluationViews, TrainView
from hiera_video.data.worker_watch import WorkerWatch
from hiera_video.decoding.open_video import open_reader
from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.reader import IndexDisprovedError
from hiera_video.errors import ConfigError, VideoError
from hiera_video.seeding import derive_seed

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
            labels=torch.full((len(views),), self.row.label),
            start_seconds=starts.repeat_interleave(num_views),
            end_seconds=ends.repeat_interleave(num_views),
            notices=self.notices,
        )

    def close(self) -> None:
        """Give file handles back."""
        self._reader.close()

    def __enter__(self) -> VideoSegment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _read(
    row: Row,
    dataset: TrainClips | EvaluationClips,
    make_clips: Callable[[VideoSegment], ClipBatch],
) -> ClipBatch:
    """Clips of a row, or the reason why there are none."""
    try:
        with (
            dataset.watch.reading(row),
            VideoSegment(row, dataset.clip, dataset.decoding) as video,
        ):
            try:
                return make_clips(video)
            except IndexDisprovedError:  # its frames are others than those chosen from
                video.locate()
                return make_clips(video)
    except VideoError as error:
        return _failed(row, error, dataset.clip)


def _failed(row: Row, error: VideoError, clip: ClipSettings) -> ClipBatch:
    shape = (len(clip.mean), clip.num_frames, clip.crop_size, clip.crop_size)
    return ClipBatch.of_failure(Failure(row.index, error.path, error.reason), shape)


class TrainClips(Dataset[ClipBatch]):
    """``(epoch, row)`` -> ``repeats`` random clips of that row's video, each in a random view.

    Clips and views are a function of (seed, epoch, row, repeat) alone.
    """

    def __init__(
        self,
        manifest: Rows,
        clip: ClipSettings,
        augment: ViewSettings,
        decoding: DecodingOptions,
        seed: int,
        repeats: int,
    ) -> None:
        self.manifest = manifest
        self.clip = clip
        self.decoding = decoding
        self.seed = seed
        self.repeats = repeats
        self.view = TrainView(augment, clip)
        self.watch = WorkerWatch()

    def __getitem__(self, key: tuple[int, int]) -> ClipBatch:
        epoch, index = key
        row = self.manifest[index]
        seeds = [derive_seed(self.seed, epoch, index, repeat) for repeat in range(self.repeats)]

        def clips(video: VideoSegment) -> ClipBatch:
            plans = [training_clip(video.part, self.clip, seed) for seed in seeds]
            return video.batch(self._views(video, plans, seeds), video.times(plans))

        return _read(row, self, clips)

    def _views(
        self, video: VideoSegment, plans: Sequence[list[int]], seeds: Sequence[int]
    ) -> Tensor:
        views = video.new_views(len(plans))
        crops: list[Callable[[Tensor], Tensor]] = []
        for frame, places in video.stream(plans):
            crops = crops or [self.view.crop(frame[None], seed) for seed in seeds]
            for clip, position in places:
                views[clip, :, position] = crops[clip](frame[None])[0]
        for clip, seed in zip(views, seeds, strict=True):
            clip.copy_(self.view.alter(clip.transpose(0, 1), seed).transpose(0, 1))
        return views


class EvaluationClips(Dataset[ClipBatch]):
    """``row`` -> all views of that row's video: ``num_clips`` times ``num_crops`` clips."""

    def __init__(
        self,
        manifest: Rows,
        clip: ClipSettings,
        evaluate: EvaluateSettings,
        decoding: DecodingOptions,
        seed: int,
    ) -> None:
        self.manifest = manifest
        self.clip = clip
        self.evaluate = evaluate
        self.decoding = decoding
        self.seed = seed
        self.views = EvaluationViews(clip, evaluate.num_crops)
        self.watch = WorkerWatch()

    def __getitem__(self, index: int) -> ClipBatch:
        row = self.manifest[index]

        def clips(video: VideoSegment) -> ClipBatch:
            plans = evaluation_clips(video.part, self.clip, self.evaluate.num_clips)
            if self.evaluate.shuffle_frames:
                plans = [self._shuffled(plan, index, k) for k, plan in enumerate(plans)]
            views = video.new_views(len(plans) * self.evaluate.num_crops)
            for frame, places in video.stream(plans):
                crops = self.views(frame)
                for clip, position in places:
                    for number, crop in enumerate(crops, clip * len(crops)):
                        views[number, :, position] = crop
            return video.batch(views, video.times(plans))

        return _read(row, self, clips)

    def _shuffled(self, plan: list[int], row: int, clip: int) -> list[int]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, row, clip))
        return [plan[place] for place in torch.randperm(len(plan), generator=generator)]


@dataclass
class WindowBatch:
    """Windows of one video after the other, and of which a video has ``totals``: this is number
    ``numbers`` of them, from 0 on. The windows of a video come in order."""

    clips: ClipBatch
    numbers: list[int]
    totals: list[int]

    @classmethod
    def concatenate(cls, batches: Sequence[WindowBatch]) -> WindowBatch:
        """One batch of all windows and failures, in order."""
        return cls(
            ClipBatch.concatenate([batch.clips for batch in batches]),
            [number for batch in batches for number in batch.numbers],
            [total for batch in batches for total in batch.totals],
        )

    def pin_memory(self) -> WindowBatch:
        return WindowBatch(self.clips.pin_memory(), self.numbers, self.totals)


class VideoWindows(IterableDataset[WindowBatch]):
    """Sliding windows over whole videos, ``batch_size`` at a time, in centre crops.

    ``groups`` are rows whose windows share batches, of which all but a group's last are full.
    Groups are divided over the workers: a batch does not depend on how many there are.
    One pass over each video; memory is bounded by a batch and by how windows overlap, not by the
    length of the video.
    """

    def __init__(
        self,
        manifest: Rows,
        groups: Sequence[Sequence[int]],
        clip: ClipSettings,
        decoding: DecodingOptions,
        *,
        window_seconds: float | None,
        stride_seconds: float | None,
        batch_size: int,
    ) -> None:
        self.manifest = manifest
        self.groups = groups
        self.clip = clip
        self.decoding = decoding
        self.window_seconds = window_seconds
        self.stride_seconds = stride_seconds
        self.batch_size = batch_size
        if clip.spans_video and stride_seconds is not None and window_seconds is None:
            raise ConfigError(
                f"features.stride_seconds={stride_seconds:g}: with the checkpoint's clip.sampling="
                f"{clip.sampling} a window is the whole video; set features.window_seconds, too"
            )
        self.views = EvaluationViews(clip, num_crops=1)
        self.watch = WorkerWatch()

    def __iter__(self) -> Iterator[WindowBatch]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for group in self.groups[first::step]:
            windows = chain.from_iterable(map(self._read, group))
            while some := list(islice(windows, self.batch_size)):
                yield WindowBatch.concatenate(some)

    def _read(self, index: int) -> Iterator[WindowBatch]:
        """The windows of a row one by one, and the reason if they end early."""
        row = self.manifest[index]
        windows = self._windows(row)
        try:
            while True:
                with self.watch.reading(row):
                    window = next(windows, None)
                if window is None:
                    return
                yield window
        except VideoError as error:
            yield WindowBatch(_failed(row, error, self.clip), [], [])

    def _lengths(self, video: VideoSegment) -> tuple[Fraction, Fraction]:
        """Seconds that windows of a video last, and from one's start to the next.

        Raises:
            VideoError: if windows of a clip's length would leave gaps at this video's frame rate.
        """
        seconds = video.clip_seconds
        if self.window_seconds is not None:
            seconds = exact(self.window_seconds)
        stride = exact(self.stride_seconds) if self.stride_seconds is not None else seconds
        if stride > seconds:
            raise VideoError(
                str(video.row.file),
                f"features.stride_seconds={float(stride):g} is longer than a window of it, by "
                f"default a clip of {float(seconds):.3f} s; set features.window_seconds",
            )
        return seconds, stride

    def _windows(self, row: Row) -> Iterator[WindowBatch]:
        with VideoSegment(row, self.clip, self.decoding) as video:
            try:
                yield from self._windows_of(video)
            except IndexDisprovedError:  # its frames are others than those chosen from: begin again
                video.locate()
                yield from self._windows_of(video)

    def _windows_of(self, video: VideoSegment) -> Iterator[WindowBatch]:
        seconds, stride = self._lengths(video)
        starts = window_starts(video.duration, seconds, stride)
        times = [(video.start + start, video.start + start + seconds) for start in starts]
        plans = [video.window(*window) for window in times]
        begun: dict[int, Tensor] = {}
        missing = [self.clip.num_frames] * len(starts)
        due = 0
        for frame, places in video.stream(plans):
            (view,) = self.views(frame)
            for number, position in places:
                if number not in begun:
                    begun[number] = video.new_views(1)
                begun[number][0, :, position] = view
                missing[number] -= 1
            # In order: where the frame rate varies, a window can be complete before the last.
            while due < len(starts) and missing[due] == 0:
                clip = video.batch(begun.pop(due), [times[due]])
                yield WindowBatch(clip, [due], [len(starts)])
                due += 1
