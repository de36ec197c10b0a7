"""The two classifiers: the encoder and a head (:mod:`hiera_video.models.heads`).

Axes: B batch, C channels, T H W frames, rows, columns.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from hiera_video.errors import ConfigError
from hiera_video.models.config import HieraConfig
from hiera_video.models.heads import head_class
from hiera_video.models.hiera import HeadMask, HieraModel, choose
from hiera_video.models.losses import classification_loss
from hiera_video.models.outputs import HieraClassificationOutput
from hiera_video.models.pretrained import PretrainedModel


class HieraClassifier(PretrainedModel):
    """Base of both classifiers. ``config.head`` names the head; with ``num_labels=0`` there is
    none: logits are the pooled features."""

    kind = "classification"
    fresh_parts = ("norm", "classifier")
    optional_parts = ("norm", "classifier")

    #: Whether the class takes clips rather than images.
    takes_clips: ClassVar[bool]

    def __init__(self, config: HieraConfig) -> None:
        super().__init__(config)
        if config.is_video != self.takes_clips:
            needs = "clips need [T, H, W]" if self.takes_clips else "images need [H, W]"
            raise ConfigError(f"image_size={config.image_size}: {needs}")
        head = head_class(config)
        # A head on tokens does not use the pooler, and DDP waits for gradients of every parameter.
        self.hiera = HieraModel(config, add_pooling_layer=not head.takes_tokens)
        self.classifier = head(config)
        self.classifier.apply(self._initialize)
        with torch.no_grad():
            for parameter in self.classifier.last_layer().parameters():
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

        With ``labels`` there is a loss too, which ``config.problem_type`` names; see
        :func:`~hiera_video.models.losses.classification_loss`.
        """
        features = self.hiera(
            pixel_values,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            interpolate_pos_encoding=interpolate_pos_encoding,
            return_dict=True,
        )
        takes_tokens = self.classifier.takes_tokens
        logits = self.classifier(
            features.last_hidden_state if takes_tokens else features.pooler_output
        )
        loss = None if labels is None else classification_loss(self.config, logits, labels)
        output = HieraClassificationOutput(
            loss=loss,
            logits=logits,
            hidden_states=features.hidden_states,
            attentions=features.attentions,
            reshaped_hidden_states=features.reshaped_hidden_states,
        )
        return output if choose(return_dict, self.config.return_dict) else output.to_tuple()


class HieraForVideoClassification(HieraClassifier):
    """Classifies clips ``(B, C, T, H, W)``."""

    takes_clips = True


class HieraForImageClassification(HieraClassifier):
    """Classifies images ``(B, C, H, W)``."""

    takes_clips = False
