"""The two classifiers: the encoder, dropout, and a linear head on the pooled output.

Axes: B batch, C channels, T H W frames, rows, columns.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiera_video.errors import ConfigError
from hiera_video.models.config import HieraConfig
from hiera_video.models.hiera import HeadMask, HieraModel, choose
from hiera_video.models.outputs import HieraClassificationOutput
from hiera_video.models.pretrained import PretrainedModel


class HieraClassifier(PretrainedModel):
    """What both classifiers share. With ``num_labels=0``, logits are the pooled features."""

    takes_clips: ClassVar[bool]

    def __init__(self, config: HieraConfig) -> None:
        super().__init__(config)
        if config.is_video != self.takes_clips:
            needs = "clips need [T, H, W]" if self.takes_clips else "images need [H, W]"
            raise ConfigError(f"image_size={config.image_size}: {needs}")
        self.hiera = HieraModel(config)
        self.dropout = nn.Dropout(config.head_dropout)
        self.classifier = (
            nn.Linear(config.stage_dims[-1], config.num_labels)
            if config.num_labels
            else nn.Identity()
        )
        self._initialize(self.classifier)
        with torch.no_grad():
            for parameter in self.classifier.parameters():
                parameter.mul_(config.head_init_scale)

    def forward(
        self,
        pixel_values: Tensor,
        head_mask: HeadMask | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        interpolate_pos_encoding: bool | None = None,
        return_dict: bool | None = None,
    ) -> HieraClassificationOutput | tuple[Tensor, ...]:
        """Logits ``(B, num_labels)`` of images or clips (see :meth:`HieraModel.forward`).

        With ``labels`` there is a loss too: cross entropy for class indices ``(B,)`` or soft
        targets ``(B, num_labels)``, mean squared error if ``num_labels`` is 1.
        """
        features = self.hiera(
            pixel_values,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            interpolate_pos_encoding=interpolate_pos_encoding,
            return_dict=True,
        )
        logits = self.classifier(self.dropout(features.pooler_output))
        output = HieraClassificationOutput(
            loss=None if labels is None else self._loss(logits, labels),
            logits=logits,
            hidden_states=features.hidden_states,
            attentions=features.attentions,
            reshaped_hidden_states=features.reshaped_hidden_states,
        )
        return output if choose(return_dict, self.config.return_dict) else output.to_tuple()

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.config.num_labels == 0:
            raise ConfigError("labels: the model has num_labels=0, no classifier")
        if self.config.num_labels == 1:
            return F.mse_loss(logits.squeeze(1), labels.to(logits.dtype).view(-1))
        return F.cross_entropy(logits, labels)


class HieraForVideoClassification(HieraClassifier):
    """Classifies clips ``(B, C, T, H, W)``."""

    takes_clips = True


class HieraForImageClassification(HieraClassifier):
    """Classifies images ``(B, C, H, W)``."""

    takes_clips = False
