"""An optimizer's tensors in a checkpoint: safetensors files; under FSDP each process has a part.

``torch.distributed.checkpoint`` divides them, with FSDP or without. Its format without pickles is
used, because reading a pickle may run code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor
from torch.distributed import ProcessGroup

from hiera_video import compat

OPTIMIZER_FOLDER = "optimizer"

#: A safetensors file is put together in memory before it is written.
_BYTES_PER_FILE = 1 << 29


def plain_optimizer(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The optimizer inside one that Accelerator prepared."""
    return optimizer.optimizer if isinstance(optimizer, AcceleratedOptimizer) else optimizer


def optimizer_tensors(tensors: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    """Flatten tensors by parameter and key to names in a checkpoint: ``head.weight.exp_avg``."""
    return {
        f"{parameter}.{key}": tensor
        for parameter, of_parameter in tensors.items()
        for key, tensor in of_parameter.items()
    }


def write_optimizer(
    tensors: dict[str, Tensor], folder: Path | None, group: ProcessGroup | None
) -> None:
    """Write an optimizer's tensors into ``folder``; with a ``group``, each process writes those
    that it holds.

    All processes of ``group`` must call this; the first one gives the folder. It returns when all
    have written and flushed.

    Raises:
        OSError: in all processes, if one of them cannot write.
    """
    folders = [folder]
    if group is None:
        compat.ignore_single_process_warning()
    else:
        torch.distributed.broadcast_object_list(folders, group=group)
    files, num_bytes = {}, 0
    for name, tensor in tensors.items():
        files[name] = 1 + num_bytes // _BYTES_PER_FILE
        num_bytes += tensor.nbytes
    writer = compat.checkpoint_writer(str(folders[0]), files)
    try:
        dcp.save(tensors, storage_writer=writer, process_group=group, no_dist=group is None)
    except dcp.CheckpointException as error:
        reason, _ = next(iter(error.failures.values()))
        raise reason from None


def read_optimizer(state: dict[str, Any], folder: Path) -> None:
    """Replace the tensors in ``state``, from ``get_optimizer_state_dict``, by those of a
    checkpoint; each process reads its part. Parameters without tensors there are dropped."""
    reader = dcp.HuggingFaceStorageReader(str(folder))
    saved = reader.read_metadata().state_dict_metadata
    state["state"] = {
        parameter: tensors
        for parameter, tensors in state["state"].items()
        if saved.keys() >= optimizer_tensors({parameter: tensors}).keys()
    }
    compat.ignore_single_process_warning()  # processes need not wait for each other to read
    dcp.load(optimizer_tensors(state["state"]), storage_reader=reader, no_dist=True)
