"""Adapting the weights of a checkpoint to a model that differs from the checkpoint's own.

The model may have another class, another input size, other labels or another head. Weights that it
does not use are left out, position tables are resized, and parts without weights start anew: each
with a warning, and only if the user's settings or the checkpoint's kind explain it. Strict loading
then reports every other difference by name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from hiera_video.errors import CheckpointError
from hiera_video.labels import same_names
from hiera_video.models.config import HieraConfig
from hiera_video.models.embeddings import resize_table
from hiera_video.models.heads import HEADS, name_of_head
from hiera_video.models.kinds import Kind
from hiera_video.models.layouts.base import Checkpoint

#: Position tables that are resized if the user sets another input size.
_TABLES = (
    "position_embedding.joint",
    "position_embedding.spatial",
    "position_embedding.temporal",
    "decoder.position_embedding",
)

logger = logging.getLogger(__name__)


class ModelClass(NamedTuple):
    """Declarations of a :class:`~hiera_video.models.pretrained.PretrainedModel` subclass."""

    name: str
    kind: Kind
    fresh_parts: tuple[str, ...]
    optional_parts: tuple[str, ...]


def part_of(name: str) -> str:
    """The part of a model to which the weight with this bare name belongs; each norm of a backbone
    is a part of its own."""
    first, _, rest = name.partition(".")
    return f"norms.{rest.partition('.')[0]}" if first == "norms" else first


def adapted_config(kind: Kind, checkpoint: Checkpoint, overrides: Mapping[str, Any]) -> HieraConfig:
    """The configuration of a model of ``kind`` with the checkpoint's weights.

    Raises:
        ConfigError: if ``overrides`` are no fields of a configuration, or do not fit.
    """
    fields: dict[str, Any] = {}
    if kind == "classification" and checkpoint.kind == "pretraining":
        # Pre-training leaves out the pooling before the last stage. Its weights also fit a model
        # with that pooling, which published classifiers have.
        fields["num_query_pool"] = len(checkpoint.config.depths) - 1
    if not fields and not overrides:
        return checkpoint.config
    return HieraConfig.from_dict({**checkpoint.config.to_dict(), **fields}, **overrides)


@dataclass
class Adaptation:
    """A checkpoint, and the model to which its weights are adapted.

    Args:
        model_class: the class of the model.
        config: the configuration of the model.
        targets: the model's tensors under bare names; only their shapes matter.
        overrides: the fields that the user set.
    """

    checkpoint: Checkpoint
    model_class: ModelClass
    config: HieraConfig
    targets: Mapping[str, Tensor]
    overrides: Mapping[str, Any]

    def __post_init__(self) -> None:
        self.source = self.checkpoint.source
        self._same_class = self.checkpoint.architecture == self.model_class.name

    def weights(self) -> dict[str, Tensor]:
        """The checkpoint's weights, with resized tables, and without parts of other classes."""
        weights = dict(self.checkpoint.weights)
        if "image_size" in self.overrides:
            weights |= self._resized_tables()
        parts = {part_of(name) for name in self.targets}
        return {
            name: tensor
            for name, tensor in weights.items()
            if part_of(name) in parts or not self._may_be_unused(name)
        }

    def fresh_parts(self, weights: Mapping[str, Tensor]) -> set[str]:
        """Parts that start anew because no ``weights`` fit them; logs a warning for each.

        Raises:
            CheckpointError: if a classifier would start anew and the user did not ask for that.
        """
        missing = {part_of(name) for name in self.targets} - {part_of(name) for name in weights}
        reasons = dict(self._fresh_parts(missing))
        if "classifier" in {part_of(name) for name in self.targets} and (
            reason := self._why_a_new_classifier("classifier" in missing)
        ):
            reasons = {"classifier": reason, **reasons}
        for part, reason in reasons.items():
            logger.warning("%s: %s is newly initialized (%s)", self.source, part, reason)
        return set(reasons)

    def mismatched(self, weights: Mapping[str, Tensor]) -> set[str]:
        """Names of ``weights`` that the model has in another shape; logs a warning for each."""
        names = {
            name
            for name, tensor in weights.items()
            if name in self.targets and self.targets[name].shape != tensor.shape
        }
        for name in sorted(names):
            logger.warning(
                "%s: %s is newly initialized (shape %s instead of %s)",
                self.source,
                name,
                tuple(self.targets[name].shape),
                tuple(weights[name].shape),
            )
        return names

    def _resized_tables(self) -> Iterator[tuple[str, Tensor]]:
        """Position tables whose sizes differ from the model's, resized."""
        for name in _TABLES:
            table, target = self.checkpoint.weights.get(name), self.targets.get(name)
            if table is None or target is None or table.shape == target.shape:
                continue
            if table.ndim == target.ndim and table.shape[-1] == target.shape[-1]:
                logger.warning(
                    "%s: %s resized from %s to %s",
                    self.source,
                    name,
                    "x".join(map(str, table.shape[:-1])),
                    "x".join(map(str, target.shape[:-1])),
                )
                yield name, resize_table(table, tuple(target.shape[:-1]))

    def _may_be_unused(self, name: str) -> bool:
        """Whether a weight without a part in the model may be left out: the head, decoder or pooler
        of another class; within the same class, an optional part."""
        first = name.partition(".")[0]
        return not self._same_class or first in self.model_class.optional_parts

    def _fresh_parts(self, missing: set[str]) -> Iterator[tuple[str, str]]:
        """The ``missing`` parts, except the classifier, that may start anew, with the reasons."""
        for part in sorted(missing - {"classifier"}):
            may_be_fresh = part.partition(".")[0] in self.model_class.fresh_parts
            if part == "norm" and self.checkpoint.kind == "classification":
                head = name_of_head(self.checkpoint.weights)
                if head is not None and HEADS[head].takes_tokens:
                    yield part, f"head={head} does without"
            elif not self._same_class and may_be_fresh:
                yield part, f"a {self.checkpoint.architecture} has none"
            elif part.startswith("norms.") and self.overrides.keys() & {
                "out_features",
                "out_indices",
            }:
                yield part, "not among the saved ones"

    def _why_a_new_classifier(self, is_missing: bool) -> str | None:
        held = self.checkpoint.architecture
        asked = "num_labels" in self.overrides or "id2label" in self.overrides
        if is_missing:
            if not asked and self.checkpoint.kind == "classification":
                return None
            if not asked:
                raise CheckpointError(
                    f"{self.source}: holds a {held}, wanted a {self.model_class.name}: give "
                    "num_labels to start a new classifier on its encoder"
                )
            return f"a {held} has none"
        head = name_of_head(self.checkpoint.weights)
        if head is not None and head != self.config.head and "head" in self.overrides:
            return f"head={self.config.head} instead of {head}"
        return self._why_other_labels() if asked and head == self.config.head else None

    def _why_other_labels(self) -> str | None:
        """The reason why the labels of the checkpoint's head differ from the model's, or None."""
        name = f"classifier.{HEADS[self.config.head].label_weight}"
        before, now = len(self.checkpoint.weights[name]), len(self.targets[name])
        if before != now:
            return f"{now} labels instead of {before}"
        saved = self.checkpoint.config
        if saved.has_label_names and not same_names(self.config.id2label, saved.id2label):
            return "labels of other names"
        return None
