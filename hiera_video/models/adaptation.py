"""Weights of a checkpoint on their way into a model that differs from the checkpoint's own.

A model may be of another class, of another input size, with other labels or another head. What the
model has no use for is left out, position tables are resized, and parts that have no weights start
anew: each with a warning, and only where the user's wish or the checkpoint's kind explains it.
Everything else is left to strict loading, which names it.
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

#: Position tables that are resized where the user asks for another input size.
_TABLES = (
    "position_embedding.joint",
    "position_embedding.spatial",
    "position_embedding.temporal",
    "decoder.position_embedding",
)

logger = logging.getLogger("hiera_video.models.pretrained")


class ModelClass(NamedTuple):
    """What a subclass of :class:`~hiera_video.models.pretrained.PretrainedModel` says of itself."""

    name: str
    kind: Kind
    fresh_parts: tuple[str, ...]
    optional_parts: tuple[str, ...]


def part_of(name: str) -> str:
    """The part of a model that a weight of this bare name belongs to; each norm of a backbone is
    one of its own."""
    first, _, rest = name.partition(".")
    return f"norms.{rest.partition('.')[0]}" if first == "norms" else first


def adapted_config(kind: Kind, checkpoint: Checkpoint, overrides: Mapping[str, Any]) -> HieraConfig:
    """The configuration of a model of ``kind`` with the checkpoint's weights.

    Raises:
        ConfigError: if ``overrides`` are no fields of it, or do not fit.
    """
    fields: dict[str, Any] = {}
    if kind == "classification" and checkpoint.kind == "pretraining":
        # Pre-training leaves out the pooling before the last stage; its weights fit with it too,
        # and published classifiers were fine-tuned so.
        fields["num_query_pool"] = len(checkpoint.config.depths) - 1
    if not fields and not overrides:
        return checkpoint.config
    return HieraConfig.from_dict({**checkpoint.config.to_dict(), **fields}, **overrides)


@dataclass
class Adaptation:
    """One checkpoint and the model that its weights are to fit.

    Args:
        model_class: the class of the model.
        config: of the model.
        wanted: the model's tensors under bare names, of which only shapes count.
        overrides: the fields that the user asked for.
    """

    checkpoint: Checkpoint
    model_class: ModelClass
    config: HieraConfig
    wanted: Mapping[str, Tensor]
    overrides: Mapping[str, Any]

    def __post_init__(self) -> None:
        self.source = self.checkpoint.source
        self._same_class = self.checkpoint.architecture == self.model_class.name

    def weights(self) -> dict[str, Tensor]:
        """The checkpoint's weights, tables resized, without what only other classes have."""
        weights = dict(self.checkpoint.weights)
        if "image_size" in self.overrides:
            weights |= self._resized_tables()
        parts = {part_of(name) for name in self.wanted}
        return {
            name: tensor
            for name, tensor in weights.items()
            if part_of(name) in parts or not self._may_be_too_much(name)
        }

    def fresh_parts(self, weights: Mapping[str, Tensor]) -> set[str]:
        """Parts that start anew since ``weights`` have none that fit, each with a warning.

        Raises:
            CheckpointError: if a classifier would start anew and nobody asked for one.
        """
        missing = {part_of(name) for name in self.wanted} - {part_of(name) for name in weights}
        reasons = dict(self._fresh_parts(missing))
        if "classifier" in {part_of(name) for name in self.wanted} and (
            reason := self._why_a_new_classifier("classifier" in missing)
        ):
            reasons = {"classifier": reason, **reasons}
        for part, reason in reasons.items():
            logger.warning("%s: %s is newly initialized (%s)", self.source, part, reason)
        return set(reasons)

    def _resized_tables(self) -> Iterator[tuple[str, Tensor]]:
        """Position tables at the sizes of the model, where they differ."""
        for name in _TABLES:
            table, target = self.checkpoint.weights.get(name), self.wanted.get(name)
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

    def _may_be_too_much(self, name: str) -> bool:
        """Whether a weight that the model has no part for is no fault: another class's head,
        decoder or pooler; within one class, what a model of that class can be without."""
        first = name.partition(".")[0]
        return not self._same_class or first in self.model_class.optional_parts

    def _fresh_parts(self, missing: set[str]) -> Iterator[tuple[str, str]]:
        """What is ``missing`` and may be, but for the classifier, and why."""
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
        """Why the checkpoint's head, which is of the kind that is wanted, has other labels."""
        name = f"classifier.{HEADS[self.config.head].label_weight}"
        before, now = len(self.checkpoint.weights[name]), len(self.wanted[name])
        if before != now:
            return f"{now} labels instead of {before}"
        saved = self.checkpoint.config
        if saved.has_label_names and not same_names(self.config.id2label, saved.id2label):
            return "labels of other names"
        return None
