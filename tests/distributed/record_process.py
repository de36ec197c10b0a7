"""Runs a script of the repository unchanged, and writes down what its process was and did.

    record_process.py FOLDER SCRIPT [ARGUMENTS]

Each process leaves ``FOLDER/RANK.pt``: how many processes there were, the weights of its model in
the end and after five steps, the gradients of the first step, and how many all-reduces of gradients
there were for how many steps; and into how many shards the model was divided.
"""

# Without `from __future__ import annotations`: torch looks at those of the communication hook.
import runpy
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn
from torch.distributed import GradBucket
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.distributed.tensor import DTensor
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel


class Recorder:
    """Takes the place of three methods of Accelerate, which then also write down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts: dict[str, Any] = {"num_all_reduces": 0, "num_steps": 0}
        self.model: nn.Module | None = None
        self.prepare, self.end = Accelerator.prepare, Accelerator.end_training
        self.step = AcceleratedOptimizer.step

    def install(self) -> None:
        recorder = self

        def prepare(accelerator: Accelerator, *arguments: Any) -> Any:
            prepared = recorder.prepare(accelerator, *arguments)
            parts = (prepared,) if isinstance(prepared, nn.Module) else prepared
            recorder.model = next(part for part in parts if isinstance(part, nn.Module))
            if isinstance(recorder.model, DistributedDataParallel):
                recorder.model.register_comm_hook(None, recorder.count)
            return prepared

        def step(optimizer: AcceleratedOptimizer, *arguments: Any) -> None:
            recorder.before_step(optimizer.gradient_state.sync_gradients)
            recorder.step(optimizer, *arguments)
            if recorder.facts["num_steps"] == 5:
                recorder.facts.setdefault("weights_after_five_steps", recorder.weights())

        def end(accelerator: Accelerator, *arguments: Any) -> None:
            recorder.facts["num_processes"] = accelerator.num_processes
            recorder.facts["weights"] = []
            if recorder.model is not None:
                recorder.facts["sharded_over"] = recorder.num_shards()
                recorder.facts["weights"] = [recorder.weights()]
            torch.save(recorder.facts, recorder.folder / f"{accelerator.process_index}.pt")
            recorder.end(accelerator, *arguments)

        Accelerator.prepare, Accelerator.end_training = prepare, end
        AcceleratedOptimizer.step = step

    def before_step(self, is_synchronised: bool) -> None:
        assert self.model is not None
        if is_synchronised:
            self.facts["num_steps"] += 1
            gradients = {
                name.removeprefix("module."): whole(parameter.grad).clone()
                for name, parameter in self.model.named_parameters()
                if parameter.grad is not None
            }
            self.facts.setdefault("first_gradients", gradients)

    def weights(self) -> dict[str, Tensor]:
        assert self.model is not None
        return {
            name.removeprefix("module."): whole(tensor).clone()
            for name, tensor in self.model.state_dict().items()
        }

    def num_shards(self) -> int:
        """Into how many parts the largest parameter is divided."""
        assert self.model is not None
        largest = max(self.model.parameters(), key=lambda parameter: parameter.numel())
        local = largest.to_local() if isinstance(largest, DTensor) else largest
        return largest.numel() // local.numel()

    def count(self, _: object, bucket: GradBucket) -> Future[Tensor]:
        self.facts["num_all_reduces"] += bucket.is_last()
        return allreduce_hook(torch.distributed.group.WORLD, bucket)  # type: ignore[arg-type]


def whole(tensor: Tensor) -> Tensor:
    """A tensor's values, whether or not they are spread over the processes (FSDP)."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def main() -> None:
    folder, script = Path(sys.argv[1]), sys.argv[2]
    sys.argv = sys.argv[2:]
    Recorder(folder).install()
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
