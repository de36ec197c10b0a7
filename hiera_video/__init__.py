"""Train, pre-train, evaluate and extract features with Hiera on video.

Names are imported when they are first used: a command line answers at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hiera_video.version import __version__

if TYPE_CHECKING:
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
    from hiera_video.processor import HieraProcessor, load_clips

__all__ = [
    "HieraConfig",
    "HieraModel",
    "HieraBackbone",
    "HieraForPreTraining",
    "HieraForImageClassification",
    "HieraForVideoClassification",
    "HieraForJointTraining",
    "HieraProcessor",
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

#: The module that each public name is in.
_MODULES = {
    "Video": "decoding.open_video",
    "open_video": "decoding.open_video",
    "VideoError": "errors",
    "HieraBackbone": "models.backbone",
    "HieraForImageClassification": "models.classification",
    "HieraForVideoClassification": "models.classification",
    "HieraConfig": "models.config",
    "HieraModel": "models.hiera",
    "inflate_from_images": "models.registry",
    "HieraForJointTraining": "models.joint",
    "load_model": "models.registry",
    "HieraForPreTraining": "models.mae",
    "create_model": "models.registry",
    "list_models": "models.registry",
    "HieraProcessor": "processor",
    "load_clips": "processor",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
