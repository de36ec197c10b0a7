"""Extract features of sliding windows over whole videos.

accelerate launch scripts/extract_features.py checkpoint=DIR data.manifest=CSV output_dir=OUT
hiera-video features checkpoint=DIR data.manifest=CSV output_dir=OUT
"""

from __future__ import annotations

from pydantic import Field

from hiera_video.commands.checkpoint import TrainedModel
from hiera_video.config.clip_groups import FeatureSettings
from hiera_video.config.groups import FeatureData, JobSettings


class FeatureRun(TrainedModel, JobSettings):
    """Extract features of whole videos."""

    data: FeatureData = Field(default_factory=FeatureData)
    features: FeatureSettings = Field(default_factory=FeatureSettings)


SETTINGS = FeatureRun


def start(run: FeatureRun) -> None:
    """Extract the features that are not there yet."""
    from hiera_video.features.windows import extract_features

    extract_features(run.checkpoint, run.plain, run.data, run.clip.given, run.features)
