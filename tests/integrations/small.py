"""Small checkpoints that tests of the integrations share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from hiera_video import HieraConfig
from hiera_video.models.pretrained import PretrainedModel
from hiera_video.models.registry import MODELS
from tests.models.small import DECODER, IMAGE, VIDEO

#: The fields of a small model, by its class.
FIELDS: dict[str, dict[str, Any]] = {
    "HieraModel": VIDEO,
    "HieraBackbone": {**VIDEO, "out_features": ["stage2", "stage4"]},
    "HieraForPreTraining": {**VIDEO, **DECODER},
    "HieraForVideoClassification": {**VIDEO, "id2label": {0: "jumping", 1: "running", 2: "still"}},
    "HieraForImageClassification": {**IMAGE, "num_labels": 3},
}


def small_model(name: str, **fields: Any) -> PretrainedModel:
    """A model of ours in evaluation mode; the same weights each time."""
    torch.manual_seed(0)
    return MODELS[name](HieraConfig(**{**FIELDS[name], **fields})).eval()


def saved_model(name: str, folder: Path, **fields: Any) -> PretrainedModel:
    """The same, saved into a folder as this package saves it."""
    model = small_model(name, **fields)
    model.save_pretrained(folder)
    return model
