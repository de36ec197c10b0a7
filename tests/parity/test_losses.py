"""Losses of classifiers against those of ``transformers``, for every ``problem_type``."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor

from hiera_video import HieraConfig, HieraForVideoClassification
from hiera_video.errors import ConfigError
from hiera_video.models.losses import classification_loss
from tests.models.small import VIDEO, clips
from tests.parity.compare import assert_equal

PROBLEMS = (None, "regression", "single_label_classification", "multi_label_classification")
LOGITS = {
    count: torch.randn(4, count, generator=torch.Generator().manual_seed(1)) for count in (1, 3)
}
INDICES = torch.tensor([2, 0, 1, 1])
FLOATS = torch.tensor([[0.0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]])


def ours(problem: str | None, num_labels: int, labels: Tensor) -> Tensor:
    config = HieraConfig(num_labels=num_labels, problem_type=problem)
    return classification_loss(config, LOGITS[num_labels], labels)


def theirs(problem: str | None, num_labels: int, labels: Tensor) -> Tensor:
    """What their classifier does with its logits and labels."""
    values: dict[str, Any] = {"num_labels": num_labels, "problem_type": problem, "embed_dim": 8}
    values |= {"image_size": [32, 32], "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1]}
    model = transformers.HieraForImageClassification(transformers.HieraConfig(**values))
    return model.loss_function(labels, LOGITS[num_labels], model.config)


@pytest.mark.parametrize(
    ("problem", "num_labels", "labels"),
    [
        ("regression", 1, torch.tensor([0.3, -2, 1, 0])),
        ("regression", 1, torch.tensor([[0.3], [-2], [1], [0]])),
        ("regression", 3, FLOATS * 1.5),
        ("single_label_classification", 3, INDICES),
        ("single_label_classification", 3, INDICES[:, None]),
        ("multi_label_classification", 3, FLOATS),
        ("multi_label_classification", 1, FLOATS[:, :1]),
        (None, 1, torch.tensor([0.3, -2, 1, 0])),
        (None, 3, INDICES),
        (None, 3, FLOATS),
    ],
)
def test_losses(problem: str | None, num_labels: int, labels: Tensor) -> None:
    assert_equal(ours(problem, num_labels, labels), theirs(problem, num_labels, labels))


def test_labels_of_every_type_are_compared() -> None:
    """Integers of other widths, which their cross entropy does not take, and truth values."""
    assert torch.equal(ours(None, 3, INDICES.to(torch.uint8)), ours(None, 3, INDICES))
    assert torch.equal(ours(None, 3, FLOATS.bool()), ours(None, 3, FLOATS))
    whole = torch.tensor([1, 3, 0, 2])
    assert torch.equal(ours(None, 1, whole), ours(None, 1, whole.float()))
    of_two = ours("multi_label_classification", 3, FLOATS.long())
    assert torch.equal(of_two, ours(None, 3, FLOATS))


def test_soft_targets_are_for_single_labels() -> None:
    """Beyond what is documented: theirs refuses them."""
    soft = torch.softmax(FLOATS, 1)
    expected = F.cross_entropy(LOGITS[3], soft)
    assert torch.equal(ours("single_label_classification", 3, soft), expected)
    hard = F.one_hot(INDICES, 3).float()
    assert_equal(ours("single_label_classification", 3, hard), ours(None, 3, INDICES))
    with pytest.raises(ValueError, match="batch_size"):
        theirs("single_label_classification", 3, soft)


def test_what_is_deduced_is_not_kept() -> None:
    """Theirs writes into its configuration what the first labels were."""
    config = HieraConfig(num_labels=3)
    first = classification_loss(config, LOGITS[3], INDICES)
    assert_equal(classification_loss(config, LOGITS[3], FLOATS), theirs(None, 3, FLOATS))
    assert torch.equal(classification_loss(config, LOGITS[3], INDICES), first)
    assert config.problem_type is None


@pytest.mark.parametrize(
    ("problem", "num_labels", "labels", "message"),
    [
        (None, 3, FLOATS[:, :2], r"shape \(4, 2\), wanted \(4, 3\) for multi_label_classification"),
        (None, 3, FLOATS.long(), r"shape \(4, 3\), wanted \(4,\), a class index per sample; sev"),
        ("regression", 3, FLOATS[:, 0], r"shape \(4,\), wanted \(4, 3\) for regression"),
        ("regression", 1, FLOATS, r"shape \(4, 3\), wanted \(4,\) for regression"),
        ("single_label_classification", 3, INDICES[:3], r"shape \(3,\), wanted \(4,\), a class"),
        ("single_label_classification", 3, FLOATS[0], r"shape \(3,\), wanted \(4, 3\) for single"),
    ],
)
def test_labels_that_do_not_fit(
    problem: str | None, num_labels: int, labels: Tensor, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        ours(problem, num_labels, labels)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_classifiers_give_it(problem: str | None) -> None:
    config = HieraConfig(**VIDEO, num_labels=3, problem_type=problem)
    model: Any = HieraForVideoClassification(config).eval()
    labels = INDICES[:2] if problem in (None, "single_label_classification") else FLOATS[:2]
    output: Any = model(clips(), labels=labels)
    assert torch.equal(output.loss, classification_loss(config, output.logits, labels))
    output.loss.backward()
    assert model.classifier.weight.grad.abs().sum() > 0
