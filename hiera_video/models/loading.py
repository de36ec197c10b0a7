"""Whatever model a checkpoint holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hiera_video.errors import CheckpointError, suggest
from hiera_video.models.backbone import HieraBackbone
from hiera_video.models.classification import (
    HieraClassifier,
    HieraForImageClassification,
    HieraForVideoClassification,
)
from hiera_video.models.hiera import HieraModel
from hiera_video.models.layouts import Checkpoint, read_checkpoint
from hiera_video.models.mae import HieraForPreTraining
from hiera_video.models.pretrained import PretrainedModel

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


def load_model(source: str | Path, **overrides: Any) -> PretrainedModel:
    """The model in a checkpoint, of the class that the checkpoint names (see ``from_pretrained``).

    Raises:
        CheckpointError: if it cannot be read, or names a class that is not ours.
    """
    return instantiate(read_checkpoint(source, hints=overrides), str(source), **overrides)


def load_classifier(source: str | Path) -> HieraClassifier:
    """The classifier in a checkpoint, of images or of clips.

    Raises:
        CheckpointError: if it cannot be read, or holds no classifier.
    """
    checkpoint = read_checkpoint(source)
    if not checkpoint.architecture.endswith("Classification"):
        raise CheckpointError(
            f"{source}: holds a {checkpoint.architecture}, wanted a classifier: fine-tune it first "
            f"(scripts/train.py init_from={source})"
        )
    video = checkpoint.config.is_video
    cls = HieraForVideoClassification if video else HieraForImageClassification
    return cls.from_checkpoint(checkpoint, str(source), {})


def instantiate(checkpoint: Checkpoint, source: str, **overrides: Any) -> PretrainedModel:
    """The model that a checkpoint describes, with its weights; ``source`` is for messages."""
    name = checkpoint.architecture
    if name not in MODELS:
        raise CheckpointError(f"{source}: holds a {name}, {suggest(name, list(MODELS))}")
    cls = MODELS[name]
    arguments = {key: overrides.pop(key) for key in cls.init_arguments if key in overrides}
    if cls is HieraModel and "norm.weight" not in checkpoint.weights:
        arguments.setdefault("add_pooling_layer", False)  # saved without one
    return cls.from_checkpoint(checkpoint, source, overrides, arguments)
