"""The outputs of our models as ``transformers`` has them: ordered dictionaries.

Their fields are those of :mod:`hiera_video.models.outputs`, which says what they hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from transformers.utils import ModelOutput as TransformersOutput


@dataclass
class HieraVideoModelOutput(TransformersOutput):
    """Output of ``HieraVideoModel``; fields as in ``HieraModelOutput``."""

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    bool_masked_pos: Tensor | None = None
    ids_restore: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    reshaped_hidden_states: tuple[Tensor, ...] | None = None


@dataclass
class HieraVideoClassifierOutput(TransformersOutput):
    """Output of the classifiers; fields as in ``HieraClassificationOutput``."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    reshaped_hidden_states: tuple[Tensor, ...] | None = None


@dataclass
class HieraVideoForPreTrainingOutput(TransformersOutput):
    """Output of ``HieraVideoForPreTraining``; fields as in ``HieraPreTrainingOutput``."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    bool_masked_pos: Tensor | None = None
    ids_restore: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    reshaped_hidden_states: tuple[Tensor, ...] | None = None
    ids_predicted: Tensor | None = None


@dataclass
class HieraVideoBackboneOutput(TransformersOutput):
    """Output of ``HieraVideoBackbone``; fields as in ``HieraBackboneOutput``."""

    feature_maps: tuple[Tensor, ...] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
