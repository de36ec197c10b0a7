"""Masked pre-training: the loss of the hidden patches' pixels, without labels."""

from __future__ import annotations

from torch import Tensor, nn

from hiera_video.tasks.task import Task


class PreTraining(Task):
    """Masked autoencoding. Nothing is validated: an encoder shows its worth after fine-tuning."""

    def losses(
        self, model: nn.Module, pixel_values: Tensor, targets: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """The mean loss over hidden patches; torch's global generator draws the masks."""
        return {"loss": model(pixel_values).loss}
