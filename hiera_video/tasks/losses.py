"""What tasks have in common."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hiera_video.batch import ClipBatch, model_input


def no_loss(model: nn.Module, batch: ClipBatch, device: torch.device) -> Tensor:
    """0, with gradients, for a batch all of whose videos failed.

    The model runs on a blank clip, so that no process waits for another one's gradients.
    """
    blank = torch.zeros((1, *batch.pixel_values.shape[1:]), device=device)
    return model(model_input(blank)).logits.float().sum() * 0
