"""Videos that have any number of labels each: a yes or no for every class.

Axes: B clips, V videos, K classes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch.nn.functional as F
from torch import Tensor, nn

from hiera_video.config.clip_groups import ClipSettings
from hiera_video.data.label_sets import LabelSets
from hiera_video.errors import CheckpointError, reason_of
from hiera_video.metrics.multi_label import (
    DEFAULT_THRESHOLD,
    best_thresholds,
    multi_label_figures,
)
from hiera_video.tasks.columns import list_column, names_column
from hiera_video.tasks.criteria import criterion
from hiera_video.tasks.mixing import Mixing
from hiera_video.tasks.task import ScoreTable, Shown, Task


class MultiLabel(Task):
    """Classification of videos that may have several of K labels, or none.

    A class is predicted where its probability reaches its threshold. Thresholds are chosen on
    held-out videos, and kept in the checkpoint (``targets.json``).

    Args:
        classes: names in index order; None takes those of the manifest.
        clip: what a clip is.
        batch_size: clips of a whole batch.
        label_smoothing: how far each yes and no is moved to 1/2, of the way there.
        mixing: mixes each batch of clips, and their targets by the same shares; None leaves them.
        class_weights: of what a label that is there costs, ``(K,)``; None weighs all alike.
    """

    logged = ("loss",)
    best_by = criterion("multi_label")
    shown = {  # noqa: RUF012 (replaced, never changed)
        "map": Shown("mAP", in_percent=True),
        "micro_f1": Shown("micro F1", in_percent=True),
        "macro_f1": Shown("macro F1", in_percent=True),
        "per_class_ap": Shown("Average precision per class", in_percent=True),
        "per_class_f1": Shown("F1 per class", in_percent=True),
        "thresholds": Shown("Threshold per class", in_percent=True),
    }

    def __init__(
        self,
        classes: Sequence[str] | None,
        clip: ClipSettings,
        batch_size: int = 1,
        label_smoothing: float = 0.0,
        mixing: Mixing | None = None,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__(clip, batch_size)
        self._targets = LabelSets(classes)
        self.label_smoothing = label_smoothing
        self.mixing = mixing
        self.class_weights = class_weights
        self._thresholds: np.ndarray | None = None

    @property
    def targets(self) -> LabelSets:
        """Which classes there are, ``labels``."""
        return self._targets

    @property
    def thresholds(self) -> np.ndarray:
        """The probability from which on each class is predicted ``(K,)``."""
        if self._thresholds is None:
            return np.full(len(self.targets.classes), DEFAULT_THRESHOLD)
        return self._thresholds

    def losses(
        self, model: nn.Module, pixel_values: Tensor, targets: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Binary cross entropy, the mean over clips and classes."""
        labels = targets["labels"].to(pixel_values.dtype)
        if self.mixing is not None:
            pixel_values, labels = self.mixing(pixel_values, labels)
        logits = model(pixel_values).logits.float()
        labels = labels.float() * (1 - self.label_smoothing) + self.label_smoothing / 2
        if self.class_weights is not None:
            self.class_weights = self.class_weights.to(logits.device)
        loss = F.binary_cross_entropy_with_logits(logits, labels, pos_weight=self.class_weights)
        return {"loss": loss}

    def scores(self, logits: Tensor) -> Tensor:
        """The probability of each class."""
        return logits.float().sigmoid()

    def calibrate(self, table: ScoreTable) -> None:
        """Choose the threshold of each class by its F1 on these videos; none without a video."""
        self._thresholds = None
        if len(table.rows):
            labels = table.manifest.target_array("labels")[table.rows]
            self._thresholds = best_thresholds(table.scores, labels)

    def dump(self) -> bytes | None:
        """The thresholds, in the order of the classes."""
        if self._thresholds is None:
            return None
        values = {"thresholds": self._thresholds.tolist()}
        return (json.dumps(values, indent=2) + "\n").encode()

    def load(self, content: bytes, source: str) -> None:
        """Take up thresholds."""
        try:
            thresholds = np.array(json.loads(content)["thresholds"], np.float64).reshape(-1)
        except (ValueError, TypeError, KeyError) as error:
            raise CheckpointError(
                f"{source}: targets.json: cannot be understood ({reason_of(error)})"
            ) from None
        num_classes = len(self.targets.classes) or len(thresholds)  # not known before a manifest
        if thresholds.shape != (num_classes,) or not np.isfinite(thresholds).all():
            raise CheckpointError(
                f"{source}: targets.json: wanted {num_classes} thresholds, one for each class"
            )
        self._thresholds = thresholds

    def figures(self, table: ScoreTable) -> dict[str, Any]:
        """See :func:`multi_label_figures`; and the ``thresholds`` that F1 depends on."""
        classes = self.targets.classes
        labels = table.manifest.target_array("labels")
        failed = [failure.row for failure in table.failures]
        figures = multi_label_figures(
            self._scores_of(table), labels[table.rows], labels[failed], self.thresholds, classes
        )
        named = zip(classes, self.thresholds.round(6).tolist(), strict=True)
        return {**figures, "thresholds": dict(named)}

    def doubts(self, table: ScoreTable) -> list[str]:
        """Reasons why the figures say little."""
        if not len(table.rows):
            return [
                f"none of {len(table.manifest)} videos could be read, and for each nothing counts "
                "as found: the figures say nothing about the model"
            ]
        found = []
        labels = table.manifest.target_array("labels")
        if not labels.any():
            found.append("no video has any label: there is nothing to find")
        elif labels.all(0).any() and len(self.targets.classes) == 1:
            found.append("all videos have the only class: there is nothing to tell it from")
        if self._thresholds is None:
            found.append(
                f"the checkpoint has no thresholds, which validation chooses: F1 is for "
                f"{DEFAULT_THRESHOLD}"
            )
        return found

    def predictions(self, table: ScoreTable) -> dict[str, pa.Array]:
        """``label`` and ``prediction``, lists of names; ``scores``, in the order of the classes."""
        names = np.array(self.targets.classes, object)
        labels = table.manifest.target_array("labels")
        rows, scores, num_rows = table.rows, self._scores_of(table), len(table.manifest)
        return {
            "label": names_column(np.arange(num_rows), labels, num_rows, names),
            "prediction": names_column(rows, scores >= self.thresholds, num_rows, names),
            "scores": list_column(rows, scores, num_rows),
        }

    def answer(self, scores: Tensor, most: int) -> list[tuple[str, float]]:
        """The classes that reach their thresholds, however many, with their probabilities."""
        values = scores.cpu().numpy()
        found = [index for index in np.argsort(-values) if values[index] >= self.thresholds[index]]
        return [(self.targets.classes[index], float(values[index])) for index in found]

    def _scores_of(self, table: ScoreTable) -> np.ndarray:
        """``(V, K)``, also where no video has any."""
        return table.scores.reshape(len(table.rows), len(self.targets.classes))
