"""Randomness is a function of what it is for."""

from __future__ import annotations

import torch

from hiera_video.seeding import derive_seed, generator


def test_a_generator_starts_from_its_seed_and_nothing_else() -> None:
    """The figures are those of earlier versions: a run that goes on sees what it would have."""
    assert derive_seed(0, 1, 2) == 3071860871404845570
    assert torch.randperm(8, generator=generator(0, 1, 2)).tolist() == [7, 6, 2, 0, 5, 3, 1, 4]
    state = torch.get_rng_state()
    assert torch.randperm(8, generator=generator(0, 1, 2)).tolist() == [7, 6, 2, 0, 5, 3, 1, 4]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.randperm(8, generator=generator(0, 2, 1)).tolist() != [7, 6, 2, 0, 5, 3, 1, 4]
