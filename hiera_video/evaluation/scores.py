"""Scores of whole videos: what a model says of their views, averaged.

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
from hiera_video.config.groups import EvaluateSettings, ReadingSettings
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
        model: whose logits they are made of.
        task: what makes them, and what a clip is.
        views: how many views a video has.
        path: of the file of a manifest row, for messages.
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
        """Scores ``(V, K)``, float32, on the model's device, of a batch's V videos, one or more.

        Raises:
            NotFiniteError: once logits of this batch, or of one before it, that are not finite
                have come to the host, which nothing waits for.
        """
        clip = self.task.clip
        logits = self.model(batch.normalized(self.device, clip.mean, clip.std)).logits
        # Not the scores: a probability of 0 may come from a logit that is not finite.
        self._outputs.see(logits, batch.rows)
        return self.task.scores(logits).float().unflatten(0, (-1, self.num_views)).mean(1)

    def check(self) -> None:
        """Wait for all batches, and make sure that their logits are finite.

        Raises:
            NotFiniteError: for the first that are not.
        """
        self._outputs.look(wait=True)


class Scorer:
    """Scores every video of a manifest exactly once, over all processes.

    The loader and its workers are kept between calls, as validation during training needs them.
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
            NotFiniteError: whatever ``data.on_error`` is, once logits that are not finite have come
                to the host, which nothing waits for; after the last batch at the latest.
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
        # They stay on the device until the last one is there: the host waits for no batch.
        scores: list[Tensor] = []
        for batch in bar:
            self.failures.handle(batch)
            failures += batch.failures
            if len(batch):
                rows += batch.rows[:: average.num_views].tolist()
                with self.accelerator.autocast():
                    scores.append(average(batch))
        average.check()
        mine = torch.cat(scores) if scores else torch.empty(0, 0, device=average.device)
        return gather_table(self.manifest, rows, mine, failures)


def gather_table(
    manifest: Manifest, rows: list[int], scores: Tensor, failures: list[Failure]
) -> ScoreTable:
    """What each process found of its ``rows``, with ``scores`` ``(V, K)``, put together.

    A process without any scores may not know K.
    """
    told = gather_object([(rows, scores.shape[1], failures)])
    most = max(len(some_rows) for some_rows, _, _ in told)
    width = max(num_scores for _, num_scores, _ in told)
    found = np.empty((0, width), np.float32)
    if most:
        # Tensors of one shape go from device to device, without a copy that is pickled.
        padded = F.pad(scores, (0, width - scores.shape[1], 0, most - len(rows)))
        shares = gather(padded).cpu().numpy().reshape(-1, most, width)
        found = np.concatenate(
            [share[: len(some_rows)] for share, (some_rows, _, _) in zip(shares, told, strict=True)]
        )
    all_rows = np.array([row for some_rows, _, _ in told for row in some_rows], np.int64)
    order = all_rows.argsort()
    all_failures = [failure for _, _, some_failures in told for failure in some_failures]
    return ScoreTable(
        manifest,
        all_rows[order],
        found[order],
        sorted(all_failures, key=lambda failure: failure.row),
    )
