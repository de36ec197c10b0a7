"""Train a video classifier.

accelerate launch scripts/train.py --config configs/demo/finetune.yaml [key=value ...]
"""

from __future__ import annotations

from hiera_video.command import run_command
from hiera_video.config.machinery import parse_settings
from hiera_video.models.config import HieraConfig
from hiera_video.training.run import train
from hiera_video.training.settings import TrainRun


def main() -> None:
    groups = {"model": (HieraConfig, "of the variant")}
    train(parse_settings(TrainRun, description=__doc__, open_groups=groups))


if __name__ == "__main__":
    run_command(main)
