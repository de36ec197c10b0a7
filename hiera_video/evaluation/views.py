"""Scores of whole videos: class probabilities averaged over all views.

Axes: V videos, K classes; a video has ``num_clips * num_crops`` views.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from hiera_video.batch import ClipBatch, Failure
from hiera_video.config.groups import (
    ClipSettings,
    EvaluateSettings,
    ReadingSettings,
    RunSettings,
)
from hiera_video.data.dataset import EvaluationClips
from hiera_video.data.failures import FailurePolicy
from hiera_video.data.loader import ClipLoader, evaluation_order
from hiera_video.data.manifest import Manifest
from hiera_video.models.finite import FiniteOutputs
from hiera_video.runtime import progress_bar


@dataclass(frozen=True)
class VideoScores:
    """Class probabilities ``(V, K)`` of a batch of videos, on the model's device; their manifest
    rows and labels ``(V,)``; and the videos that have no scores."""

    rows: Tensor
    labels: Tensor
    scores: Tensor
    failures: list[Failure]


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
        data: ReadingSettings,
        failures: FailurePolicy,
        accelerator: Accelerator,
    ) -> None:
        self.manifest = manifest
        self.clip = clip
        self.num_classes = len(manifest.classes)
        self.num_views = evaluate.num_clips * evaluate.num_crops
        self.accelerator = accelerator
        self.failures = failures
        self.loader = ClipLoader(
            EvaluationClips(manifest, clip, evaluate, data.decoding(run.output_dir), run.seed),
            evaluation_order(
                len(manifest),
                evaluate.batch_size,
                accelerator.num_processes,
                accelerator.process_index,
            ),
            data,
            accelerator.device,
        )

    def __call__(self, model: nn.Module) -> Iterator[VideoScores]:
        """The scores of this process's videos, batch by batch.

        Raises:
            VideoError: at the first bad video, under ``data.on_error=raise``.
            NotFiniteError: whatever ``data.on_error`` is, once logits that are not finite have come
                to the host, which nothing waits for; after the last batch at the latest.
        """
        model.eval()
        outputs = FiniteOutputs(model, "logits", lambda row: str(self.manifest[row].file))
        bar = progress_bar(
            iterable=self.loader,
            desc="evaluate",
            unit="batch",
            disable=not self.accelerator.is_main_process,
            leave=False,
        )
        for batch in bar:
            self.failures.handle(batch)
            first_views = slice(None, None, self.num_views)
            yield VideoScores(
                batch.rows[first_views],
                batch.labels[first_views],
                self._score(model, batch, outputs),
                batch.failures,
            )
        outputs.look(wait=True)

    def _score(self, model: nn.Module, batch: ClipBatch, outputs: FiniteOutputs) -> Tensor:
        device = self.accelerator.device
        if not len(batch):
            return torch.empty(0, self.num_classes, device=device)
        with self.accelerator.autocast():
            return score_batch(model, batch, self.clip, self.num_views, device, outputs)


@torch.inference_mode()
def score_batch(
    model: nn.Module,
    batch: ClipBatch,
    clip: ClipSettings,
    num_views: int,
    device: torch.device,
    outputs: FiniteOutputs,
) -> Tensor:
    """Probabilities ``(V, K)``, on ``device``, of videos that have ``num_views`` clips each.

    ``outputs`` sees the logits: of probabilities, one that is 0 may come from what is not finite.
    """
    logits = model(batch.normalized(device, clip.mean, clip.std)).logits
    outputs.see(logits, batch.rows)
    return logits.float().softmax(-1).unflatten(0, (-1, num_views)).mean(1)


def log_scores(scores: Tensor) -> Tensor:
    """Their logarithms, finite where a probability is too small for its type."""
    return scores.clamp_min(torch.finfo(scores.dtype).tiny).log()


def gather_scores(
    batches: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
    """Rows ``(V,)`` and float32 scores ``(V, K)`` of all processes, in manifest order."""
    rows, scores = (np.concatenate(p) for p in zip(*gather_object(list(batches)), strict=True))
    order = rows.argsort()
    return rows[order], scores[order]
