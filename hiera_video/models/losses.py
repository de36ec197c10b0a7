"""The loss that a classifier gives when it is called with labels, as documented for classifiers of
``transformers``.

Training does not use it: its tasks compute their own losses from logits (:mod:`hiera_video.tasks`).

Axes: B batch, K labels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hiera_video.errors import ConfigError
from hiera_video.models.config import HieraConfig
from hiera_video.models.config_labels import ProblemType


def classification_loss(config: HieraConfig, logits: Tensor, labels: Tensor) -> Tensor:
    """The loss of ``logits`` ``(B, K)`` that ``config.problem_type`` names.

    - ``regression``: mean squared error; labels ``(B,)`` or ``(B, 1)`` for ``num_labels=1``,
      otherwise ``(B, K)``.
    - ``single_label_classification``: cross entropy; class indices ``(B,)``, or, beyond what is
      documented, soft targets ``(B, K)``, which are floats.
    - ``multi_label_classification``: binary cross entropy; labels ``(B, K)`` of 0 and 1, or between
      them.

    With None, ``num_labels=1`` means regression; otherwise integers are single labels, and floats
    multiple ones. It is deduced anew for each call: ``transformers`` keeps what it deduced first.

    Raises:
        ConfigError: if there are no classes, or the labels do not have the shape wanted.
    """
    if config.num_labels == 0:
        raise ConfigError("labels: the model has num_labels=0, no classifier")
    problem = config.problem_type or _deduced(config.num_labels, labels)
    labels = labels.to(logits.device)
    if problem == "regression" and config.num_labels == 1:
        targets = labels.flatten() if labels.shape[1:] in ((), (1,)) else labels
        return F.mse_loss(logits.flatten(), _like(logits.flatten(), targets, problem))
    if problem == "regression":
        return F.mse_loss(logits, _like(logits, labels, problem))
    if problem == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(logits, _like(logits, labels, problem))
    if labels.is_floating_point():
        return F.cross_entropy(logits, _like(logits, labels, problem))
    if labels.numel() != len(logits):
        raise ConfigError(
            f"labels has shape {tuple(labels.shape)}, wanted {(len(logits),)}, a class index per "
            "sample; several labels of a sample need problem_type=multi_label_classification"
        )
    return F.cross_entropy(logits, labels.flatten().long())


def _deduced(num_labels: int, labels: Tensor) -> ProblemType:
    if num_labels == 1:
        return "regression"
    if labels.is_floating_point() or labels.dtype == torch.bool:
        return "multi_label_classification"
    return "single_label_classification"


def _like(logits: Tensor, labels: Tensor, problem: ProblemType) -> Tensor:
    """Labels of the type of ``logits``; their shapes must be the same: nothing is broadcast."""
    if labels.shape != logits.shape:
        raise ConfigError(
            f"labels has shape {tuple(labels.shape)}, wanted {tuple(logits.shape)} for {problem}"
        )
    return labels.to(logits.dtype)
