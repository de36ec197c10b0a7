"""Pre-train an encoder by masked autoencoding, on videos without labels.

accelerate launch scripts/pretrain.py --config configs/demo/pretrain.yaml [key=value ...]
"""

from __future__ import annotations

from hiera_video.command import run_command
from hiera_video.config.machinery import parse_settings
from hiera_video.models.config import HieraConfig
from hiera_video.training.run import pretrain
from hiera_video.training.settings import PretrainRun


def main() -> None:
    groups = {"model": (HieraConfig, "of the variant")}
    pretrain(parse_settings(PretrainRun, description=__doc__, open_groups=groups))


if __name__ == "__main__":
    run_command(main)
