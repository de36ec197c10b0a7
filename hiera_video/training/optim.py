"""Optimizer, parameter groups, and the learning rate as a function of the epoch."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from hiera_video.config.groups import LoopSettings, OptimizerSettings


def layer_indices(names: Sequence[str]) -> dict[str, int]:
    """The layer that each parameter belongs to, by name.

    0 for the encoder's embeddings, then one per encoder block, then one more for what comes after.
    """
    blocks = {
        name: (int(match[1]), int(match[2]))
        for name in names
        if (match := re.search(r"encoder\.stages\.(\d+)\.(\d+)\.", name))
    }
    number = {block: index for index, block in enumerate(sorted(set(blocks.values())))}
    layers = {}
    for name in names:
        embeds = re.search(r"(patch|position)_embedding", name) and "decoder" not in name
        layers[name] = 0 if embeds else 1 + len(number)
        if name in blocks:
            layers[name] = 1 + number[blocks[name]]
    return layers


def parameter_groups(model: nn.Module, settings: OptimizerSettings) -> list[dict[str, Any]]:
    """Parameters that share weight decay and learning rate.

    Biases, norms and position embeddings do not decay. ``layer_decay`` is the learning rate of a
    layer divided by that of the next layer (BEiT; used by the paper's fine-tuning recipes).
    ``lr_scale`` of a group is its learning rate relative to the schedule's.
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    layers = layer_indices(list(named))
    last = max(layers.values())
    members: dict[tuple[int, bool], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in named.items():
        decays = parameter.ndim > 1 and "position_embedding" not in name
        # Without layer decay all layers are alike: two groups keep the optimizer fast.
        layer = layers[name] if settings.layer_decay < 1 else last
        members[layer, decays].append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": settings.weight_decay if decays else 0.0,
            "lr_scale": settings.layer_decay ** (last - layer),
        }
        for (layer, decays), parameters in sorted(members.items(), key=lambda item: item[0])
    ]


def make_optimizer(model: nn.Module, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """AdamW or SGD over :func:`parameter_groups`; fused: all parameters of a group in one call."""
    groups = parameter_groups(model, settings)
    if settings.name == "sgd":
        momentum = settings.momentum
        return torch.optim.SGD(
            groups, lr=settings.lr, momentum=momentum, nesterov=momentum > 0, fused=True
        )
    return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, fused=True)


def scale_to_batch(settings: OptimizerSettings, clips_per_step: int) -> OptimizerSettings:
    """The settings with learning rates scaled linearly to ``clips_per_step`` (paper, App. A)."""
    if settings.lr_batch_size is None:
        return settings
    factor = clips_per_step / settings.lr_batch_size
    rates = {"lr": settings.lr * factor, "min_lr": settings.min_lr * factor}
    return settings.model_copy(update={**rates, "lr_batch_size": clips_per_step})


def learning_rate(settings: OptimizerSettings, epoch: float, num_epochs: int) -> float:
    """The learning rate at a (fractional) epoch: linear warm-up from 0, then cosine to ``min_lr``.

    A function of the epoch alone, so that nothing has to be saved to resume.
    """
    if epoch < settings.warmup_epochs:
        return settings.lr * epoch / settings.warmup_epochs
    progress = (epoch - settings.warmup_epochs) / max(num_epochs - settings.warmup_epochs, 1e-9)
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return settings.min_lr + (settings.lr - settings.min_lr) * cosine


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set each parameter group's learning rate to ``rate`` times its ``lr_scale``."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]


def clips_per_step(train: LoopSettings, accelerator: Accelerator) -> int:
    """Clips that go into one optimizer step, over all processes and accumulated batches."""
    return train.batch_size * accelerator.num_processes * train.accumulate_steps
