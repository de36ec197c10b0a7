"""Videos that have one label each: cross entropy on mixed clips, and accuracies of whole videos.

Axes: B clips, V videos, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiera_video.config.clip_groups import ClipSettings
from hiera_video.data.class_labels import ClassLabels
from hiera_video.data.manifest import Manifest
from hiera_video.metrics.classification import classification_figures
from hiera_video.tasks.columns import list_column, name_column
from hiera_video.tasks.criteria import criterion
from hiera_video.tasks.mixing import Mixing
from hiera_video.tasks.task import ScoreTable, Shown, Task

_MOST_NAMED = 5


class SingleLabel(Task):
    """Classification of videos that have exactly one of K labels.

    Args:
        classes: names in index order; None takes those of the manifest.
        clip: what a clip is.
        batch_size: clips of a whole batch.
        label_smoothing: share of each target that all classes divide among them.
        mixing: mixes each batch of clips, and their targets; None leaves them as they are.
        class_weights: of the loss of a clip, by its class ``(K,)``; None weighs all alike.
    """

    logged = ("loss", "accuracy")
    best_by = criterion("single_label")
    shown = {  # noqa: RUF012 (replaced, never changed)
        "top1": Shown("top-1", in_percent=True),
        "top5": Shown("top-5", in_percent=True),
        "balanced_accuracy": Shown("balanced accuracy", in_percent=True),
        "macro_f1": Shown("macro F1", in_percent=True),
        "per_class": Shown("Accuracy per class", in_percent=True),
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
        self._targets = ClassLabels(classes)
        self.label_smoothing = label_smoothing
        self.mixing = mixing
        self.class_weights = class_weights

    @property
    def targets(self) -> ClassLabels:
        """Class indices, ``labels``."""
        return self._targets

    def losses(
        self, model: nn.Module, pixel_values: Tensor, targets: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Cross entropy, and the share of clips whose largest logit is that of their label."""
        labels = targets["labels"]
        if self.mixing is not None:
            pixel_values, labels = self.mixing(pixel_values, labels)
        logits = model(pixel_values).logits.float()
        indices = labels if labels.ndim == 1 else labels.argmax(1)
        return {
            "loss": self._cross_entropy(logits, labels),
            "accuracy": (logits.argmax(1) == indices).float().mean(),
        }

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean over clips with ``labels`` ``(B,)``, or ``(B, K)`` shares of them.

        A weight is that of a clip's own class, smoothed label and all. ``F.cross_entropy`` would
        weigh the share that smoothing gives to each other class by the weight of that class, and
        divide by the sum of the weights: batches of frequent classes would count as much as those
        of rare ones.
        """
        if self.class_weights is None:
            return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        self.class_weights = self.class_weights.to(logits.device)
        if labels.ndim == 1:
            labels = F.one_hot(labels.long(), logits.shape[1])
        cost = -logits.log_softmax(1)
        smoothed = cost + self.label_smoothing * (cost.mean(1, keepdim=True) - cost)
        return (labels * self.class_weights * smoothed).sum(1).mean()

    def scores(self, logits: Tensor) -> Tensor:
        """Probabilities of the classes."""
        return logits.float().softmax(-1)

    def figures(self, table: ScoreTable) -> dict[str, Any]:
        """See :func:`classification_figures`."""
        labels = _labels(table.manifest)
        failed = [failure.row for failure in table.failures]
        return classification_figures(
            torch.from_numpy(self._scores_of(table)),
            torch.from_numpy(labels[table.rows]),
            torch.from_numpy(labels[failed]),
            self.targets.classes,
        )

    def doubts(self, table: ScoreTable) -> list[str]:
        """Reasons why accuracies say little: a single class, or classes without readable videos."""
        if not len(table.rows):
            return [
                f"none of {len(table.manifest)} videos could be read, and each counts as wrong: "
                "the accuracies say nothing about the model"
            ]
        classes, found = self.targets.classes, []
        labels = _labels(table.manifest)
        present = np.unique(labels)
        if len(present) == 1:
            found.append(
                f"all videos are of one class, {classes[present[0]]!r}: their accuracy does not "
                "say whether the model tells it from others"
            )
        lost = [classes[label] for label in np.setdiff1d(present, labels[table.rows])]
        if lost:
            named = ", ".join(map(repr, lost[:_MOST_NAMED]))
            others = f" and {len(lost) - _MOST_NAMED} more" if len(lost) > _MOST_NAMED else ""
            found.append(
                f"no video of {named}{others} could be read, and each counts as wrong: the "
                "accuracy of 0 says nothing about the model"
            )
        return found

    def predictions(self, table: ScoreTable) -> dict[str, pa.Array]:
        """``label`` and ``prediction``, names; ``scores``, in the order of the classes."""
        names = pa.array(self.targets.classes, pa.string())
        rows, scores, num_rows = table.rows, self._scores_of(table), len(table.manifest)
        return {
            "label": names.take(pa.array(_labels(table.manifest))),
            "prediction": name_column(rows, scores.argmax(1), num_rows, names),
            "scores": list_column(rows, scores, num_rows),
        }

    def answer(self, scores: Tensor, most: int) -> list[tuple[str, float]]:
        """The most probable classes, with their probabilities."""
        classes = self.targets.classes
        return [(classes[int(index)], value) for index, value in super().answer(scores, most)]

    def _scores_of(self, table: ScoreTable) -> np.ndarray:
        """``(V, K)``, also where no video has any."""
        return table.scores.reshape(len(table.rows), len(self.targets.classes))


def _labels(manifest: Manifest) -> np.ndarray:
    """The class index of each row."""
    return np.array(manifest.column("labels"), np.int64)
