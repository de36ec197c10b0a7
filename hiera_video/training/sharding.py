"""Tensors of which each process holds a part (FSDP): on their way to a checkpoint, and back.

Weights are gathered, for they are shared. Of the optimizer's tensors each process writes its own
part, as a safetensors file that says where in the whole it belongs, so that any number of processes
can go on from it, also without FSDP. This is the distributed checkpoint of torch in its format
without pickles, which could run code when they are read.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.tensor import DTensor
from torch.utils._pytree import tree_map_only

#: The tensors that an optimizer keeps for each parameter, by the parameter's number and by name.
OptimizerTensors = dict[int, dict[str, Any]]


def copy_to_host(values: Any, keep: bool) -> Any:
    """``values`` with a whole copy in host memory of each tensor, or None unless ``keep``.

    All processes have to call this where tensors are sharded.
    """

    def to_host(tensor: Tensor) -> Tensor | None:
        if isinstance(tensor, DTensor):
            tensor = tensor.full_tensor()
        return tensor.detach().to("cpu", copy=True) if keep else None

    return tree_map_only(Tensor, to_host, values)


def split_shards(tensors: OptimizerTensors) -> tuple[OptimizerTensors, dict[str, Tensor]]:
    """Of an optimizer's tensors: those that each process has whole; and a copy in host memory of
    this process's shards of the others, by names such as ``12.exp_avg``."""
    whole: OptimizerTensors = {}
    shards = {}
    for number, of_parameter in tensors.items():
        whole[number] = {}
        for name, tensor in of_parameter.items():
            if isinstance(tensor, DTensor):
                shards[f"{number}.{name}"] = tensor.detach().to("cpu", copy=True)
            else:
                whole[number][name] = tensor
    return whole, shards


def write_shards(
    shards: dict[str, Tensor], folder: Path | None, group: ProcessGroup | None
) -> None:
    """Write this process's part into the ``folder`` that the first process gives.

    All processes of ``group`` have to call this. It returns when all have written and flushed.

    Raises:
        OSError: in all processes, if one of them cannot write.
    """
    folders = [folder]
    torch.distributed.broadcast_object_list(folders, group=group)
    writer = dcp.HuggingFaceStorageWriter(str(folders[0]), save_distributed=True)
    # Else it works with a stream of the first GPU, whichever this process has, to copy from it.
    writer.per_thread_copy_ahead = 0
    try:
        dcp.save(shards, storage_writer=writer, process_group=group)
    except CheckpointException as error:
        reason, _ = next(iter(error.failures.values()))
        raise reason from None


def read_shards(folder: Path, parameters: list[Tensor]) -> OptimizerTensors:
    """What :func:`write_shards` wrote; of tensors of sharded ``parameters``, the same shard."""
    reader = dcp.HuggingFaceStorageReader(str(folder))
    tensors = {
        name: torch.zeros_like(parameters[int(name.partition(".")[0])])
        for name in reader.read_metadata().state_dict_metadata
    }
    with warnings.catch_warnings():  # it takes processes that read by themselves for a mistake
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        dcp.load(tensors, storage_reader=reader, no_dist=True)
    by_number: OptimizerTensors = defaultdict(dict)
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        by_number[int(number)][key] = tensor
    return by_number
