"""Fine-tuning: what the training loop computes on a batch of labelled clips, and how it validates.

Axes: B clips, K classes.
"""

from __future__ import annotations

import logging

import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from hiera_video.batch import ClipBatch
from hiera_video.data.failures import FailurePolicy
from hiera_video.data.manifest import Manifest
from hiera_video.evaluation.metrics import VideoAccuracies, doubts
from hiera_video.evaluation.views import Scorer, log_scores
from hiera_video.tasks.losses import no_loss
from hiera_video.tasks.meters import ClipMean
from hiera_video.tasks.mixing import Mixing
from hiera_video.tasks.step_shares import share_of_batch
from hiera_video.training.settings import TrainRun

logger = logging.getLogger(__name__)


class Classification:
    """Cross entropy on mixed clips, training accuracy, and validation by whole videos."""

    def __init__(
        self,
        run: TrainRun,
        num_classes: int,
        val_manifest: Manifest | None,
        failures: FailurePolicy,
        accelerator: Accelerator,
    ) -> None:
        self.clip = run.clip
        self.batch_size = run.train.batch_size
        self.label_smoothing = run.train.label_smoothing
        self.device = accelerator.device
        self.is_main_process = accelerator.is_main_process
        self._told: set[str] = set()
        self.mixing = Mixing(run.augment, num_classes, run.train.repeated_sampling)
        self.means = {name: ClipMean(self.device) for name in ("train/loss", "train/accuracy")}
        self.val_manifest = val_manifest
        self.validates = val_manifest is not None
        if val_manifest is not None:
            self.scorer = Scorer(
                val_manifest,
                run.clip,
                run.evaluate.of(run.clip),
                run,
                run.data,
                failures,
                accelerator,
            )

    def loss(self, model: nn.Module, batch: ClipBatch) -> Tensor:
        """The sum of the losses of the batch's clips, divided by ``train.batch_size``."""
        if not len(batch):
            return no_loss(model, batch, self.device)
        pixel_values = batch.normalized(self.device, self.clip.mean, self.clip.std)
        labels = batch.labels.to(self.device, non_blocking=True)
        pixel_values, targets = self.mixing(pixel_values, labels)
        logits = model(pixel_values).logits.float()
        loss = F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
        correct = logits.argmax(1) == targets.argmax(1)
        self.means["train/loss"].update(loss, len(batch))
        self.means["train/accuracy"].update(correct.float().mean(), len(batch))
        return share_of_batch(loss, batch, self.batch_size)

    def validate(self, model: nn.Module) -> dict[str, float | None]:
        """Accuracies over the validation videos, and the mean cross entropy of those that can be
        read; all None where no video can be, empty where there are none."""
        if self.val_manifest is None:
            return {}
        accuracies, loss = VideoAccuracies(self.val_manifest, self.device), ClipMean(self.device)
        for videos in self.scorer(model):
            accuracies.update(videos)
            if len(videos.rows):
                losses = F.nll_loss(log_scores(videos.scores), videos.labels.to(self.device))
                loss.update(losses, len(videos.rows))
        metrics = accuracies.compute()
        for doubt in doubts(metrics, self.val_manifest):
            self._tell(f"{self.val_manifest.path}: {doubt}")
        loss_of_all = loss.read()
        if loss_of_all is None:
            return dict.fromkeys(("val/top1", "val/top5", "val/loss"))
        return {"val/top1": metrics["top1"], "val/top5": metrics["top5"], "val/loss": loss_of_all}

    def _tell(self, warning: str) -> None:
        """Warn of something once in a run."""
        if self.is_main_process and warning not in self._told:
            logger.warning("%s", warning)
        self._told.add(warning)
