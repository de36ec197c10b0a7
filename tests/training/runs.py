"""Training in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hiera_video.config.machinery import parse_settings
from hiera_video.jsonlines import read_lines
from hiera_video.training.log import LOG_FILE
from hiera_video.training.run import train
from hiera_video.training.settings import TrainRun
from tests.support import TINY_ARGUMENTS, TinyDataset, forget_accelerator


def train_here(dataset: TinyDataset, output_dir: Path, *more: str) -> list[dict[str, Any]]:
    """The log of a run whose steps are 12 of the 36 videos, unless ``more`` says otherwise."""
    forget_accelerator()
    arguments = [
        *TINY_ARGUMENTS,
        f"data.train.manifest={dataset.train}",
        f"output_dir={output_dir}",
        "data.num_workers=0",
        "evaluate.batch_size=9",
        "train.batch_size=12",
        "trackers=[]",
        *more,
    ]
    train(parse_settings(TrainRun, arguments))
    return read_lines(output_dir / LOG_FILE)
