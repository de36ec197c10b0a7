"""The memory that a training step needs, computed from shapes alone, and the memory at hand.

A forward and a backward pass run through the real model on tensors that have shapes and no
content. The most of these that are alive at once is the memory that the device needs in addition to
weights, moments and averages.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from hiera_video import compat
from hiera_video.batch import model_input
from hiera_video.config.groups import LoopSettings, OptimizerSettings
from hiera_video.errors import ConfigError
from hiera_video.models.pretrained import PretrainedModel

logger = logging.getLogger(__name__)

_BYTES_PER_WEIGHT = 4  # whatever the precision: autocast copies weights, and the copies are counted
#: Batches that a loader's worker has ready or at work, as torch's DataLoader has it.
_BATCHES_PER_WORKER = 2
#: What the C library keeps of freed memory, for each byte of a step that is alive; as much again
#: where blocks are recomputed (measured: docs/scaling.md). GPUs use it again.
_KEPT_PER_LIVE_BYTE, _KEPT_WHERE_RECOMPUTED = 0.25, 1.0
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class StepMemory:
    """Bytes that a process needs for a training step.

    ``state``: weights, moments of the optimizer, and the average of weights. ``step``: the peak of
    gradients, clips and intermediate results. On a CPU also ``kept``, memory that is freed and not
    returned to the system, and ``read_ahead``, clips that workers hold ready.
    """

    state: int
    step: int
    kept: int
    read_ahead: int

    def on(self, device: torch.device) -> int:
        """Bytes that the memory of this device must hold."""
        besides = self.kept + self.read_ahead if device.type == "cpu" else 0
        return self.state + self.step + besides


class _LiveBytes:
    """Counts the bytes of tensors, as long as they live; ``peak`` is the most at once.

    ``known`` are tensors that are counted elsewhere.
    """

    def __init__(self, known: Sequence[Tensor]) -> None:
        self.live = self.peak = 0
        self._seen = compat.weak_dictionary()
        for tensor in known:
            self._seen[tensor.untyped_storage()] = 0

    def count(self, tensor: Tensor) -> None:
        """Count a tensor that was just made; a view of a known one adds nothing."""
        storage = tensor.untyped_storage()
        if storage not in self._seen:
            num_bytes = storage.nbytes()
            self._seen[storage] = num_bytes
            self.live += num_bytes
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._forget, num_bytes)

    def _forget(self, num_bytes: int) -> None:
        self.live -= num_bytes


@dataclass(frozen=True)
class StepPlan:
    """A training step: ``batches`` are the shapes ``(B, C, T, H, W)`` of its uint8 clips and, in
    joint training, of its images."""

    batches: Sequence[tuple[int, ...]]
    train: LoopSettings
    optimizer: OptimizerSettings
    precision: str
    num_workers: int


def describe_memory(plan: StepPlan, model: PretrainedModel, accelerator: Accelerator) -> str:
    """The memory that a step needs and the memory at hand, in words.

    Raises:
        ConfigError: under ``train.check_memory``, if the memory does not suffice.
    """
    device = accelerator.device
    needed = estimate_memory(plan, model, accelerator).on(device)
    there = available_memory(device)
    if device.type == "cpu":  # the model is in it already
        there += sum(weight.nbytes for weight in model.parameters())
    check_memory(plan, needed, there, accelerator.is_main_process)
    kind = "memory" if device.type == "cpu" else "GPU memory"
    return f"about {in_bytes(needed)} of {kind} for a step, {in_bytes(there)} here"


def estimate_memory(plan: StepPlan, model: PretrainedModel, accelerator: Accelerator) -> StepMemory:
    """The memory that a step needs in each process.

    Not counted: the memory of PyTorch, of the processes themselves and of their decoders, copies
    of the state while it is saved, validation, and with FSDP the weights that are gathered.
    """
    train, optimizer = plan.train, plan.optimizer
    num_shards = _num_shards(accelerator)
    weights = _BYTES_PER_WEIGHT * sum(weight.numel() for weight in model.parameters()) // num_shards
    moments = {"adamw": 2, "sgd": 1 if optimizer.momentum else 0}[optimizer.name]
    averages = 1 if train.ema_decay is not None else 0
    # Where batches are accumulated, gradients are there before the forward pass; DDP keeps them.
    keeps_gradients = train.accumulate_steps > 1 or accelerator.num_processes > 1
    step = _peak_of_step(
        model.without_weights(),
        plan,
        accelerator.device,
        keeps_gradients=keeps_gradients and num_shards == 1,
    )
    if keeps_gradients and num_shards > 1:
        step += weights
    clips = sum(torch.Size(shape).numel() for shape in plan.batches)
    read_ahead = _BATCHES_PER_WORKER * plan.num_workers * clips
    kept_per_byte = _KEPT_PER_LIVE_BYTE
    if train.gradient_checkpointing:
        kept_per_byte = _KEPT_WHERE_RECOMPUTED
    kept = int(step * kept_per_byte)
    return StepMemory((1 + moments + averages) * weights, step, kept, read_ahead)


def _num_shards(accelerator: Accelerator) -> int:
    """How many processes share one copy of the state: with hybrid sharding, those of a machine."""
    if not accelerator.is_fsdp2:
        return 1
    config = accelerator.parallelism_config
    return config.dp_shard_size if config is not None else accelerator.num_processes


def _peak_of_step(
    model: PretrainedModel, plan: StepPlan, device: torch.device, *, keeps_gradients: bool
) -> int:
    """The most bytes that a step of ``plan`` makes on the device."""
    if plan.train.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    dtype = _DTYPES.get(plan.precision)
    model.train()
    # Of other devices than these two, PyTorch may not know all operations without content.
    kind = device.type if device.type in ("cpu", "cuda") else "cpu"
    with compat.without_memory():
        for module in model.modules():
            for name, weight in list(module.named_parameters(recurse=False)):
                setattr(module, name, nn.Parameter(torch.empty(weight.shape, device=kind)))
        weights = list(model.parameters())
        counted = _LiveBytes(weights)
        with compat.watch_results(counted.count):
            if keeps_gradients:
                for weight in weights:
                    weight.grad = torch.empty_like(weight)
            batches = [torch.empty(shape, dtype=torch.uint8, device=kind) for shape in plan.batches]
            with torch.autocast(kind, dtype, enabled=dtype is not None):
                losses = [_loss(model, batch) for batch in batches]
            torch.stack(losses).sum().backward()
    return counted.peak


def _loss(model: nn.Module, batch: Tensor) -> Tensor:
    """A scalar for the backward pass, of clips that are normalised as a ``ClipBatch`` does it."""
    scale = torch.ones(batch.shape[1], 1, 1, 1, device=batch.device)
    output = model(model_input(batch * scale - scale))
    loss = getattr(output, "loss", None)
    return (output.logits if loss is None else loss).float().sum()


def available_memory(device: torch.device) -> int:
    """Bytes that this process can use: the GPU's free memory; on a CPU, its share of the memory
    that is free or can be freed within the limits of control groups, since all processes of the run
    on this machine divide it."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device)
    free = min(psutil.virtual_memory().available, *_free_in_groups(Path("/proc/self/cgroup")))
    return free // int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def _free_in_groups(listing: Path, root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """Bytes that each control group with a limit leaves to a process; ``listing`` names its groups.

    A container may see its own group as the root.
    """
    free = []
    with suppress(OSError):
        for line in listing.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                names = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
                group = root / "memory"
            elif not controllers:
                names = "memory.max", "memory.current", "inactive_file"
                group = root
            else:
                continue
            below = Path(path.lstrip("/"))
            for folder in (below, *below.parents):
                free += _free_in_group(group / folder, *names)
    return free


def _free_in_group(folder: Path, limit: str, usage: str, freeable: str) -> list[int]:
    try:
        allowed, used = (int((folder / name).read_text()) for name in (limit, usage))
        statistics = dict(
            line.split() for line in (folder / "memory.stat").read_text().splitlines()
        )
        return [allowed - used + int(statistics.get(freeable, 0))]  # of files that are cached
    except (OSError, ValueError):  # no such group here, or "max": no limit
        return []


def check_memory(plan: StepPlan, needed: int, there: int, is_main_process: bool) -> None:
    """Warn if a step needs more memory than there is; with ``train.check_memory`` refuse to start.

    Raises:
        ConfigError: naming the settings that lower it.
    """
    if needed <= there:
        return
    lower = ["lower train.batch_size and raise train.accumulate_steps", "lower clip.crop_size"]
    if plan.batches[0][2] > 1:
        lower.append("lower clip.num_frames")
    if not plan.train.gradient_checkpointing:
        lower.append("set train.gradient_checkpointing=true")
    if plan.precision == "fp32":
        lower.append("set precision=bf16")
    message = (
        f"a step needs about {in_bytes(needed)} of memory, and {in_bytes(there)} are free here: "
        f"{', or '.join(lower)}"
    )
    if plan.train.check_memory:
        raise ConfigError(f"train.check_memory=true: {message}")
    if is_main_process:
        logger.warning("%s", message)


def in_bytes(number: float) -> str:
    """A number of bytes as people read it."""
    return f"{number / 1e9:.3g} GB" if number >= 0.95e9 else f"{number / 1e6:.3g} MB"
