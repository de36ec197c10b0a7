"""Evaluate a trained model on a manifest of labelled videos.

accelerate launch scripts/evaluate.py checkpoint=DIR data.val.manifest=CSV output_dir=OUT
"""

from __future__ import annotations

from hiera_video.command import run_command
from hiera_video.config import EvaluateRun
from hiera_video.evaluation.run import evaluate
from hiera_video.settings import parse_settings

if __name__ == "__main__":
    run_command(lambda: evaluate(parse_settings(EvaluateRun)))
