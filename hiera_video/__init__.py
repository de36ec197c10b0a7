"""Train, pre-train, evaluate and extract features with Hiera on video."""

from hiera_video.decoding.open_video import Video, open_video
from hiera_video.errors import VideoError
from hiera_video.models.backbone import HieraBackbone
from hiera_video.models.classification import (
    HieraForImageClassification,
    HieraForVideoClassification,
)
from hiera_video.models.config import HieraConfig
from hiera_video.models.hiera import HieraModel
from hiera_video.models.joint import HieraForJointTraining
from hiera_video.models.mae import HieraForPreTraining
from hiera_video.models.registry import (
    create_model,
    inflate_from_images,
    list_models,
    load_model,
)
from hiera_video.processor import load_clips
from hiera_video.version import __version__

__all__ = [
    "HieraConfig",
    "HieraModel",
    "HieraBackbone",
    "HieraForPreTraining",
    "HieraForImageClassification",
    "HieraForVideoClassification",
    "HieraForJointTraining",
    "create_model",
    "inflate_from_images",
    "list_models",
    "load_clips",
    "load_model",
    "open_video",
    "Video",
    "VideoError",
    "__version__",
]
