"""What a run says before it starts, in figures that recipes are compared by."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import torch
from accelerate import Accelerator

from hiera_video.data.class_labels import ClassLabels
from hiera_video.data.loader import TrainingOrder
from hiera_video.labels import describe_order
from hiera_video.training.build import Part
from hiera_video.training.loop import clips_per_step
from hiera_video.training.optim import scale_to_batch
from hiera_video.training.saving import TrainingState
from hiera_video.training.settings import TrainingRun


def introduce(
    part: Part,
    images: Part | None,
    state: TrainingState,
    order: TrainingOrder,
    changed: Sequence[str],
    memory: str,
    accelerator: Accelerator,
) -> None:
    """Print, in the main process, what is about to happen; ``changed`` are settings that a run
    goes on with otherwise than it began, ``memory`` is what a step needs."""
    run = part.run
    clip, view, whole = (
        ("image", "view", "image") if run.clip.is_image else ("clip", "clip", "video")
    )
    parameters = sum(parameter.numel() for parameter in state.model.parameters())
    effective = clips_per_step(run, accelerator)
    processes = _count(accelerator.num_processes, "process")
    lines = [f"model      {run.model.name}, {parameters / 1e6:.2f} M parameters"]
    if run.init_from is not None:
        origin = ", of images, inflated to clips" if part.model.inflated else ""
        lines.append(f"weights    {run.init_from}{origin}")
        if not state.progress.step:  # later, a run goes on from its own
            notes = [*part.start, *(images.start if images else ())]
            lines += [f"           {note}" for note in notes]
    lines.append(f"data       {_describe(part)}")
    lines += _describe_labels(part)
    if images is not None:
        batches = accelerator.num_processes * run.train.accumulate_steps
        lines.append(
            f"images     {_describe(images)}; {images.run.train.batch_size} with each of the "
            f"{batches} batches of a step"
        )
        lines += _describe_labels(images)
    left = run.train.epochs - state.progress.epochs
    num_passes = state.progress.passes + max(left, 0) // run.train.repeated_sampling
    lines += [
        f"step       {_count(effective, clip)}: {run.train.batch_size} x {processes} x "
        f"{run.train.accumulate_steps} accumulated",
        f"epochs     {run.train.epochs}: {_count(num_passes, 'pass')} of "
        f"{_count(order.steps_per_epoch, 'step')}, "
        f"{_count(run.train.repeated_sampling, view)} per {whole} and pass",
        *_describe_rates(run, state.optimizer, effective),
        f"device     {accelerator.device}, {run.precision}",
        f"memory     {memory}",
    ]
    if state.progress.step:
        lines += [f"changed    {setting}" for setting in changed]
        lines.append(f"resuming from step {state.progress.step}")
    accelerator.print("\n".join(lines))


def _count(number: int, noun: str) -> str:
    """``1 pass``, ``2 passes``, ``1 step``, ``2 steps``."""
    plural = "es" if noun.endswith("s") else "s"
    return f"{number} {noun}{'' if number == 1 else plural}"


def _describe(part: Part) -> str:
    """How many files of how many classes there are."""
    kind = "images" if part.run.clip.is_image else "videos"
    encoder = part.manifest.targets
    classes = f", {len(encoder.classes)} classes" if isinstance(encoder, ClassLabels) else ""
    return f"{len(part.manifest)} {kind}{classes}"


def _describe_labels(part: Part) -> list[str]:
    """Which label is which index, where nobody said it; labels that may be meant to be one."""
    labels = part.manifest.targets
    if not isinstance(labels, ClassLabels):
        return []
    lines = [f"classes    {describe_order(labels.classes)}"] if labels.order_is_assumed else []
    return lines + [f"warning    {warning}" for warning in labels.warnings]


def _describe_rates(
    run: TrainingRun, optimizer: torch.optim.Optimizer, clips_per_step: int
) -> list[str]:
    """The highest rate of each parameter group."""
    highest = scale_to_batch(run.optimizer, clips_per_step).lr
    groups = optimizer.param_groups
    tensors = sum(len(group["params"]) for group in groups)
    decayed = sum(len(group["params"]) for group in groups if group["weight_decay"])
    lines = [
        f"rate       {highest:.3g} ({run.optimizer.name}), weight decay "
        f"{run.optimizer.weight_decay:g} on {decayed} of {tensors} tensors"
    ]
    rates = [f"{highest * scale:.2g}" for scale in sorted({group["lr_scale"] for group in groups})]
    if len(rates) > 1:
        text = f"embeddings {rates[0]}, blocks {' '.join(rates[1:-1])}, head {rates[-1]}"
        lines += textwrap.wrap(text, 100, initial_indent="layers     ", subsequent_indent=" " * 11)
    return lines
