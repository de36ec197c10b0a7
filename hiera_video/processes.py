"""The rank of this process in its run, before the processes are connected."""

from __future__ import annotations

import os

#: Environment variables in which launchers put the rank, in the order in which Accelerate reads.
_RANK_VARIABLES = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")


def is_first_process() -> bool:
    """Whether this is the main process of its run."""
    ranks = [int(os.environ[name]) for name in _RANK_VARIABLES if name in os.environ]
    return next((rank for rank in ranks if rank >= 0), 0) == 0
