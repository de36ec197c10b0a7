"""Masked pre-training: what the training loop computes on a batch of clips without labels."""

from __future__ import annotations

import math

from accelerate import Accelerator
from torch import Tensor, nn
from torchmetrics import MeanMetric

from hiera_video.batch import ClipBatch, normalize
from hiera_video.config import PretrainRun


class PreTraining:
    """The pixel loss of masked autoencoding. There is nothing to validate by."""

    def __init__(self, run: PretrainRun, accelerator: Accelerator) -> None:
        self.clip = run.clip
        self.device = accelerator.device
        self.loss_meter = MeanMetric(nan_strategy=math.nan).to(self.device)

    def loss(self, model: nn.Module, batch: ClipBatch) -> Tensor:
        """The mean loss over hidden patches.

        Mask noise is drawn from torch's global generator.
        """
        pixel_values = batch.pixel_values.to(self.device, non_blocking=True)
        output = model(normalize(pixel_values, self.clip.mean, self.clip.std))
        loss = output.loss.float()
        self.loss_meter.update(loss.detach(), weight=len(batch))
        return loss

    def meters(self) -> dict[str, float]:
        """The loss since the last call, over all processes; nothing where there were no clips."""
        clips = self.loss_meter.weight
        value = self.loss_meter.compute().item()
        self.loss_meter.reset()
        return {"train/loss": value} if clips else {}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Nothing: an encoder shows its worth after fine-tuning."""
        return {}
