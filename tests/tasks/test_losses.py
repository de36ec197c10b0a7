"""Losses of tasks against values computed one by one: weights, smoothing, mixing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiera_video.config.clip_groups import AugmentSettings, ClipSettings
from hiera_video.data.target_numbers import TargetStatistics
from hiera_video.tasks.class_weights import class_weights, label_counts
from hiera_video.tasks.mixing import Mixing
from hiera_video.tasks.multi_label import MultiLabel
from hiera_video.tasks.regression import Regression
from hiera_video.tasks.single_label import SingleLabel

ABC = ("a", "b", "c")
CLIP = ClipSettings()
WEIGHTS = torch.tensor([0.5, 1.0, 4.0])


class Says(nn.Module):
    """A model whose logits are what it was made with, or the mean of each clip."""

    def __init__(self, logits: Tensor | None = None) -> None:
        super().__init__()
        self.given = logits

    def forward(self, pixel_values: Tensor) -> Any:
        logits = self.given
        if logits is None:
            logits = pixel_values.flatten(1).mean(1, keepdim=True).expand(-1, 3)
        return SimpleNamespace(logits=logits)


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_weights_of_classes_have_a_mean_of_one_over_the_videos() -> None:
    counts = np.array([1000, 100, 20, 0])
    for rule, ratio in (("inverse", 50), ("effective_number", (1 - 0.999**1000) / (1 - 0.999**20))):
        weights = class_weights(counts, rule)  # type: ignore[arg-type]
        assert weights is not None
        assert (weights.numpy() * counts).sum() / counts.sum() == pytest.approx(1)
        assert (weights[2] / weights[0]).item() == pytest.approx(ratio, rel=1e-5)
        assert weights[3] == 1
    assert class_weights(counts, "none") is None


def test_labels_are_counted() -> None:
    assert label_counts(np.array([0, 2, 2]), 4).tolist() == [1, 0, 2, 0]
    sets = np.array([[True, True], [False, True]])
    assert label_counts(sets, 2).tolist() == [1, 2]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_clip_weighs_what_its_class_weighs(smoothing: float) -> None:
    logits, labels = drawn(4, 3), torch.tensor([0, 2, 1, 2])
    task = SingleLabel(ABC, CLIP, 1, smoothing, class_weights=WEIGHTS)
    loss = task.losses(Says(logits), drawn(4, 3, 2, 8, 8), {"labels": labels})["loss"]
    each = F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    assert loss.item() == pytest.approx((WEIGHTS[labels] * each).mean().item(), abs=1e-6)
    plain = SingleLabel(ABC, CLIP, 1, smoothing, class_weights=torch.ones(3))
    unweighted = plain.losses(Says(logits), drawn(4, 3, 2, 8, 8), {"labels": labels})["loss"]
    assert unweighted.item() == pytest.approx(each.mean().item(), abs=1e-6)


def test_the_shares_of_a_mixed_clip_weigh_what_their_classes_weigh() -> None:
    mixing = Mixing(AugmentSettings(mixup_alpha=1.0), 3)
    labels, pixels, logits = torch.tensor([0, 2]), drawn(2, 3, 2, 8, 8), drawn(2, 3)
    torch.manual_seed(1)
    _, shares = mixing(pixels, labels)
    torch.manual_seed(1)
    task = SingleLabel(ABC, CLIP, 1, 0.0, mixing, WEIGHTS)
    loss = task.losses(Says(logits), pixels, {"labels": labels})["loss"]
    assert loss.item() == pytest.approx(
        -(shares * WEIGHTS * logits.log_softmax(1)).sum(1).mean().item(), abs=1e-6
    )


def test_sets_of_labels_are_answers_to_one_question_for_each_class() -> None:
    logits, labels = drawn(4, 3), drawn(4, 3) > 0
    pixels = drawn(4, 3, 2, 8, 8)

    def loss(**options: Any) -> float:
        task = MultiLabel(ABC, CLIP, **options)
        return task.losses(Says(logits), pixels, {"labels": labels})["loss"].item()

    yes, no = -F.logsigmoid(logits), -F.logsigmoid(-logits)
    there = labels.float()
    assert loss() == pytest.approx((there * yes + (1 - there) * no).mean().item(), abs=1e-6)
    smooth = there * 0.9 + 0.05
    assert loss(label_smoothing=0.1) == pytest.approx(
        (smooth * yes + (1 - smooth) * no).mean().item(), abs=1e-6
    )
    assert loss(class_weights=WEIGHTS) == pytest.approx(
        (WEIGHTS * there * yes + (1 - there) * no).mean().item(), abs=1e-6
    )


@pytest.mark.parametrize("kind", ["mixup_alpha", "cutmix_alpha"])
def test_sets_of_labels_are_mixed_by_the_shares_of_their_clips(kind: str) -> None:
    """Each clip is of one brightness, so that its mean tells the share of the other."""
    mixing = Mixing(AugmentSettings(**{kind: 1.0}), 3)
    labels = torch.tensor([[True, True, False], [False, True, False]])
    pixels = torch.stack([torch.ones(3, 2, 32, 32), torch.zeros(3, 2, 32, 32)])
    torch.manual_seed(3)
    mixed, targets = mixing(pixels, labels)
    share = mixed.flatten(1).mean(1)
    assert 0 < share[0] < 1
    assert targets[:, 0].tolist() == pytest.approx(share.tolist(), abs=1e-5)
    assert targets[:, 1].tolist() == pytest.approx([1, 1])
    assert targets[:, 2].tolist() == [0, 0]
    unmixed = Mixing(AugmentSettings(), 3)(pixels, labels)[1]
    assert unmixed.tolist() == labels.float().tolist()


def test_numbers_are_compared_normalised_and_told_in_their_unit() -> None:
    task = Regression(["x", "y", "z"], CLIP, statistics=TargetStatistics((5, 0, 0), (2, 1, 10)))
    logits, wanted = drawn(4, 3), drawn(4, 3).flip(0)
    losses = task.losses(Says(logits), drawn(4, 3, 2, 8, 8), {"normalized": wanted})
    assert losses["loss"].item() == pytest.approx((logits - wanted).square().mean().item())
    errors = (logits - wanted).abs() * torch.tensor([2.0, 1.0, 10.0])
    assert losses["mae"].item() == pytest.approx(errors.mean().item())
    told = task.answer(torch.tensor([1.0, -1.0, 0.5]), most=1)
    assert told == [("x", 7.0), ("y", -1.0), ("z", 5.0)]
