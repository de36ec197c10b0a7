"""Pre-train an encoder by masked autoencoding, on videos without labels.

accelerate launch scripts/pretrain.py --config configs/demo/pretrain.yaml [key=value ...]
hiera-video pretrain --config demo/pretrain [key=value ...]
"""

from __future__ import annotations

from hiera_video.training.settings import PretrainRun

SETTINGS = PretrainRun


def start(run: PretrainRun) -> None:
    """Pre-train; write checkpoints, logs and curves."""
    from hiera_video.training.run import pretrain

    pretrain(run)
