"""Accuracies over all videos of a manifest, by torchmetrics.

A video that could not be decoded counts as wrong: leaving it out would flatter the model.
Axes: V videos, K classes.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
import torch.nn.functional as F
from accelerate.utils import gather_object
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from hiera_video.batch import Failure
from hiera_video.data.manifest import Manifest
from hiera_video.evaluation.views import VideoScores, class_labels


class VideoAccuracies:
    """Accuracies of a manifest's videos, counted batch by batch in each process.

    No scores are kept. Classes without a video have no accuracy (None). With fewer than five
    classes, ``top5`` counts the first K.
    """

    def __init__(self, manifest: Manifest, device: torch.device) -> None:
        self.manifest = manifest
        self.failures: list[Failure] = []
        num_classes = len(class_labels(manifest).classes)
        self._width = width = max(num_classes, 2)  # torchmetrics wants two classes at least
        top_k = min(5, num_classes)
        self._accuracies = MetricCollection(
            {
                "top1": MulticlassAccuracy(width, average="micro", validate_args=False),
                "top5": MulticlassAccuracy(width, top_k, average="micro", validate_args=False),
                "per_class": MulticlassAccuracy(width, average="none", validate_args=False),
            },
            # Found from the first batch: processes without one would not find the same.
            compute_groups=False,
        ).to(device)

    def update(self, videos: VideoScores) -> None:
        """Count a batch of videos."""
        self.failures += videos.failures
        if len(videos.rows):
            scores = F.pad(videos.scores, (0, self._width - videos.scores.shape[1]))
            self._accuracies.update(scores, videos.labels.to(scores.device))

    def compute(self) -> dict[str, Any]:
        """``top1``, ``top5``, ``num_videos``, ``num_failed``, per-class accuracies, failed videos.

        They are the same in every process. Each row must have been counted in one of them.
        """
        classes = class_labels(self.manifest).classes
        failures = sorted(gather_object(self.failures), key=lambda failure: failure.row)
        labels = torch.tensor(self.manifest.column("labels"))
        total = torch.bincount(labels, minlength=len(classes))
        failed = labels[[failure.row for failure in failures]]
        decoded = total - torch.bincount(failed, minlength=len(classes))
        share = (decoded.sum() / total.sum()).item()
        top1 = top5 = 0.0
        per_class = torch.zeros(len(classes))
        if share:
            accuracies = {name: value.cpu() for name, value in self._accuracies.compute().items()}
            top1, top5 = (accuracies[name].item() * share for name in ("top1", "top5"))
            per_class = accuracies["per_class"][: len(classes)] * decoded / total.clamp(min=1)
        return {
            # Rounded, since torchmetrics counts in single precision.
            "top1": round(top1, 6),
            "top5": round(top5, 6),
            "num_videos": len(labels),
            "num_failed": len(failures),
            "per_class": {
                name: round(per_class[index].item(), 6) if total[index] else None
                for index, name in enumerate(classes)
            },
            "failed": [
                {"path": self.manifest[failure.row].path, "reason": failure.reason}
                for failure in failures
            ],
        }


def doubts(metrics: dict[str, Any], manifest: Manifest) -> list[str]:
    """What speaks against taking ``metrics`` of a manifest's videos at their word, in sentences."""
    if metrics["num_failed"] == metrics["num_videos"]:
        return [
            f"none of {metrics['num_videos']} videos could be read, and each counts as wrong: the "
            "accuracies say nothing about the model"
        ]
    found = []
    total = Counter(manifest.column("labels"))
    if len(total) == 1:
        (label,) = total
        found.append(
            f"all videos are of one class, {class_labels(manifest).classes[label]!r}: their "
            "accuracy does not say whether the model tells it from others"
        )
    # Of a video with several segments, all have to fail.
    failed = Counter(video["path"] for video in metrics["failed"])
    failed.subtract(Counter(manifest.paths))
    read = Counter(
        label
        for path, label in zip(manifest.paths, manifest.column("labels"), strict=True)
        if failed[path] < 0
    )
    lost = [class_labels(manifest).classes[label] for label in sorted(total) if not read[label]]
    if lost:
        others = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
        found.append(
            f"no video of {', '.join(map(repr, lost[:5]))}{others} could be read, and each counts "
            "as wrong: the accuracy of 0 says nothing about the model"
        )
    return found
