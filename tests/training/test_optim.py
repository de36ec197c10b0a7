"""Parameter groups and the learning rate."""

from __future__ import annotations

import pytest
import torch

from hiera_video import HieraForJointTraining, create_model
from hiera_video.config.groups import OptimizerSettings
from hiera_video.training.optim import (
    learning_rate,
    make_optimizer,
    scale_to_batch,
    set_learning_rate,
)


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


def test_layer_decay_lowers_the_rate_towards_the_pixels() -> None:
    model = create_model("hiera_base_16x224", embed_dim=8, depths=[1, 2, 1, 1])
    optimizer = make_optimizer(model, OptimizerSettings(layer_decay=0.5))
    set_learning_rate(optimizer, 1.0)
    rates = {
        id(parameter): group["lr"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    by_name = {name: rates[id(parameter)] for name, parameter in model.named_parameters()}
    assert by_name["classifier.weight"] == by_name["hiera.norm.bias"] == 1.0
    stages = [f"hiera.encoder.stages.{place}.norm1.bias" for place in ("3.0", "2.0", "1.1", "1.0")]
    assert [by_name[name] for name in stages] == [0.5, 0.25, 0.125, 0.0625]
    assert by_name["hiera.patch_embedding.projection.weight"] == 0.5**6
    assert by_name["hiera.position_embedding.spatial"] == 0.5**6


def test_layer_decay_counts_alike_for_images_and_clips_of_joint_training() -> None:
    models = [
        create_model(name, embed_dim=8, depths=[1, 2, 1, 1])
        for name in ("hiera_base_224", "hiera_base_16x224")
    ]
    joint = HieraForJointTraining(*models)
    optimizer = make_optimizer(joint, OptimizerSettings(layer_decay=0.5))
    rates = {id(p): group["lr_scale"] for group in optimizer.param_groups for p in group["params"]}
    assert len(rates) == len(list(joint.parameters()))
    for part in ("images", "clips"):
        names = (
            "classifier",
            "hiera.encoder.stages.3.0.mlp.fc1",
            "hiera.patch_embedding.projection",
        )
        parameters = [joint.get_parameter(f"{part}.{name}.bias") for name in names]
        assert [rates[id(parameter)] for parameter in parameters] == [1.0, 0.5, 0.5**6]


def test_sgd_by_name() -> None:
    model = create_model("hiera_base_16x224", embed_dim=8, depths=[1, 1, 1, 1])
    optimizer = make_optimizer(model, OptimizerSettings(name="sgd", momentum=0.8))
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.param_groups[0]["momentum"] == 0.8
    assert optimizer.param_groups[0]["nesterov"]
    plain = make_optimizer(model, OptimizerSettings(name="sgd", momentum=0))
    assert not plain.param_groups[0]["nesterov"]


def test_rates_scale_with_the_clips_of_a_step() -> None:
    settings = OptimizerSettings(lr=8e-4, min_lr=1e-6, lr_batch_size=256)
    scaled = scale_to_batch(settings, 64)
    assert (scaled.lr, scaled.min_lr) == pytest.approx((2e-4, 2.5e-7))
    assert scale_to_batch(OptimizerSettings(lr=8e-4), 64).lr == 8e-4


def test_rate_warms_up_then_follows_a_cosine() -> None:
    settings = OptimizerSettings(lr=1.0, min_lr=0.1, warmup_epochs=2)
    rates = {epoch: learning_rate(settings, epoch, 10) for epoch in (0, 0.5, 1, 2, 6, 10)}
    assert rates == pytest.approx({0: 0.0, 0.5: 0.25, 1: 0.5, 2: 1.0, 6: 0.55, 10: 0.1})


def test_rate_without_warm_up_starts_at_the_top() -> None:
    assert learning_rate(OptimizerSettings(lr=3e-4), 0, 10) == 3e-4
