"""What all heads are: modules from what the encoder computed to logits.

Axes: B batch, N tokens of the last stage, D width of the last stage.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from hiera_video.models.config import HieraConfig


class Head(nn.Module):
    """The part of a classifier behind the encoder. It is made of a config alone."""

    #: Whether it takes all tokens of the last stage, (B, N, D), rather than their normalised
    #: average, (B, D).
    takes_tokens: ClassVar[bool] = False

    #: Name of the weight that has a row for each label, of those heads that have one: by it, the
    #: kind of head that some weights are of is told.
    label_weight: ClassVar[str]

    def last_layer(self) -> nn.Module:
        """What gives the logits; its weights start small where the config says so."""
        return self


class NoHead(Head):
    """The head of a model with ``num_labels=0``: the features that it gets, after dropout."""

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.head_dropout)

    def forward(self, pooled: Tensor) -> Tensor:
        """``(B, D) -> (B, D)``."""
        return self.dropout(pooled)
