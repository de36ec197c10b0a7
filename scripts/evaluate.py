"""Evaluate a trained model on a manifest of labelled videos.

accelerate launch scripts/evaluate.py checkpoint=DIR data.val.manifest=CSV output_dir=OUT
"""

from __future__ import annotations

from hiera_video.command import run_command
from hiera_video.config.groups import ClipSettings
from hiera_video.config.machinery import parse_settings
from hiera_video.evaluation.run import evaluate
from hiera_video.training.settings import EvaluateRun


def main() -> None:
    groups = {"clip": (ClipSettings, "of the checkpoint")}
    run = parse_settings(EvaluateRun, description=__doc__, open_groups=groups)
    evaluate(run.checkpoint, run, run.data, run.clip, run.evaluate)


if __name__ == "__main__":
    run_command(main)
