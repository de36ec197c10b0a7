"""Videos that have one or several numbers each.

Axes: B clips, V videos, K targets.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiera_video.config.clip_groups import ClipSettings
from hiera_video.data.target_numbers import TargetNumbers, TargetStatistics
from hiera_video.errors import CheckpointError, reason_of
from hiera_video.metrics.regression import regression_figures
from hiera_video.tasks.columns import list_column
from hiera_video.tasks.criteria import criterion
from hiera_video.tasks.task import ScoreTable, Shown, Task

#: The column that has the number, if no other is named.
DEFAULT_COLUMNS = ("label",)


class Regression(Task):
    """Prediction of K numbers.

    The model learns them normalised by mean and deviation of the training manifest, which the
    checkpoint keeps (``targets.json``); figures and predictions are in the unit of the data. A
    video that could not be read counts as if the mean was predicted, the best guess without seeing
    it.

    Args:
        columns: of the manifest, one for each number; None is ``label``.
        clip: what a clip is.
        batch_size: clips of a whole batch.
        statistics: by which numbers are normalised; None takes those of the first manifest.
    """

    logged = ("loss", "mae")
    best_by = criterion("regression")
    shown = {  # noqa: RUF012 (replaced, never changed)
        "mae": Shown("mean absolute error"),
        "rmse": Shown("root mean squared error"),
        "r2": Shown("R²"),
        "spearman": Shown("Spearman's rank correlation"),
        "mae_per_target": Shown("Mean absolute error per target"),
        "rmse_per_target": Shown("Root mean squared error per target"),
        "r2_per_target": Shown("R² per target"),
        "spearman_per_target": Shown("Spearman's rank correlation per target"),
    }

    def __init__(
        self,
        columns: Sequence[str] | None,
        clip: ClipSettings,
        batch_size: int = 1,
        statistics: TargetStatistics | None = None,
    ) -> None:
        super().__init__(clip, batch_size)
        self._targets = TargetNumbers(columns or DEFAULT_COLUMNS, statistics)
        self._deviation: Tensor | None = None

    @property
    def targets(self) -> TargetNumbers:
        """Numbers as they are written, ``values``, and ``normalized``."""
        return self._targets

    @property
    def statistics(self) -> TargetStatistics:
        """By which numbers are normalised. A checkpoint that keeps none gives them as they are."""
        count = len(self.targets.columns)
        return self.targets.statistics or TargetStatistics((0.0,) * count, (1.0,) * count)

    def losses(
        self, model: nn.Module, pixel_values: Tensor, targets: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Mean squared error of normalised numbers; mean absolute error in the data's unit."""
        wanted = targets["normalized"]
        predicted = model(pixel_values).logits.float()
        if self._deviation is None:
            self._deviation = torch.tensor(self.statistics.deviation, device=predicted.device)
        errors = (predicted - wanted).abs() * self._deviation
        return {"loss": F.mse_loss(predicted, wanted), "mae": errors.mean()}

    def dump(self) -> bytes | None:
        """Mean and deviation, in the order of the targets."""
        return (json.dumps(asdict(self.statistics), indent=2) + "\n").encode()

    def load(self, content: bytes, source: str) -> None:
        """Take up mean and deviation."""
        try:
            values = json.loads(content)
            mean, deviation = (
                tuple(float(value) for value in values[name]) for name in ("mean", "deviation")
            )
        except (ValueError, TypeError, KeyError) as error:
            raise CheckpointError(
                f"{source}: targets.json: cannot be understood ({reason_of(error)})"
            ) from None
        count = len(self.targets.columns)
        if len(mean) != count or len(deviation) != count or min(deviation) <= 0:
            raise CheckpointError(
                f"{source}: targets.json: wanted a mean and a deviation above 0 for each of "
                f"{', '.join(self.targets.columns)}"
            )
        self.targets.statistics = TargetStatistics(mean, deviation)

    def figures(self, table: ScoreTable) -> dict[str, Any]:
        """See :func:`regression_figures`; ``loss`` of the videos that could be read."""
        wanted = table.manifest.target_array("values")
        predicted = np.zeros(wanted.shape)  # the mean, for videos without scores
        predicted[table.rows] = self._scores_of(table)
        figures = regression_figures(
            self.statistics.restore(predicted), wanted, self.targets.columns
        )
        errors = predicted[table.rows] - self.statistics.normalize(wanted[table.rows])
        loss = float(np.square(errors).mean()) if errors.size else None
        return {**figures, "loss": loss}

    def doubts(self, table: ScoreTable) -> list[str]:
        """Reasons why the figures say little."""
        if not len(table.rows):
            return [
                f"none of {len(table.manifest)} videos could be read, and for each the mean counts "
                "as predicted: the figures say nothing about the model"
            ]
        wanted = table.manifest.target_array("values")
        return [
            f"{name} is the same for all videos: R² and rank correlation are not defined"
            for name, values in zip(self.targets.columns, wanted.T, strict=True)
            if np.ptp(values) == 0
        ]

    def predictions(self, table: ScoreTable) -> dict[str, pa.Array]:
        """``label`` and ``prediction``, lists of numbers in the order of the targets."""
        wanted, num_rows = table.manifest.target_array("values"), len(table.manifest)
        predicted = self.statistics.restore(self._scores_of(table))
        return {
            "label": list_column(np.arange(num_rows), wanted, num_rows, pa.float64()),
            "prediction": list_column(table.rows, predicted, num_rows, pa.float64()),
        }

    def answer(self, scores: Tensor, most: int) -> list[tuple[str, float]]:
        """The number of each target."""
        values = self.statistics.restore(scores.cpu().numpy())
        return list(zip(self.targets.columns, values.tolist(), strict=True))

    def _scores_of(self, table: ScoreTable) -> np.ndarray:
        """``(V, K)``, also where no video has any."""
        return table.scores.reshape(len(table.rows), len(self.targets.columns))
