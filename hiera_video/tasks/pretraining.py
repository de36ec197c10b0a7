"""Masked pre-training: what the training loop computes on a batch of clips without labels."""

from __future__ import annotations

from accelerate import Accelerator
from torch import Tensor, nn

from hiera_video.batch import ClipBatch
from hiera_video.tasks.losses import no_loss
from hiera_video.tasks.meters import ClipMean
from hiera_video.tasks.step_shares import share_of_batch
from hiera_video.training.settings import PretrainRun


class PreTraining:
    """The pixel loss of masked autoencoding. There is nothing to validate by."""

    def __init__(self, run: PretrainRun, accelerator: Accelerator) -> None:
        self.clip = run.clip
        self.batch_size = run.train.batch_size
        self.device = accelerator.device
        self.means = {"train/loss": ClipMean(self.device)}
        self.validates = False  # an encoder shows its worth after fine-tuning

    def loss(self, model: nn.Module, batch: ClipBatch) -> Tensor:
        """The sum of the losses of the batch's clips, means over hidden patches, divided by
        ``train.batch_size``.

        Mask noise is drawn from torch's global generator.
        """
        if not len(batch):
            return no_loss(model, batch, self.device)
        loss = model(batch.normalized(self.device, self.clip.mean, self.clip.std)).loss
        self.means["train/loss"].update(loss, len(batch))
        return share_of_batch(loss, batch, self.batch_size)

    def validate(self, model: nn.Module) -> dict[str, float | None]:
        """Nothing."""
        return {}
