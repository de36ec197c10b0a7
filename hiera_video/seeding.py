"""Stateless randomness: the seed of each draw is derived from the draw's purpose.

To resume a run, no random state need be saved, and the number of workers or processes does not
change any draw.
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
