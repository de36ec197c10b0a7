"""The encoder with its embeddings and pooler, and the two classifiers on top of it.

Axes: B batch, C channels, T H W frames, rows, columns, U mask units, n tokens in a unit, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiera_video.models.checkpoints import PretrainedModel
from hiera_video.models.config import HieraConfig
from hiera_video.models.embeddings import PatchEmbedding, PositionEmbedding
from hiera_video.models.encoder import Encoder
from hiera_video.models.mask_units import TokenGrid
from hiera_video.models.outputs import HieraClassificationOutput, HieraModelOutput

#: The official classifiers start from a head scaled down by this, so that fine-tuning begins with
#: even scores and the encoder is not shaken by a random head.
HEAD_INIT_SCALE = 0.001


class HieraModel(PretrainedModel):
    """Patch and position embeddings, the shared encoder, and a pooler.

    The pooler averages the last stage's tokens and normalises the average, in this order (official
    implementation; weights depend on it).
    """

    def __init__(self, config: HieraConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.patch_embedding = PatchEmbedding(config)
        self.position_embedding = PositionEmbedding(config)
        self.encoder = Encoder(config)
        self.norm = (
            nn.LayerNorm(config.stage_dims[-1], eps=config.layer_norm_eps)
            if add_pooling_layer
            else None
        )
        self.apply(self._initialize)

    def forward(
        self,
        pixel_values: Tensor,
        head_mask: Sequence[Tensor | None] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> HieraModelOutput | tuple[Tensor, ...]:
        """Encode images ``(B, C, H, W)`` or clips ``(B, C, T, H, W)`` of normalised pixels.

        Args:
            head_mask: per stage, None or a tensor that broadcasts to its attention weights.
            output_attentions, output_hidden_states, return_dict: default to the config's.

        Raises:
            ValueError: if the input's axes or sizes are not those of the config.
        """
        config = self.config
        grid = self._check_input(pixel_values)
        tokens = self.patch_embedding(pixel_values) + self.position_embedding()
        embedded = grid.unroll(tokens)
        stages, attentions = self.encoder(
            embedded,
            head_mask=head_mask,
            output_attentions=_default(output_attentions, config.output_attentions),
        )
        last = stages[-1].flatten(1, 2)
        output = HieraModelOutput(last_hidden_state=last)
        if self.norm is not None:
            output.pooler_output = self.norm(last.mean(1))
        if attentions:
            output.attentions = tuple(attentions)
        if _default(output_hidden_states, config.output_hidden_states):
            states = [embedded, *stages]
            poolings = [0, *(min(stage, config.num_query_pool) for stage in range(len(stages)))]
            output.hidden_states = tuple(state.flatten(1, 2) for state in states)
            output.reshaped_hidden_states = tuple(
                grid.pooled(count).reroll(state)
                for count, state in zip(poolings, states, strict=True)
            )
        return output if _default(return_dict, config.return_dict) else output.to_tuple()

    def _check_input(self, pixel_values: Tensor) -> TokenGrid:
        config = self.config
        wanted = ("B", config.num_channels, *config.image_size)
        if pixel_values.shape[1:] != wanted[1:]:
            raise ValueError(
                f"pixel_values has shape {tuple(pixel_values.shape)}, wanted "
                f"({', '.join(map(str, wanted))})"
            )
        return TokenGrid.of_input(config, tuple(pixel_values.shape[2:]))


class _HieraClassifier(PretrainedModel):
    """What both classifiers share: dropout and a linear head on the pooled output."""

    def __init__(self, config: HieraConfig) -> None:
        super().__init__(config)
        self._check_axes(config)
        self.hiera = HieraModel(config)
        self.dropout = nn.Dropout(config.head_dropout)
        self.classifier = nn.Linear(config.stage_dims[-1], config.num_labels)
        self._initialize(self.classifier)
        with torch.no_grad():
            self.classifier.weight.mul_(HEAD_INIT_SCALE)
            self.classifier.bias.mul_(HEAD_INIT_SCALE)

    @staticmethod
    def _check_axes(config: HieraConfig) -> None:
        raise NotImplementedError

    def forward(
        self,
        pixel_values: Tensor,
        head_mask: Sequence[Tensor | None] | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> HieraClassificationOutput | tuple[Tensor, ...]:
        """Logits ``(B, num_labels)`` of images or clips (see :meth:`HieraModel.forward`).

        With ``labels`` there is a loss too: cross entropy for class indices ``(B,)`` or soft targets
        ``(B, num_labels)``, mean squared error if ``num_labels`` is 1.
        """
        features = self.hiera(
            pixel_values,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
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
        return output if _default(return_dict, self.config.return_dict) else output.to_tuple()

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.config.num_labels == 1:
            return F.mse_loss(logits.squeeze(1), labels.to(logits.dtype).view(-1))
        return F.cross_entropy(logits, labels)


class HieraForVideoClassification(_HieraClassifier):
    """Classifies clips ``(B, C, T, H, W)``."""

    @staticmethod
    def _check_axes(config: HieraConfig) -> None:
        if not config.is_video:
            raise ValueError(f"image_size={config.image_size}: clips need [T, H, W]")


class HieraForImageClassification(_HieraClassifier):
    """Classifies images ``(B, C, H, W)``."""

    @staticmethod
    def _check_axes(config: HieraConfig) -> None:
        if config.is_video:
            raise ValueError(f"image_size={config.image_size}: images need [H, W]")


def _default(given: bool | None, configured: bool) -> bool:
    return configured if given is None else given
