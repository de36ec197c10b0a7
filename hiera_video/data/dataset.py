"""From manifest rows to clips: choosing frames, decoding them, making views.

A bad video never raises here: it becomes an empty batch that carries the reason, so that one place
in the main process (``failures.py``) decides what to do about it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from hiera_video.batch import ClipBatch
from hiera_video.config.clip_groups import ClipSettings, EvaluateSettings, ViewSettings
from hiera_video.data.manifest import Row, Rows
from hiera_video.data.sampling import evaluation_clips, training_clip
from hiera_video.data.transforms import EvaluationViews, TrainView
from hiera_video.data.video_segment import VideoSegment, failed_batch
from hiera_video.data.worker_watch import WorkerWatch
from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.reader import IndexDisprovedError
from hiera_video.errors import VideoError
from hiera_video.seeding import derive_seed, generator


def _read(
    row: Row,
    dataset: TrainClips | EvaluationClips,
    make_clips: Callable[[VideoSegment], ClipBatch],
) -> ClipBatch:
    """The clips of a row, or an empty batch with the reason."""
    try:
        with (
            dataset.watch.reading(row.index, str(row.file)),
            VideoSegment(row, dataset.clip, dataset.decoding) as video,
        ):
            try:
                return make_clips(video)
            except IndexDisprovedError:  # decoding found other frames than the index has
                video.locate()
                return make_clips(video)
    except VideoError as error:
        return failed_batch(row, error, dataset.clip)


class TrainClips(Dataset[ClipBatch]):
    """Maps ``(epoch, row)`` to ``repeats`` random clips of that row's video, each in a random view.

    Clips and views are a function of (seed, epoch, row, repeat) alone. A third number in the key
    says how often the row came before in the epoch; its repeats then go on from there.
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
        self.watch = WorkerWatch(decoding.timeout_seconds)

    def __getitem__(self, key: tuple[int, ...]) -> ClipBatch:
        epoch, index, *before = key
        row = self.manifest[index]
        first = sum(before) * self.repeats
        repeats = range(first, first + self.repeats)
        seeds = [derive_seed(self.seed, epoch, index, repeat) for repeat in repeats]

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
    """Maps ``row`` to all views of that row's video: ``num_clips`` times ``num_crops`` clips."""

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
        self.watch = WorkerWatch(decoding.timeout_seconds)

    def __getitem__(self, index: int) -> ClipBatch:
        row = self.manifest[index]

        def clips(video: VideoSegment) -> ClipBatch:
            plans = evaluation_clips(video.part, self.clip, self.evaluate.num_clips)
            if self.evaluate.shuffle_frames:
                plans = [self._shuffled(plan, index, k) for k, plan in enumerate(plans)]
            views = video.new_views(len(plans) * self.evaluate.num_crops)
            views = self.views.of_clips(video.stream(plans), views)
            return video.batch(views, video.times(plans))

        return _read(row, self, clips)

    def _shuffled(self, plan: list[int], row: int, clip: int) -> list[int]:
        order = torch.randperm(len(plan), generator=generator(self.seed, row, clip))
        return [plan[position] for position in order]
