"""All model classes, and the ways to a model: by name, from a checkpoint, from an image checkpoint.

Register a new model class here, in :data:`MODELS`, and in :data:`hiera_video.models.kinds.KINDS`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, get_args

from hiera_video.errors import CheckpointError, ConfigError, suggest
from hiera_video.models.backbone import HieraBackbone
from hiera_video.models.classification import (
    HieraForImageClassification,
    HieraForVideoClassification,
)
from hiera_video.models.config import HieraConfig
from hiera_video.models.hiera import HieraModel
from hiera_video.models.inflate import Inflation, inflate, inflate_into
from hiera_video.models.layouts import Checkpoint, read_checkpoint
from hiera_video.models.mae import HieraForPreTraining
from hiera_video.models.pretrained import PretrainedModel
from hiera_video.models.variants import list_models, parse_name, variant_config, variant_fields

__all__ = [
    "MODELS",
    "class_named",
    "class_of_variant",
    "create_model",
    "inflate_from_images",
    "list_models",
    "load_model",
]

NamedModel = HieraForImageClassification | HieraForVideoClassification | HieraForPreTraining

#: Model classes by the names that checkpoints use.
MODELS: dict[str, type[PretrainedModel]] = {
    cls.__name__: cls
    for cls in (
        HieraModel,
        HieraBackbone,
        HieraForPreTraining,
        HieraForImageClassification,
        HieraForVideoClassification,
    )
}

#: Fields that define a variant; every checkpoint of the variant has the same values.
_ARCHITECTURE_FIELDS = ("embed_dim", "depths", "num_heads", "masked_unit_size", "query_stride")


def class_named(architecture: str, source: str) -> type[PretrainedModel]:
    """The class that a checkpoint names; ``source``, the checkpoint, is for the message.

    Raises:
        CheckpointError: if it is not one of :data:`MODELS`.
    """
    if architecture not in MODELS:
        raise CheckpointError(
            f"{source}: holds a {architecture}, {suggest(architecture, list(MODELS))}"
        )
    return MODELS[architecture]


def class_of_variant(name: str, config: HieraConfig) -> type[NamedModel]:
    """The class of a named model with this configuration.

    Raises:
        ConfigError: for an unknown name, with the nearest known one.
    """
    if parse_name(name).is_pretraining:
        return HieraForPreTraining
    return HieraForVideoClassification if config.is_video else HieraForImageClassification


def create_model(
    name: str, pretrained: str | Path | Checkpoint | None = None, **overrides: Any
) -> NamedModel:
    """A named model, with fresh weights or those of ``pretrained``.

    Args:
        name: one of :func:`list_models`; ``mae_`` names are for pre-training.
        pretrained: any source that ``from_pretrained`` takes. The model has the variant's input
            size and the checkpoint's labels, unless ``overrides`` change them. Clip models also
            start from image checkpoints, inflated (see :mod:`hiera_video.models.inflate`).
        overrides: ``HieraConfig`` fields to change.

    Raises:
        ConfigError: for an unknown name or fields that do not fit.
        CheckpointError: if ``pretrained`` is missing or holds another architecture.
    """
    config = variant_config(name, **overrides)
    cls = class_of_variant(name, config)
    if pretrained is None:
        return cls(config)
    if not isinstance(pretrained, str | os.PathLike | Checkpoint):
        raise ConfigError(f"pretrained={pretrained!r}: wanted a directory, a file or a hub id")
    checkpoint = _read(pretrained, {"num_heads": config.num_heads})
    if config.is_video and not checkpoint.config.is_video:
        checkpoint = inflate_into(checkpoint, config)
    _check_architecture(name, config, checkpoint)
    fields = {key: value for key, value in variant_fields(name).items() if key != "num_labels"}
    if checkpoint.kind == "encoder":
        # A pre-trained encoder may lack the pooling before the last stage.
        fields["num_query_pool"] = config.num_query_pool
    return cls.from_pretrained(checkpoint, **{**fields, **overrides})


def load_model(source: str | Path | Checkpoint, **overrides: Any) -> PretrainedModel:
    """Load a model of the class that the checkpoint names (see ``from_pretrained``).

    Raises:
        CheckpointError: if the checkpoint cannot be read, or names an unknown class.
    """
    where = {name: overrides.pop(name, "") for name in ("subfolder", "revision")}
    if isinstance(source, Checkpoint) and any(where.values()):
        raise ConfigError("subfolder and revision say where files are: this is in memory")
    checkpoint = _read(source, overrides, where["subfolder"], where["revision"] or None)
    cls = class_named(checkpoint.architecture, checkpoint.source)
    if cls is HieraModel and "norm.weight" not in checkpoint.weights:
        overrides.setdefault("add_pooling_layer", False)  # saved without one
    return cls.from_pretrained(checkpoint, **overrides)


def inflate_from_images(
    source: str | Path | Checkpoint,
    num_frames: int = 16,
    inflation: Inflation = "center",
    **overrides: Any,
) -> HieraForVideoClassification:
    """A video classifier with the weights of an image checkpoint.

    Args:
        source: an image model in any layout: directory, file or hub id.
        num_frames: frames per clip.
        inflation: the initial kernel of the patch embedding. ``center`` weighs only the middle
            frame of each token, so that a still clip gives exactly the result of the image;
            ``average`` weighs all of its frames equally.
        overrides: ``HieraConfig`` fields to change. With another ``num_labels`` the classifier
            starts anew; pre-trained and bare encoders require ``num_labels``.

    Raises:
        CheckpointError: if the checkpoint cannot be read, or is for clips already.
        ConfigError: for fields that do not fit.
    """
    if inflation not in get_args(Inflation):
        raise ConfigError(f"inflation={inflation!r}: wanted {' or '.join(get_args(Inflation))}")
    checkpoint = _read(source, overrides)
    if checkpoint.config.is_video:
        raise CheckpointError(f"{source}: takes clips already, wanted a model that takes images")
    inflated = inflate(checkpoint, num_frames, inflation, overrides)
    return HieraForVideoClassification.from_pretrained(inflated, **overrides)


def _read(
    source: str | Path | Checkpoint,
    hints: dict[str, Any],
    subfolder: str = "",
    revision: str | None = None,
) -> Checkpoint:
    if isinstance(source, Checkpoint):
        return source
    return read_checkpoint(source, None, hints, subfolder, revision)


def _check_architecture(name: str, config: HieraConfig, checkpoint: Checkpoint) -> None:
    differences = [
        f"{field}={getattr(checkpoint.config, field)} instead of {getattr(config, field)}"
        for field in _ARCHITECTURE_FIELDS
        if getattr(checkpoint.config, field) != getattr(config, field)
    ]
    if differences:
        raise CheckpointError(f"{checkpoint.source}: is not a {name} ({', '.join(differences)})")
