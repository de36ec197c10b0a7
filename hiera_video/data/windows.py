"""Sliding windows over whole videos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice

from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from hiera_video.batch import ClipBatch
from hiera_video.config.clip_groups import ClipSettings
from hiera_video.data.clips import exact, window_starts
from hiera_video.data.manifest import Row, Rows
from hiera_video.data.transforms import EvaluationViews
from hiera_video.data.video_segment import VideoSegment, failed_batch
from hiera_video.data.worker_watch import WorkerWatch
from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.reader import IndexDisprovedError
from hiera_video.errors import ConfigError, VideoError


@dataclass
class WindowBatch:
    """Windows of one or more videos; those of a video are in order.

    ``numbers[i]`` is the index, from 0, of window i in its video; ``totals[i]`` is how many windows
    that video has.
    """

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
    """Sliding windows over whole videos, in centre crops, ``batch_size`` at a time.

    ``groups`` are rows whose windows share batches; all batches of a group but its last are full.
    Groups are divided over the workers: a batch does not depend on the number of workers. Each
    video is read in one pass; memory depends on the batch size and the overlap of windows, not on
    the length of the video.

    Messages put ``key_prefix`` before the names ``window_seconds`` and ``stride_seconds``.

    Raises:
        ConfigError: for ``stride_seconds`` without ``window_seconds`` if the default window is the
            whole video.
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
        key_prefix: str = "",
    ) -> None:
        self.manifest = manifest
        self.groups = groups
        self.clip = clip
        self.decoding = decoding
        self.window_seconds = window_seconds
        self.stride_seconds = stride_seconds
        self.batch_size = batch_size
        self.key_prefix = key_prefix
        if clip.spans_video and stride_seconds is not None and window_seconds is None:
            raise ConfigError(
                f"{key_prefix}stride_seconds={stride_seconds:g}: with the checkpoint's "
                f"clip.sampling={clip.sampling} a window is the whole video; set "
                f"{key_prefix}window_seconds, too"
            )
        self.views = EvaluationViews(clip, num_crops=1)
        self.watch = WorkerWatch(decoding.timeout_seconds)

    def __iter__(self) -> Iterator[WindowBatch]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for group in self.groups[first::step]:
            windows = chain.from_iterable(map(self._read, group))
            while batch := list(islice(windows, self.batch_size)):
                yield WindowBatch.concatenate(batch)

    def _read(self, index: int) -> Iterator[WindowBatch]:
        """The windows of a row one by one; if reading fails, an empty batch with the reason."""
        row = self.manifest[index]
        windows = self._windows(row)
        try:
            while True:
                with self.watch.reading(row.index, str(row.file)):
                    window = next(windows, None)
                if window is None:
                    return
                yield window
        except VideoError as error:
            yield WindowBatch(failed_batch(row, error, self.clip), [], [])

    def _lengths(self, video: VideoSegment) -> tuple[Fraction, Fraction]:
        """The length and the stride of a video's windows, in seconds.

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
                f"{self.key_prefix}stride_seconds={float(stride):g} is longer than a window of it, "
                f"by default a clip of {float(seconds):.3f} s; set {self.key_prefix}window_seconds",
            )
        return seconds, stride

    def _windows(self, row: Row) -> Iterator[WindowBatch]:
        with VideoSegment(row, self.clip, self.decoding) as video:
            video.check_seconds()
            try:
                yield from self._windows_of(video)
            except IndexDisprovedError:  # decoding found other frames than the index has
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
            # In order: at a varying frame rate, a window can be complete before an earlier one.
            while due < len(starts) and missing[due] == 0:
                clip = video.batch(begun.pop(due), [times[due]])
                yield WindowBatch(clip, [due], [len(starts)])
                due += 1
