"""The summary that a run prints before it starts: figures that recipes are compared by."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator

from hiera_video.config.groups import OptimizerSettings
from hiera_video.data.class_labels import LabelEncoder
from hiera_video.data.loader import TrainingOrder
from hiera_video.data.target_numbers import TargetNumbers
from hiera_video.labels import describe_order
from hiera_video.training.learning import Side
from hiera_video.training.optim import clips_per_step, scale_to_batch
from hiera_video.training.saving import TrainingState


@dataclass(frozen=True)
class RunFacts:
    """Facts of a run that its sides do not know.

    ``memory`` describes the memory that a step needs; ``changed`` lists settings that differ from
    those the run was started with.
    """

    model_name: str
    init_from: str | None
    optimizer: OptimizerSettings
    precision: str
    memory: str
    changed: Sequence[str]


def print_summary(
    facts: RunFacts,
    sides: Sequence[Side],
    state: TrainingState,
    order: TrainingOrder,
    accelerator: Accelerator,
) -> None:
    """Print the summary, in the main process."""
    clips, *images = sides
    train = clips.train
    clip, view, whole = (
        ("image", "view", "image") if clips.clip.is_image else ("clip", "clip", "video")
    )
    parameters = sum(parameter.numel() for parameter in state.model.parameters())
    effective = clips_per_step(train, accelerator)
    processes = _count(accelerator.num_processes, "process")
    lines = [f"model      {facts.model_name}, {parameters / 1e6:.2f} M parameters"]
    if facts.init_from is not None:
        origin = ", of images, inflated to clips" if clips.model.inflated else ""
        lines.append(f"weights    {facts.init_from}{origin}")
        lines += [f"           {note}" for side in sides for note in side.notes]
    lines.append(f"data       {_describe(clips)}")
    lines += _describe_labels(clips)
    if clips.balance is not None:
        lines.append(f"sampler    {clips.balance.describe()}")
    for side in images:
        batches = accelerator.num_processes * train.accumulate_steps
        lines.append(
            f"images     {_describe(side)}; {side.train.batch_size} with each of the "
            f"{batches} batches of a step"
        )
        lines += _describe_labels(side)
    left = train.epochs - state.progress.epochs
    num_passes = state.progress.passes + max(left, 0) // train.repeated_sampling
    lines += [
        f"step       {_count(effective, clip)}: {train.batch_size} x {processes} x "
        f"{train.accumulate_steps} accumulated",
        f"epochs     {train.epochs}: {_count(num_passes, 'pass')} of "
        f"{_count(order.steps_per_epoch, 'step')}, "
        f"{_count(train.repeated_sampling, view)} per {whole} and pass",
        *_describe_rates(facts.optimizer, state.optimizer, effective),
        f"device     {accelerator.device}, {facts.precision}",
        f"memory     {facts.memory}",
    ]
    if state.progress.step:
        lines += [f"changed    {setting}" for setting in facts.changed]
        lines.append(f"resuming from step {state.progress.step}")
    accelerator.print("\n".join(lines))


def _count(number: int, noun: str) -> str:
    """``1 pass``, ``2 passes``, ``1 step``, ``2 steps``."""
    plural = "es" if noun.endswith("s") else "s"
    return f"{number} {noun}{'' if number == 1 else plural}"


def _describe(side: Side) -> str:
    """The number of files, and of classes or targets."""
    kind = "images" if side.clip.is_image else "videos"
    targets = side.manifest.targets
    classes = f", {len(targets.classes)} classes" if isinstance(targets, LabelEncoder) else ""
    if isinstance(targets, TargetNumbers):
        classes = f", {_count(len(targets.columns), 'target')}"
    return f"{len(side.manifest)} {kind}{classes}"


def _describe_labels(side: Side) -> list[str]:
    """The order of the classes, if nobody gave it, and warnings about similar labels; of numbers,
    what they are normalised by."""
    targets = side.manifest.targets
    if isinstance(targets, TargetNumbers) and targets.statistics is not None:
        known = targets.statistics
        named = zip(targets.columns, known.mean, known.deviation, strict=True)
        return [
            f"target     {name}: mean {mean:.6g}, deviation {deviation:.6g}"
            for name, mean, deviation in named
        ]
    if not isinstance(targets, LabelEncoder):
        return []
    lines = [f"classes    {describe_order(targets.classes)}"] if targets.order_is_assumed else []
    return lines + [f"warning    {warning}" for warning in targets.warnings]


def _describe_rates(
    settings: OptimizerSettings, optimizer: torch.optim.Optimizer, clips_per_step: int
) -> list[str]:
    """The peak learning rate of each parameter group."""
    highest = scale_to_batch(settings, clips_per_step).lr
    groups = optimizer.param_groups
    tensors = sum(len(group["params"]) for group in groups)
    decayed = sum(len(group["params"]) for group in groups if group["weight_decay"])
    lines = [
        f"rate       {highest:.3g} ({settings.name}), weight decay "
        f"{settings.weight_decay:g} on {decayed} of {tensors} tensors"
    ]
    rates = [f"{highest * scale:.2g}" for scale in sorted({group["lr_scale"] for group in groups})]
    if len(rates) > 1:
        text = f"embeddings {rates[0]}, blocks {' '.join(rates[1:-1])}, head {rates[-1]}"
        lines += textwrap.wrap(text, 100, initial_indent="layers     ", subsequent_indent=" " * 11)
    return lines
