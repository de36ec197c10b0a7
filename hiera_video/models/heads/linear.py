"""The head of the published models.

Axes: B batch, D width of the last stage.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from hiera_video.models.config import HieraConfig
from hiera_video.models.heads.head import Head


class LinearHead(Head, nn.Linear):
    """Dropout and a linear layer on the normalised average of the tokens."""

    label_weight = "weight"

    def __init__(self, config: HieraConfig) -> None:
        super().__init__(config.stage_dims[-1], config.num_labels)
        self.dropout = nn.Dropout(config.head_dropout)

    def forward(self, pooled: Tensor) -> Tensor:
        """``(B, D) -> (B, num_labels)``."""
        return F.linear(self.dropout(pooled), self.weight, self.bias)
