"""Evaluate a trained model on a manifest of labelled videos.

accelerate launch scripts/evaluate.py checkpoint=DIR data.val.manifest=CSV output_dir=OUT
hiera-video evaluate checkpoint=DIR data.val.manifest=CSV output_dir=OUT
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hiera_video.commands.checkpoint import TrainedModel
from hiera_video.config.clip_groups import EvaluateSettings
from hiera_video.config.groups import EvaluateData, RunSettings


class EvaluateRun(TrainedModel, RunSettings):
    """Evaluate a trained model on labelled videos."""

    data: EvaluateData = Field(default_factory=EvaluateData)
    evaluate: EvaluateSettings = Field(default_factory=EvaluateSettings)


SETTINGS = EvaluateRun


def start(run: EvaluateRun) -> dict[str, Any]:
    """Evaluate; write metrics, predictions and a report; give the metrics."""
    from hiera_video.evaluation.run import evaluate

    return evaluate(run.checkpoint, run.plain, run.data, run.clip.given, run.evaluate)
