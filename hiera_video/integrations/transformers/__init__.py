"""Our checkpoints inside ``transformers``: importing this registers them with its Auto classes.

    import hiera_video.integrations.transformers
    from transformers import AutoModelForVideoClassification, pipeline

    model = AutoModelForVideoClassification.from_pretrained("runs/mine/best")
    pipeline("video-classification", model="runs/mine/best")("video.mp4")

The library's ``hiera`` is the port that takes images only; ours is ``hiera_video``.
"""

from __future__ import annotations

try:
    import transformers
except ModuleNotFoundError:
    raise ImportError(
        "hiera_video.integrations.transformers needs transformers, which is not installed: "
        'pip install "hiera-video[transformers]"'
    ) from None

from hiera_video.integrations.transformers.code import add_code
from hiera_video.integrations.transformers.configuration import HieraVideoConfig
from hiera_video.integrations.transformers.modeling import (
    HieraVideoBackbone,
    HieraVideoForImageClassification,
    HieraVideoForPreTraining,
    HieraVideoForVideoClassification,
    HieraVideoModel,
    HieraVideoPreTrainedModel,
)
from hiera_video.integrations.transformers.processing import (
    EvaluationPixels,
    HieraVideoImageProcessor,
    HieraVideoProcessor,
    HieraVideoVideoProcessor,
)

__all__ = [
    "HieraVideoBackbone",
    "HieraVideoConfig",
    "HieraVideoForImageClassification",
    "HieraVideoForPreTraining",
    "HieraVideoForVideoClassification",
    "HieraVideoImageProcessor",
    "HieraVideoModel",
    "HieraVideoProcessor",
    "HieraVideoVideoProcessor",
    "add_code",
]

HieraVideoPreTrainedModel.write_code = staticmethod(add_code)
EvaluationPixels.write_code = staticmethod(add_code)

transformers.AutoConfig.register(HieraVideoConfig.model_type, HieraVideoConfig)
for _auto, _class in (
    (transformers.AutoModel, HieraVideoModel),
    (transformers.AutoBackbone, HieraVideoBackbone),
    (transformers.AutoModelForPreTraining, HieraVideoForPreTraining),
    (transformers.AutoModelForImageClassification, HieraVideoForImageClassification),
    (transformers.AutoModelForVideoClassification, HieraVideoForVideoClassification),
    (transformers.AutoProcessor, HieraVideoProcessor),
):
    _auto.register(HieraVideoConfig, _class)
transformers.AutoImageProcessor.register(
    HieraVideoConfig, image_processor_classes={"torchvision": HieraVideoImageProcessor}
)
transformers.AutoVideoProcessor.register(
    HieraVideoConfig, video_processor_class=HieraVideoVideoProcessor
)
