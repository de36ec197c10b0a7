"""Rows to clips: where clips lie, which frames they are, decoding, views.

A bad video never raises here: it becomes a batch without clips that carries the reason, so that one
place (``failures.py``) decides what to do about it, in the main process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from hiera_video.batch import ClipBatch, Failure
from hiera_video.config import AugmentSettings, ClipSettings, EvaluateSettings
from hiera_video.data.clips import (
    clip_duration,
    even_clip_starts,
    frame_indices,
    random_clip_start,
    window_starts,
)
from hiera_video.data.decode import READERS
from hiera_video.data.manifest import Row, Rows
from hiera_video.data.transforms import EvaluationViews, TrainView
from hiera_video.errors import VideoError
from hiera_video.seeding import derive_seed


class VideoSegment:
    """The part of an open video that a manifest row names. Times are seconds into that part.

    Raises:
        VideoError: if the video cannot be read, or ends before the segment starts.
    """

    def __init__(self, row: Row, decoder: str) -> None:
        self._reader = READERS[decoder](row.file)
        index = self._reader.index
        self.row = row
        self.frames_per_second = index.frames_per_second
        self._offset = Fraction(row.start_seconds)
        end = index.duration_seconds
        if row.end_seconds is not None:
            end = min(end, Fraction(row.end_seconds))
        self.duration = end - self._offset
        if self.duration <= 0:
            raise VideoError(
                str(row.file),
                f"start_seconds={row.start_seconds} is past the video's end "
                f"({float(index.duration_seconds):.3f} s)",
            )
        self._num_frames = min(index.num_frames, ceil(end * index.frames_per_second))

    def clips(self, starts: Sequence[Fraction], seconds: Fraction, num_frames: int) -> list[Tensor]:
        """Clips of ``num_frames`` spread over ``seconds``, from one pass over the file.

        Returns uint8 ``(T, C, H, W)`` for each start.
        """
        plans = [
            frame_indices(
                self._offset + start,
                seconds,
                num_frames,
                self._num_frames,
                self.frames_per_second,
            )
            for start in starts
        ]
        wanted = sorted({index for plan in plans for index in plan})
        frames = self._reader.frames(wanted)
        position = {index: place for place, index in enumerate(wanted)}
        return [frames[[position[index] for index in plan]] for plan in plans]

    def batch(
        self, views: Sequence[Tensor], starts: Sequence[Fraction], seconds: Fraction
    ) -> ClipBatch:
        """``views`` ``(T, C, H, W)`` as a batch; an equal number of them for each start."""
        per_clip = len(views) // len(starts)
        begins = torch.tensor(
            [float(self._offset + start) for start in starts], dtype=torch.float64
        )
        begins = begins.repeat_interleave(per_clip)
        return ClipBatch(
            pixel_values=torch.stack(list(views)).transpose(1, 2),
            rows=torch.full((len(views),), self.row.index),
            labels=torch.full((len(views),), self.row.label),
            start_seconds=begins,
            end_seconds=begins + float(seconds),
        )

    def __enter__(self) -> VideoSegment:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()


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
        augment: AugmentSettings,
        decoder: str,
        seed: int,
        repeats: int,
    ) -> None:
        self.manifest = manifest
        self.clip = clip
        self.decoder = decoder
        self.seed = seed
        self.repeats = repeats
        self.view = TrainView(augment, clip)

    def __getitem__(self, key: tuple[int, int]) -> ClipBatch:
        epoch, index = key
        row = self.manifest[index]
        seeds = [derive_seed(self.seed, epoch, index, repeat) for repeat in range(self.repeats)]
        try:
            with VideoSegment(row, self.decoder) as video:
                seconds = clip_duration(self.clip, video.frames_per_second)
                starts = [random_clip_start(video.duration, seconds, seed) for seed in seeds]
                clips = video.clips(starts, seconds, self.clip.num_frames)
                views = [self.view(frames, seed) for frames, seed in zip(clips, seeds, strict=True)]
                return video.batch(views, starts, seconds)
        except VideoError as error:
            return _failed(row, error, self.clip)


class EvaluationClips(Dataset[ClipBatch]):
    """``row`` -> all views of that row's video: ``num_clips`` times ``num_crops`` clips."""

    def __init__(
        self,
        manifest: Rows,
        clip: ClipSettings,
        evaluate: EvaluateSettings,
        decoder: str,
        seed: int,
    ) -> None:
        self.manifest = manifest
        self.clip = clip
        self.evaluate = evaluate
        self.decoder = decoder
        self.seed = seed
        self.views = EvaluationViews(clip, evaluate.num_crops)

    def __getitem__(self, index: int) -> ClipBatch:
        row = self.manifest[index]
        try:
            with VideoSegment(row, self.decoder) as video:
                seconds = clip_duration(self.clip, video.frames_per_second)
                starts = even_clip_starts(video.duration, seconds, self.evaluate.num_clips)
                clips = video.clips(starts, seconds, self.clip.num_frames)
                if self.evaluate.shuffle_frames:
                    clips = [self._shuffled(frames, index, i) for i, frames in enumerate(clips)]
                views = [view for frames in clips for view in self.views(frames)]
                return video.batch(views, starts, seconds)
        except VideoError as error:
            return _failed(row, error, self.clip)

    def _shuffled(self, frames: Tensor, row: int, clip: int) -> Tensor:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, row, clip))
        return frames[torch.randperm(len(frames), generator=generator)]


@dataclass
class WindowBatch:
    """Consecutive windows of one video; ``is_last`` when none of that video follow."""

    row: int
    clips: ClipBatch
    is_last: bool

    def pin_memory(self) -> WindowBatch:
        return WindowBatch(self.row, self.clips.pin_memory(), self.is_last)


class VideoWindows(IterableDataset[WindowBatch]):
    """Sliding windows over whole videos, ``batch_size`` at a time, in centre crops.

    Memory is bounded by a batch, not by the length of a video. Videos are divided over the workers.
    """

    def __init__(
        self,
        manifest: Rows,
        rows: Sequence[int],
        clip: ClipSettings,
        decoder: str,
        *,
        window_seconds: float | None,
        stride_seconds: float | None,
        batch_size: int,
    ) -> None:
        self.manifest = manifest
        self.rows = rows
        self.clip = clip
        self.decoder = decoder
        self.window_seconds = window_seconds
        self.stride_seconds = stride_seconds
        self.batch_size = batch_size
        self.views = EvaluationViews(clip, num_crops=1)

    def __iter__(self) -> Iterator[WindowBatch]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for index in self.rows[first::step]:
            row = self.manifest[index]
            try:
                yield from self._windows(row)
            except VideoError as error:
                yield WindowBatch(index, _failed(row, error, self.clip), is_last=True)

    def _windows(self, row: Row) -> Iterator[WindowBatch]:
        with VideoSegment(row, self.decoder) as video:
            seconds = clip_duration(self.clip, video.frames_per_second)
            if self.window_seconds is not None:
                seconds = Fraction(self.window_seconds)
            stride = Fraction(self.stride_seconds) if self.stride_seconds is not None else seconds
            starts = window_starts(video.duration, seconds, min(stride, seconds))
            for begin in range(0, len(starts), self.batch_size):
                some = starts[begin : begin + self.batch_size]
                clips = video.clips(some, seconds, self.clip.num_frames)
                views = [view for frames in clips for view in self.views(frames)]
                is_last = begin + self.batch_size >= len(starts)
                yield WindowBatch(row.index, video.batch(views, some, seconds), is_last)
