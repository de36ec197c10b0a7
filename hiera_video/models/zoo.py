"""Models by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hiera_video.errors import CheckpointError, ConfigError
from hiera_video.models.classification import (
    HieraForImageClassification,
    HieraForVideoClassification,
)
from hiera_video.models.config import HieraConfig
from hiera_video.models.inflate import inflate_into
from hiera_video.models.layouts import Checkpoint, read_checkpoint
from hiera_video.models.mae import HieraForPreTraining
from hiera_video.models.variants import list_models, variant_config, variant_fields

__all__ = ["create_model", "list_models"]

NamedModel = HieraForImageClassification | HieraForVideoClassification | HieraForPreTraining

#: What makes a variant; a checkpoint for it has the same, whatever it was trained on.
_ARCHITECTURE = ("embed_dim", "depths", "num_heads", "masked_unit_size", "query_stride")


def create_model(name: str, pretrained: str | Path | None = None, **overrides: Any) -> NamedModel:
    """A named model, with fresh weights or those of ``pretrained``.

    Args:
        name: one of :func:`list_models`; ``mae_`` names are for pre-training.
        pretrained: whatever ``from_pretrained`` takes. The model has the variant's input size and
            the checkpoint's labels, unless ``overrides`` say otherwise. Models of clips start from
            image checkpoints too, inflated (see :mod:`hiera_video.models.inflate`).
        overrides: ``HieraConfig`` fields to change.

    Raises:
        ConfigError: for an unknown name or fields that do not fit.
        CheckpointError: if ``pretrained`` is missing or holds another architecture.
    """
    config = variant_config(name, **overrides)
    if pretrained is None:
        return _class_of(name, config)(config)
    if not isinstance(pretrained, str | os.PathLike):
        raise ConfigError(f"pretrained={pretrained!r}: wanted a directory, a file or a hub id")
    checkpoint = read_checkpoint(pretrained, hints={"num_heads": config.num_heads})
    return create_from_checkpoint(name, checkpoint, str(pretrained), **overrides)


def create_from_checkpoint(
    name: str, checkpoint: Checkpoint, source: str, **overrides: Any
) -> NamedModel:
    """What :func:`create_model` does after reading; ``source`` is for messages."""
    config = variant_config(name, **overrides)
    if config.is_video and not checkpoint.config.is_video:
        checkpoint = inflate_into(checkpoint, config)
    _check_architecture(name, config, checkpoint.config, source)
    fields = {key: value for key, value in variant_fields(name).items() if key != "num_labels"}
    if checkpoint.architecture == "HieraModel":
        # Perhaps from a pre-trained model, which leaves out the pooling before the last stage.
        fields["num_query_pool"] = config.num_query_pool
    cls = _class_of(name, config)
    return cls.from_checkpoint(checkpoint, source, {**fields, **overrides})


def _class_of(name: str, config: HieraConfig) -> type[NamedModel]:
    if name.startswith("mae_"):
        return HieraForPreTraining
    return HieraForVideoClassification if config.is_video else HieraForImageClassification


def _check_architecture(name: str, wanted: HieraConfig, found: HieraConfig, source: str) -> None:
    differences = [
        f"{field}={getattr(found, field)} instead of {getattr(wanted, field)}"
        for field in _ARCHITECTURE
        if getattr(found, field) != getattr(wanted, field)
    ]
    if differences:
        raise CheckpointError(f"{source}: is not a {name} ({', '.join(differences)})")
