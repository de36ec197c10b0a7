"""The outputs of models: named structures that also index like tuples.

Axes: B batch, T H W tokens along time, height and width, N tokens, U mask units, D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor
from torch.export import register_dataclass


@dataclass
class ModelOutput:
    """Base of outputs: ``output.logits``, ``output["logits"]``, ``output[0]`` and ``dict(output)``.
    Fields that are None do not count."""

    def to_tuple(self) -> tuple[Any, ...]:
        """The fields that are not None, in order: what ``return_dict=False`` gives."""
        return tuple(self[name] for name in self.keys())

    def keys(self) -> list[str]:
        """The names of the fields that are not None, in order."""
        names = (field.name for field in fields(self))
        return [name for name in names if getattr(self, name) is not None]

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __getitem__(self, key: int | slice | str) -> Any:
        return getattr(self, key) if isinstance(key, str) else self.to_tuple()[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_tuple())

    def __len__(self) -> int:
        return len(self.to_tuple())


@dataclass
class HieraModelOutput(ModelOutput):
    """Output of ``HieraModel``.

    ``last_hidden_state`` (B, N, D); ``pooler_output`` (B, D); ``bool_masked_pos`` (B, U), True =
    visible; ``ids_restore`` (B, U); ``hidden_states``: the embeddings and the output of every
    stage, (B, N, D); ``attentions``: weights of every stage's last block, (B, heads, U, queries,
    keys) inside mask units and (B, heads, 1, queries, keys) globally; ``reshaped_hidden_states``:
    hidden states as (B, H, W, D) or (B, T, H, W, D), or unit by unit, (B, V, h, w, D), where V
    units are visible.

    Flat tokens are in the reference order (:mod:`hiera_video.models.mask_units`).
    """

    last_hidden_state: Tensor
    pooler_output: Tensor | None = None
    bool_masked_pos: Tensor | None = None
    ids_restore: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    reshaped_hidden_states: tuple[Tensor, ...] | None = None


@dataclass
class HieraClassificationOutput(ModelOutput):
    """Output of the classifiers. ``logits`` (B, num_labels) are raw scores, before any softmax."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    reshaped_hidden_states: tuple[Tensor, ...] | None = None


@dataclass
class HieraPreTrainingOutput(ModelOutput):
    """Output of ``HieraForPreTraining``.

    ``logits`` (B, N, P) predict the P pixel values of each of N patches, in raster order;
    ``bool_masked_pos`` (B, N), True = visible; ``ids_restore`` (B, U) is per mask unit. The loss is
    the mean over masked patches. Hidden states and attentions are the encoder's.

    With decoder masking, logits ``(B, M, P)`` and loss are only for the M predicted patches;
    ``ids_predicted`` (B, M) are their indices in raster order, ascending.
    """

    loss: Tensor
    logits: Tensor
    bool_masked_pos: Tensor
    ids_restore: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    reshaped_hidden_states: tuple[Tensor, ...] | None = None
    ids_predicted: Tensor | None = None


@dataclass
class HieraBackboneOutput(ModelOutput):
    """Output of ``HieraBackbone``: one map (B, D, H, W) or (B, D, T, H, W) per chosen stage."""

    feature_maps: tuple[Tensor, ...]
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


# For torch.export, and for code that looks for tensors in outputs (FSDP). Files of exported
# programs refer to the class by this name, so it must not depend on the module.
for _output in ModelOutput.__subclasses__():
    register_dataclass(_output, serialized_type_name=f"hiera_video.{_output.__name__}")
