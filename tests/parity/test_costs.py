"""Parameters and multiply-adds of every variant against the official package and the paper."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from functools import cache
from typing import Any
from unittest.mock import patch

import hiera
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hiera_video import list_models
from hiera_video.models.costs import variant_cost, variants_table
from hiera_video.models.mask_units import TokenGrid
from hiera_video.models.variants import variant_config
from tests.parity.compare import without_initialization

#: Giga-multiply-adds per view, paper, Tab. 2 and 4.
PUBLISHED = {
    "hiera_tiny_224": 5,
    "hiera_small_224": 6,
    "hiera_base_224": 9,
    "hiera_base_plus_224": 13,
    "hiera_large_224": 40,
    "hiera_huge_224": 125,
    "hiera_base_16x224": 102,
    "hiera_base_plus_16x224": 133,
    "hiera_large_16x224": 413,
    "hiera_huge_16x224": 1159,
}


@cache
def official_on_meta(name: str) -> nn.Module:
    """The official constructors read numbers out of a ``linspace``, which only works off meta."""
    linspace: Callable[..., Tensor] = torch.linspace
    with torch.device("meta"), patch("torch.linspace", lambda *a: linspace(*a, device="cpu")):
        model: nn.Module = getattr(hiera, name)()
    return model


def official_multiply_adds(model: nn.Module, name: str, **arguments: Any) -> float:
    device = next(model.parameters()).device
    shape = (1, 3, 16, 224, 224) if "16x224" in name else (1, 3, 224, 224)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model.eval()(torch.zeros(shape, device=device), **arguments)
    return counter.get_total_flops() / 2


#: No weights of these were published, and the official package does not have them.
OURS_ALONE = {f"{mae}hiera_{size}_16x224" for mae in ("", "mae_") for size in ("tiny", "small")}


@pytest.mark.parametrize("name", sorted(set(list_models()) - OURS_ALONE))
def test_parameters(name: str) -> None:
    theirs = sum(parameter.numel() for parameter in official_on_meta(name).parameters())
    assert variant_cost(name).num_parameters == theirs


@pytest.mark.parametrize("name", PUBLISHED)
def test_multiply_adds(name: str) -> None:
    ours = variant_cost(name).multiply_adds
    assert ours == pytest.approx(official_multiply_adds(official_on_meta(name), name), rel=0.01)
    assert ours / 1e9 == pytest.approx(PUBLISHED[name], rel=0.01, abs=0.5)


@pytest.mark.parametrize(
    "name", ["mae_hiera_tiny_224", pytest.param("mae_hiera_base_16x224", marks=pytest.mark.long)]
)
def test_multiply_adds_of_pretraining(name: str) -> None:
    """On real tensors: the official code selects tokens in a way that has no shape on meta."""
    with without_initialization():
        theirs = getattr(hiera, name)()
    mask_ratio = 0.9 if "16x224" in name else 0.6
    wanted = official_multiply_adds(theirs, name, mask_ratio=mask_ratio)
    # The official code embeds all patches, hidden ones too; ours embeds visible units alone.
    config = variant_config(name)
    grid = TokenGrid.of_input(config, tuple(config.image_size))
    num_hidden = grid.num_units - int(grid.num_units * (1 - mask_ratio))
    kernel = math.prod(config.patch_size) * config.num_channels * config.embed_dim
    saved = num_hidden * grid.tokens_per_unit * kernel
    assert variant_cost(name).multiply_adds == pytest.approx(wanted - saved, rel=0.001)


def test_table() -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(variants_table())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for row in (
        ("hiera_base_16x224", "51.1", "101.7", "84.0"),
        ("hiera_huge_224", "672.8", "124.7", "86.9"),
        ("mae_hiera_base_16x224", "79.4", "70.4"),
    ):
        assert any(all(cell in line for cell in row) for line in text.splitlines()), row
