"""The base of all heads: modules from the encoder's output to logits.

Axes: B batch, N tokens of the last stage, D width of the last stage.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from hiera_video.models.config import HieraConfig


class Head(nn.Module):
    """The part of a classifier after the encoder. Its constructor takes only a config."""

    #: Whether the head takes all tokens of the last stage, (B, N, D), rather than their normalised
    #: average, (B, D).
    takes_tokens: ClassVar[bool] = False

    #: Name of the weight with one row per label, if the head has one. It identifies the kind of
    #: head in a checkpoint.
    label_weight: ClassVar[str]

    def last_layer(self) -> nn.Module:
        """The layer that computes the logits; ``config.head_init_scale`` scales its new weights."""
        return self


class NoHead(Head):
    """The head of a model with ``num_labels=0``: returns its input after dropout."""

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.head_dropout)

    def forward(self, pooled: Tensor) -> Tensor:
        """``(B, D) -> (B, D)``."""
        return self.dropout(pooled)
