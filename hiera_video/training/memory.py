"""The memory that a training step needs, from its shapes alone, and what the machine has.

The step, forward and backward, goes through the real model in tensors that have shapes and no
content. What is alive of them at once, at most, is what the device has to hold beside weights,
moments and averages.
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
from hiera_video.errors import ConfigError
from hiera_video.models.pretrained import PretrainedModel
from hiera_video.training.settings import TrainingRun

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

    ``state``: weights, moments of the optimizer, and the average of weights; ``step``: the most
    that gradients, clips and intermediate results take at once. On a CPU, there are besides
    ``kept``, what is freed and not given back, and ``read_ahead``, clips that workers have ready.
    """

    state: int
    step: int
    kept: int
    read_ahead: int

    def on(self, device: torch.device) -> int:
        """What the device's memory has to hold."""
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
        """Take account of a tensor that was just made, or is another view of a known one."""
        storage = tensor.untyped_storage()
        if storage not in self._seen:
            num_bytes = storage.nbytes()
            self._seen[storage] = num_bytes
            self.live += num_bytes
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._forget, num_bytes)

    def _forget(self, num_bytes: int) -> None:
        self.live -= num_bytes


def estimate_memory(
    runs: Sequence[TrainingRun], model: PretrainedModel, accelerator: Accelerator
) -> StepMemory:
    """What a step of ``runs`` needs in each process: of one, or of clips and of images.

    Not counted: the memory of PyTorch, of the processes themselves and of their decoders, copies
    of the state while it is saved, validation, and with FSDP the weights that are gathered.
    """
    run = runs[0]
    num_shards = _num_shards(accelerator)
    weights = _BYTES_PER_WEIGHT * sum(weight.numel() for weight in model.parameters()) // num_shards
    moments = {"adamw": 2, "sgd": 1 if run.optimizer.momentum else 0}[run.optimizer.name]
    averages = 1 if run.train.ema_decay is not None else 0
    # Where batches are accumulated, gradients are there before the forward pass; DDP keeps them.
    keeps_gradients = run.train.accumulate_steps > 1 or accelerator.num_processes > 1
    clips = [
        (
            each.train.batch_size,
            len(each.clip.mean),
            each.clip.num_frames,
            *[each.clip.crop_size] * 2,
        )
        for each in runs
    ]
    step = _peak_of_step(
        model.without_weights(),
        clips,
        accelerator.device,
        _DTYPES.get(run.precision),
        gradient_checkpointing=run.train.gradient_checkpointing,
        keeps_gradients=keeps_gradients and num_shards == 1,
    )
    if keeps_gradients and num_shards > 1:
        step += weights
    batches = sum(torch.Size(shape).numel() for shape in clips)
    read_ahead = _BATCHES_PER_WORKER * run.data.num_workers * batches
    recomputes = run.train.gradient_checkpointing
    kept = int(step * (_KEPT_WHERE_RECOMPUTED if recomputes else _KEPT_PER_LIVE_BYTE))
    return StepMemory((1 + moments + averages) * weights, step, kept, read_ahead)


def _num_shards(accelerator: Accelerator) -> int:
    """Processes that share a copy of the state: with hybrid sharding, those of a machine."""
    if not accelerator.is_fsdp2:
        return 1
    config = accelerator.parallelism_config
    return config.dp_shard_size if config is not None else accelerator.num_processes


def _peak_of_step(
    model: PretrainedModel,
    clips: Sequence[tuple[int, ...]],
    device: torch.device,
    dtype: torch.dtype | None,
    *,
    gradient_checkpointing: bool,
    keeps_gradients: bool,
) -> int:
    """The most bytes that a step makes on the device, for uint8 ``clips`` ``(B, C, T, H, W)``."""
    if gradient_checkpointing:
        model.gradient_checkpointing_enable()
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
            batches = [torch.empty(shape, dtype=torch.uint8, device=kind) for shape in clips]
            with torch.autocast(kind, dtype, enabled=dtype is not None):
                losses = [_loss(model, batch) for batch in batches]
            torch.stack(losses).sum().backward()
    return counted.peak


def _loss(model: nn.Module, batch: Tensor) -> Tensor:
    """Something to go backward from, for clips that are normalised as a ``ClipBatch`` does it."""
    scale = torch.ones(batch.shape[1], 1, 1, 1, device=batch.device)
    output = model(model_input(batch * scale - scale))
    loss = getattr(output, "loss", None)
    return (output.logits if loss is None else loss).float().sum()


def available_memory(device: torch.device) -> int:
    """Bytes that this process can have, of a GPU's memory, or of the machine's that is free or can
    be freed; within the limits of control groups, and shared by the processes that were started
    here together."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device)
    free = min(psutil.virtual_memory().available, *_free_in_groups(Path("/proc/self/cgroup")))
    return free // int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def _free_in_groups(listing: Path, root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """What the control groups of a process, as ``listing`` names them, leave to it, in bytes; of
    each that has a limit.

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


def check_memory(run: TrainingRun, needed: int, there: int, is_main_process: bool) -> None:
    """Warn of a step that needs more memory than is there; with ``train.check_memory`` refuse it.

    Raises:
        ConfigError: naming the settings that lower it.
    """
    if needed <= there:
        return
    lower = ["lower train.batch_size and raise train.accumulate_steps", "lower clip.crop_size"]
    if not run.clip.is_image:
        lower.append("lower clip.num_frames")
    if not run.train.gradient_checkpointing:
        lower.append("set train.gradient_checkpointing=true")
    if run.precision == "fp32":
        lower.append("set precision=bf16")
    message = (
        f"a step needs about {in_bytes(needed)} of memory, and {in_bytes(there)} are free here: "
        f"{', or '.join(lower)}"
    )
    if run.train.check_memory:
        raise ConfigError(f"train.check_memory=true: {message}")
    if is_main_process:
        logger.warning("%s", message)


def in_bytes(number: float) -> str:
    """A number of bytes as people read it."""
    return f"{number / 1e9:.3g} GB" if number >= 0.95e9 else f"{number / 1e6:.3g} MB"
