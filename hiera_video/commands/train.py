"""Train a video classifier.

accelerate launch scripts/train.py --config configs/demo/finetune.yaml [key=value ...]
hiera-video train --config demo/finetune [key=value ...]
"""

from __future__ import annotations

from hiera_video.training.settings import TrainRun

SETTINGS = TrainRun


def start(run: TrainRun) -> None:
    """Train; write checkpoints, logs and curves."""
    from hiera_video.training.run import train

    train(run)
