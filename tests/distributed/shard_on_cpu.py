"""Runs a script with FSDP2 on CPUs; arguments as of ``record_process.py``.

Accelerate takes FSDP settings on accelerators only: for CPU processes ``AcceleratorState`` leaves
them out, although torch shards over gloo as well. This puts them where it would put them on GPUs.
Two processes shard fully; four shard in pairs and replicate across them.
"""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin


def main() -> None:
    initialise = AcceleratorState.__init__

    def shard(state: AcceleratorState, *arguments: Any, **options: Any) -> None:
        known = state.initialized
        initialise(state, *arguments, **options)
        if not known:
            state.distributed_type = DistributedType.FSDP
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP
            state.fsdp_plugin = FullyShardedDataParallelPlugin(
                fsdp_version=2,
                auto_wrap_policy="transformer_based_wrap",
                transformer_cls_names_to_wrap=["Block"],
                reshard_after_forward=True,
                cpu_ram_efficient_loading=False,
            )
            if state.mixed_precision != "no":
                state.fsdp_plugin.set_mixed_precision(state.mixed_precision)

    AcceleratorState.__init__ = shard
    os.environ["ACCELERATE_USE_FSDP"] = "true"
    if os.environ["WORLD_SIZE"] == "4":
        os.environ["ACCELERATE_USE_PARALLELISM_CONFIG"] = "true"
        os.environ["PARALLELISM_CONFIG_DP_REPLICATE_SIZE"] = "2"
        os.environ["PARALLELISM_CONFIG_DP_SHARD_SIZE"] = "2"
    runpy.run_path(str(Path(__file__).with_name("record_process.py")), run_name="__main__")


if __name__ == "__main__":
    main()
