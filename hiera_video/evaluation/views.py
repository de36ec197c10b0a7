"""Scores of whole videos: class probabilities averaged over all views.

Axes: V videos, K classes; a video has ``num_clips * num_crops`` views.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from hiera_video.batch import ClipBatch, Failure
from hiera_video.command import progress_bar
from hiera_video.config import ClipSettings, EvaluateSettings, RunSettings
from hiera_video.data.dataset import EvaluationClips
from hiera_video.data.failures import FailurePolicy
from hiera_video.data.loader import ClipLoader, evaluation_order
from hiera_video.data.manifest import Manifest


@dataclass(frozen=True)
class VideoScores:
    """Class probabilities ``(K,)`` of a manifest row, or why there are none."""

    row: int
    scores: list[float] | None
    reason: str | None = None


class Scorer:
    """Scores every video of a manifest exactly once, over all processes.

    The loader and its workers are kept between calls, as validation during training needs them.
    """

    def __init__(
        self,
        manifest: Manifest,
        clip: ClipSettings,
        evaluate: EvaluateSettings,
        run: RunSettings,
        failures: FailurePolicy,
        accelerator: Accelerator,
    ) -> None:
        self.clip = clip
        self.num_views = evaluate.num_clips * evaluate.num_crops
        self.accelerator = accelerator
        self.failures = failures
        self.loader = ClipLoader(
            EvaluationClips(manifest, clip, evaluate, run.data.decoder, run.seed),
            evaluation_order(
                len(manifest),
                evaluate.batch_size,
                accelerator.num_processes,
                accelerator.process_index,
            ),
            run.data,
            accelerator.device,
        )

    def __call__(self, model: nn.Module) -> list[VideoScores]:
        """The scores of all rows, in manifest order, the same in every process.

        Raises:
            VideoError: at the first bad video, under ``data.on_error=raise``.
        """
        model.eval()
        scored: list[VideoScores] = []
        bar = progress_bar(
            iterable=self.loader,
            desc="evaluate",
            unit="batch",
            disable=not self.accelerator.is_main_process,
            leave=False,
        )
        for batch in bar:
            self.failures.handle(batch.failures)
            scored += [_failed(failure) for failure in batch.failures]
            if len(batch):
                with self.accelerator.autocast():
                    scores = score_batch(
                        model, batch, self.clip, self.num_views, self.accelerator.device
                    )
                rows = batch.rows[:: self.num_views].tolist()
                scored += [
                    VideoScores(row, s) for row, s in zip(rows, scores.tolist(), strict=True)
                ]
        return sorted(gather_object(scored), key=lambda video: video.row)


@torch.inference_mode()
def score_batch(
    model: nn.Module, batch: ClipBatch, clip: ClipSettings, num_views: int, device: torch.device
) -> Tensor:
    """Probabilities ``(V, K)``, on the CPU, of videos that have ``num_views`` clips each."""
    logits = model(batch.normalized(device, clip.mean, clip.std)).logits
    return logits.float().softmax(-1).unflatten(0, (-1, num_views)).mean(1).cpu()


def _failed(failure: Failure) -> VideoScores:
    return VideoScores(failure.row, None, failure.reason)
