"""Parameter groups and the learning rate."""

from __future__ import annotations

import pytest

from hiera_video import create_model
from hiera_video.config import OptimizerSettings
from hiera_video.training.optim import learning_rate, make_optimizer


def test_biases_norms_and_positions_do_not_decay() -> None:
    model = create_model("hiera_base_16x224", embed_dim=8, depths=[1, 1, 1, 1])
    optimizer = make_optimizer(model, OptimizerSettings(weight_decay=0.1))
    decay = {
        id(parameter): group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert len(decay) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        exempt = name.endswith("bias") or "norm" in name or "position_embedding" in name
        assert decay[id(parameter)] == (0.0 if exempt else 0.1), name


def test_rate_warms_up_then_follows_a_cosine() -> None:
    settings = OptimizerSettings(lr=1.0, min_lr=0.1, warmup_epochs=2)
    rates = {epoch: learning_rate(settings, epoch, 10) for epoch in (0, 0.5, 1, 2, 6, 10)}
    assert rates == pytest.approx({0: 0.0, 0.5: 0.25, 1: 0.5, 2: 1.0, 6: 0.55, 10: 0.1})


def test_rate_without_warm_up_starts_at_the_top() -> None:
    assert learning_rate(OptimizerSettings(lr=3e-4), 0, 10) == 3e-4
