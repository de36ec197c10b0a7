"""Randomness without state: every draw starts from a seed that says what it is for.

Nothing has to be saved to resume a run, and neither workers nor processes change what is drawn.
"""

from __future__ import annotations

import numpy as np
import torch


def derive_seed(*parts: int) -> int:
    """A 64-bit seed that is a function of ``parts`` (seed, epoch, row, repeat...) alone."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


def generator(*parts: int) -> torch.Generator:
    """A generator of its own, on the CPU, that starts from :func:`derive_seed` of ``parts``."""
    return torch.Generator().manual_seed(derive_seed(*parts))
