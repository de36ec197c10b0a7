"""Stateless randomness: the seed of each draw is derived from the purpose of the draw.

So a run resumes without any saved random state, and the number of workers or processes changes no
draw.
"""

from __future__ import annotations

import numpy as np
import torch


def derive_seed(*parts: int) -> int:
    """A 64-bit seed, a function of ``parts`` (seed, epoch, row, repeat...) alone."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


def generator(*parts: int) -> torch.Generator:
    """A new generator on the CPU, seeded by :func:`derive_seed` of ``parts``."""
    return torch.Generator().manual_seed(derive_seed(*parts))
