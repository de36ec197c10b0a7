"""Accuracies over all videos of a manifest, by torchmetrics.

A video that could not be decoded counts as wrong: leaving it out would flatter the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torchmetrics.classification import MulticlassAccuracy

from hiera_video.data.manifest import Manifest
from hiera_video.evaluation.views import VideoScores


def compute_metrics(manifest: Manifest, videos: Sequence[VideoScores]) -> dict[str, Any]:
    """``top1``, ``top5``, ``num_videos``, ``num_failed``, per-class accuracies, failed videos.

    Classes without a video have no accuracy (None). With fewer than five classes, ``top5`` counts
    the first K.
    """
    num_classes = len(manifest.classes)
    labels = torch.tensor([manifest[video.row].label for video in videos])
    decoded = torch.tensor([video.scores is not None for video in videos])
    total = torch.bincount(labels, minlength=num_classes)
    counted = torch.bincount(labels[decoded], minlength=num_classes)
    share = decoded.float().mean().item()
    top1 = top5 = 0.0
    per_class = torch.zeros(num_classes)
    if share:
        scores = torch.tensor([video.scores for video in videos if video.scores is not None])
        top1 = _accuracy(scores, labels[decoded], 1, "micro").item() * share
        top5 = _accuracy(scores, labels[decoded], min(5, num_classes), "micro").item() * share
        per_class = _accuracy(scores, labels[decoded], 1, "none") * counted / total.clamp(min=1)
    return {
        # Rounded, since torchmetrics counts in single precision.
        "top1": round(top1, 6),
        "top5": round(top5, 6),
        "num_videos": len(videos),
        "num_failed": int((~decoded).sum()),
        "per_class": {
            name: round(per_class[index].item(), 6) if total[index] else None
            for index, name in enumerate(manifest.classes)
        },
        "failed": [
            {"path": manifest[video.row].path, "reason": video.reason}
            for video in videos
            if video.scores is None
        ],
    }


def _accuracy(scores: torch.Tensor, labels: torch.Tensor, top_k: int, average: str) -> torch.Tensor:
    num_classes = scores.shape[1]
    if num_classes == 1:  # torchmetrics wants two classes at least; one is always right
        return torch.ones(()) if average == "micro" else torch.ones(1)
    metric = MulticlassAccuracy(num_classes, top_k=top_k, average=average)  # type: ignore[arg-type]
    return metric(scores, labels)
