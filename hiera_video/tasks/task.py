"""What a task is: one object for what is learned and how it is measured.

A new kind of learning is one subclass of :class:`Task`. The training loop, validation, logs, the
report and the curves know no task and no metric by name.

Axes: B clips, V videos, K scores.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from hiera_video.batch import Failure, model_input
from hiera_video.config.clip_groups import ClipSettings
from hiera_video.data.manifest import Manifest
from hiera_video.data.targets import TargetEncoder
from hiera_video.tasks.columns import list_column
from hiera_video.tasks.criteria import Criterion

__all__ = ["BatchLoss", "Criterion", "ScoreTable", "Shown", "Task"]


@dataclass(frozen=True)
class Shown:
    """The title of a figure, or of a table of figures, where people read it; and whether it is a
    share, which they read in percent."""

    title: str
    in_percent: bool = False


@dataclass
class BatchLoss:
    """What a batch costs.

    ``total`` goes backward: the sum of the losses of the batch's clips, divided by the number of
    clips of a whole batch. ``means`` are logged: by name, a mean over the clips that there are, and
    how many these are.
    """

    total: Tensor
    means: dict[str, tuple[Tensor, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class ScoreTable:
    """The scores of a manifest's videos, the same in all processes.

    ``rows`` ``(V,)``, ascending, are the manifest rows that have ``scores`` ``(V, K)``, float32;
    ``failures`` tells of all others.
    """

    manifest: Manifest
    rows: np.ndarray
    scores: np.ndarray
    failures: list[Failure]


class Task(ABC):
    """What is learned from clips, and how it is measured.

    Args:
        clip: what a clip is; its ``mean`` and ``std`` normalise pixels.
        batch_size: clips of a whole batch, by which losses are divided.
    """

    #: Names of the means that :meth:`losses` gives: ``loss``, and what is logged beside it.
    logged: tuple[str, ...] = ("loss",)
    #: The figure that decides which checkpoint is best; None where none is.
    best_by: Criterion | None = None
    #: Which figures and tables an evaluation prints and its page shows, and how. Where this is
    #: empty, it shows all of them, by their names. ``metrics.json`` has all in any case.
    shown: Mapping[str, Shown] = {}

    def __init__(self, clip: ClipSettings, batch_size: int = 1) -> None:
        self.clip = clip
        self.batch_size = batch_size

    @property
    def targets(self) -> TargetEncoder | None:
        """What makes targets of a manifest's columns; None where nothing is learned from them."""
        return None

    @abstractmethod
    def losses(
        self, model: nn.Module, pixel_values: Tensor, targets: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Means over B clips, by the names in ``logged``; training minimises ``loss``.

        Args:
            pixel_values: normalised clips ``(B, C, T, H, W)``, or images ``(B, C, H, W)``.
            targets: what the task's encoder made of the clips' rows, ``(B, ...)`` each.
        """

    def batch_loss(self, model: nn.Module, batch: Any) -> BatchLoss:
        """What a ``ClipBatch`` costs (in joint training, a ``PairedBatch``).

        One all of whose videos failed costs 0, with gradients of 0.
        """
        device = next(model.parameters()).device
        if not len(batch):
            # The model runs on a blank clip, so that no process waits for another's gradients.
            blank = torch.zeros((1, *batch.pixel_values.shape[1:]), device=device)
            return BatchLoss(model(model_input(blank)).logits.float().sum() * 0)
        pixel_values = batch.normalized(device, self.clip.mean, self.clip.std)
        targets = {
            name: target.to(device, non_blocking=True) for name, target in batch.targets.items()
        }
        means = self.losses(model, pixel_values, targets)
        # Where videos of a batch failed, its mean counts less: no clip weighs more than another.
        total = means["loss"] * (len(batch) / self.batch_size)
        return BatchLoss(total, {name: (means[name].detach(), len(batch)) for name in self.logged})

    def title_of(self, figure: str) -> str:
        """The title of a figure, or its name where it has none."""
        return self.shown[figure].title if figure in self.shown else figure

    def scores(self, logits: Tensor) -> Tensor:
        """What is averaged over the views of a video: ``(B, K)`` of the model's ``(B, K)``."""
        return logits

    def calibrate(self, table: ScoreTable) -> None:
        """Choose from the scores of held-out videos what is kept with the checkpoint that gave
        them; :meth:`figures` of them are taken after that."""
        return

    def dump(self) -> bytes | None:
        """What ``targets.json`` of a checkpoint keeps for the task, besides names; None if nothing.

        :meth:`load` is the inverse."""
        return None

    def load(self, content: bytes, source: str) -> None:
        """Take up what a checkpoint keeps for the task.

        Args:
            source: where the checkpoint is, for messages.

        Raises:
            CheckpointError: if it cannot be understood, or does not fit the task.
        """
        return

    def figures(self, table: ScoreTable) -> dict[str, Any]:
        """What the videos of ``table`` say of the model: numbers by name (None where there is
        nothing to measure), and, for the report, tables of them (name -> number) by name."""
        return {}

    def doubts(self, table: ScoreTable) -> list[str]:
        """What speaks against taking the figures at their word, in sentences."""
        return []

    def predictions(self, table: ScoreTable) -> dict[str, pa.Array]:
        """Columns of ``predictions.parquet``, one value per manifest row, besides ``path``; null
        where a video has no scores."""
        return {"scores": list_column(table.rows, table.scores, len(table.manifest))}

    def answer(self, scores: Tensor, most: int) -> list[tuple[str, float]]:
        """What to tell of a single video with these scores ``(K,)``: names and numbers, best first.

        Args:
            most: how many to tell, where all have one.
        """
        best = scores.topk(min(most, len(scores)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [(str(index), value) for index, value in pairs]
