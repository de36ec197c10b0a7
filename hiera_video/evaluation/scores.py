"""Scores of whole videos: averages over their views.

Axes: B clips, V videos, K scores; a video has ``num_clips * num_crops`` views.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import gather, gather_object
from torch import Tensor, nn

from hiera_video.batch import ClipBatch, Failure
from hiera_video.config.clip_groups import EvaluateSettings
from hiera_video.config.groups import ReadingSettings
from hiera_video.data.dataset import EvaluationClips
from hiera_video.data.failures import FailurePolicy
from hiera_video.data.loader import ClipLoader, evaluation_order
from hiera_video.data.manifest import Manifest
from hiera_video.decoding.options import DecodingOptions
from hiera_video.models.finite import FiniteOutputs
from hiera_video.runtime import progress_bar
from hiera_video.tasks.task import ScoreTable, Task


class ViewAverage:
    """Averages a task's scores over the views of each video.

    Args:
        model: computes the logits.
        task: turns logits into scores, and has the settings of clips.
        views: gives the number of views of a video.
        path: returns the file of a manifest row, for messages.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        views: EvaluateSettings,
        path: Callable[[int], str],
    ) -> None:
        self.model = model.eval()
        self.task = task
        self.num_views = views.num_clips * views.num_crops
        self.device = next(model.parameters()).device
        self._outputs = FiniteOutputs(model, "logits", path)

    @torch.inference_mode()
    def __call__(self, batch: ClipBatch) -> Tensor:
        """Scores ``(V, K)`` of a batch's V videos, at least one: float32, on the model's device.

        Raises:
            NotFiniteError: if logits of this batch, or of an earlier one, are not finite and the
                host already knows it; it does not wait for that.
        """
        clip = self.task.clip
        logits = self.model(batch.normalized(self.device, clip.mean, clip.std)).logits
        # Logits, not scores: a probability of 0 may come from a logit that is not finite.
        self._outputs.see(logits, batch.rows)
        return self.task.scores(logits).float().unflatten(0, (-1, self.num_views)).mean(1)

    def check(self) -> None:
        """Wait for all batches, and check that their logits are finite.

        Raises:
            NotFiniteError: for the first batch whose logits are not.
        """
        self._outputs.look(wait=True)


class Scorer:
    """Scores every video of a manifest exactly once, over all processes.

    The loader keeps its workers between calls, for repeated validation during training.
    """

    def __init__(
        self,
        manifest: Manifest,
        task: Task,
        views: EvaluateSettings,
        reading: ReadingSettings,
        seed: int,
        decoding: DecodingOptions,
        failures: FailurePolicy,
        accelerator: Accelerator,
    ) -> None:
        self.manifest = manifest
        self.task = task
        self.views = views
        self.failures = failures
        self.accelerator = accelerator
        self.loader = ClipLoader(
            EvaluationClips(manifest, task.clip, views, decoding, seed),
            evaluation_order(
                len(manifest),
                views.batch_size,
                accelerator.num_processes,
                accelerator.process_index,
            ),
            reading,
            accelerator.device,
        )

    def table(self, model: nn.Module) -> ScoreTable:
        """The scores of all videos, the same in every process.

        Raises:
            VideoError: at the first bad video, under ``data.on_error=raise``.
            NotFiniteError: for any ``data.on_error``, if logits are not finite; raised when the
                host learns of it, after the last batch at the latest.
        """
        average = ViewAverage(
            model, self.task, self.views, lambda row: str(self.manifest[row].file)
        )
        bar = progress_bar(
            iterable=self.loader,
            desc="evaluate",
            unit="batch",
            disable=not self.accelerator.is_main_process,
            leave=False,
        )
        rows, failures = [], []
        # Scores stay on the device until the end: the host waits for no batch.
        scores: list[Tensor] = []
        for batch in bar:
            self.failures.handle(batch)
            failures += batch.failures
            if len(batch):
                rows += batch.rows[:: average.num_views].tolist()
                with self.accelerator.autocast():
                    scores.append(average(batch))
        average.check()
        own_scores = torch.cat(scores) if scores else torch.empty(0, 0, device=average.device)
        return gather_table(self.manifest, rows, own_scores, failures)


def gather_table(
    manifest: Manifest, rows: list[int], scores: Tensor, failures: list[Failure]
) -> ScoreTable:
    """One table from the ``rows`` of all processes, with ``scores`` ``(V, K)`` of each.

    A process without any scores may not know K.
    """
    parts = gather_object([(rows, scores.shape[1], failures)])
    most = max(len(some_rows) for some_rows, _, _ in parts)
    width = max(num_scores for _, num_scores, _ in parts)
    all_scores = np.empty((0, width), np.float32)
    if most:
        # Tensors of equal shape go from device to device, without pickled copies.
        padded = F.pad(scores, (0, width - scores.shape[1], 0, most - len(rows)))
        shares = gather(padded).cpu().numpy().reshape(-1, most, width)
        pairs = zip(shares, parts, strict=True)
        all_scores = np.concatenate([share[: len(some_rows)] for share, (some_rows, _, _) in pairs])
    all_rows = np.array([row for some_rows, _, _ in parts for row in some_rows], np.int64)
    order = all_rows.argsort()
    all_failures = [failure for _, _, some_failures in parts for failure in some_failures]
    return ScoreTable(
        manifest,
        all_rows[order],
        all_scores[order],
        sorted(all_failures, key=lambda failure: failure.row),
    )
