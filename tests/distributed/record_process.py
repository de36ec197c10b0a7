"""Runs a script of the repository unchanged, and writes down what its process was.

    record_process.py FOLDER SCRIPT [ARGUMENTS]

Each process leaves ``FOLDER/RANK.pt``: how many processes there were, and the weights of its model.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator


def main() -> None:
    folder, script = Path(sys.argv[1]), sys.argv[2]
    sys.argv = sys.argv[2:]
    end_training = Accelerator.end_training

    def record(accelerator: Accelerator, *arguments: Any) -> None:
        weights = [model.state_dict() for model in accelerator._models]
        facts = {"num_processes": torch.distributed.get_world_size(), "weights": weights}
        torch.save(facts, folder / f"{accelerator.process_index}.pt")
        end_training(accelerator, *arguments)

    Accelerator.end_training = record
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
