"""Which process of a run this is, before the processes know of each other."""

from __future__ import annotations

import os

#: Where launchers say a process's number, in the order in which Accelerate looks.
_RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")


def is_first_process() -> bool:
    """Whether this is the main process of its run."""
    ranks = [int(os.environ[name]) for name in _RANKS if name in os.environ]
    return next((rank for rank in ranks if rank >= 0), 0) == 0
