"""Train, pre-train, evaluate and extract features with Hiera on video."""

from hiera_video.models.config import HieraConfig
from hiera_video.models.hiera import (
    HieraForImageClassification,
    HieraForVideoClassification,
    HieraModel,
)
from hiera_video.models.zoo import create_model, list_models
from hiera_video.version import __version__

__all__ = [
    "HieraConfig",
    "HieraModel",
    "HieraForImageClassification",
    "HieraForVideoClassification",
    "create_model",
    "list_models",
    "__version__",
]
