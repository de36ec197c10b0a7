"""A kind of learning that the package does not know: the mean brightness of a clip, a number.

All that it takes is here: targets from a column of the manifest, a loss, a figure that decides
which checkpoint is best, and how a run's side is made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch.nn.functional as F
from torch import Tensor, nn

from hiera_video.data.manifest import open_manifest
from hiera_video.tasks.task import Criterion, ScoreTable, Task
from hiera_video.training.learning import Side
from hiera_video.training.run import run_training
from hiera_video.training.settings import TrainRun
from hiera_video.training.sides import AdaptModel, build_model
from hiera_video.training.starting import Start


class Brightness:
    """Reads the column ``brightness``."""

    columns = ("brightness",)

    def encode(self, path: Path, table: pa.Table) -> dict[str, pa.Array]:
        return {"brightness": table["brightness"].cast(pa.float32())}


class MeanBrightness(Task):
    """Mean squared error; the checkpoint with the smallest absolute error is the best."""

    logged = ("loss", "absolute_error")
    best_by = Criterion("absolute_error", higher_is_better=False)
    targets = Brightness()

    def losses(
        self, model: nn.Module, pixel_values: Tensor, targets: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        predicted = model(pixel_values).logits.float().squeeze(1)
        wanted = targets["brightness"]
        return {
            "loss": F.mse_loss(predicted, wanted),
            "absolute_error": (predicted - wanted).abs().mean(),
        }

    def figures(self, table: ScoreTable) -> dict[str, Any]:
        wanted = np.array(table.manifest.column("brightness"))[table.rows]
        return {"absolute_error": float(np.abs(table.scores[:, 0] - wanted).mean())}


def brightness_side(run: TrainRun, start: Start | None) -> Side:
    """What such a run learns from."""
    train, val = (
        open_manifest(run.data, f"data.{split}.manifest", run.clip, targets=Brightness())
        for split in ("train", "val")
    )
    model = build_model(run, {"num_labels": 1}, start)
    task = MeanBrightness(run.clip, run.train.batch_size)
    held_out = val, run.evaluate.of(run.clip)
    return Side(model, task, train, run.clip, run.augment, run.train, held_out)


def train_brightness(run: TrainRun, adapt_model: AdaptModel | None = None) -> None:
    """Train as ``run`` says."""
    run_training(run, brightness_side, adapt_model)
