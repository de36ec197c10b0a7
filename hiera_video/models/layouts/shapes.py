"""What the shapes of weights tell of an architecture, in layouts that number blocks through all
stages (``blocks.N``): the official one, and those of ``timm`` and of SAM 2."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor

from hiera_video.errors import CheckpointError
from hiera_video.models.variants import IMAGE, VARIANTS, VIDEO

#: Beginnings of names in a block, ours and those of these layouts.
BLOCK = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attention.qkv": "attn.qkv",
    "attention.projection": "attn.proj",
    "mlp": "mlp",
    "skip": "proj",
}


def deduce_blocks(weights: Mapping[str, Tensor], num_heads: list[int] | None) -> dict[str, Any]:
    """The fields of our config that say how blocks are built, and those of the published variants
    for what shapes do not show.

    Args:
        num_heads: heads per stage, for an architecture that was not published.

    Raises:
        KeyError, ValueError: if there are no such weights.
        CheckpointError: if the number of heads is not known.
    """
    width, channels, *kernel = weights["patch_embed.proj.weight"].shape
    num_blocks = 1 + max(int(n.split(".")[1]) for n in weights if n.startswith("blocks."))
    widths = [
        [len(weights[f"blocks.{block}.norm{number}.weight"]) for number in (1, 2)]
        for block in range(num_blocks)
    ]
    starts = [block for block, (before, after) in enumerate(widths) if before != after]
    depths = [end - start for start, end in pairwise([0, *starts, num_blocks])]
    fields = {
        **(VIDEO if len(kernel) == 3 else IMAGE),
        "embed_dim": width,
        "num_channels": channels,
        "patch_size": kernel,
        "depths": depths,
        "mlp_ratio": weights["blocks.0.mlp.fc1.weight"].shape[0] / width,
        "num_query_pool": len(depths) - 1,
        "masked_unit_attention": [True, True, *[False] * (len(depths) - 2)][: len(depths)],
    }
    by_shape = {(v.embed_dim, v.depths): list(v.num_heads) for v in VARIANTS.values()}
    heads = num_heads or by_shape.get((width, tuple(depths)))
    if heads is None:
        raise CheckpointError(
            f"embed_dim={width}, depths={depths} is no published variant, and weights do not tell "
            "the number of attention heads: give num_heads"
        )
    return {**fields, "num_heads": heads}


def stage_name(name: str, depths: Sequence[int]) -> str:
    """``blocks.N.rest`` -> ``encoder.stages.S.B.rest``; any other name as it is."""
    match = re.fullmatch(r"blocks\.(\d+)\.(.*)", name)
    places = [(stage, block) for stage, depth in enumerate(depths) for block in range(depth)]
    if match is None or int(match[1]) >= len(places):
        return name
    stage, block = places[int(match[1])]
    return f"encoder.stages.{stage}.{block}.{match[2]}"


def block_name(name: str, depths: Sequence[int]) -> str:
    """The inverse of :func:`stage_name`."""
    match = re.fullmatch(r"encoder\.stages\.(\d+)\.(\d+)\.(.*)", name)
    if match is None:
        return name
    return f"blocks.{sum(depths[: int(match[1])]) + int(match[2])}.{match[3]}"


def block_part(name: str) -> str:
    """What a name in a block ends with: ``attn.proj.weight`` of ``blocks.3.attn.proj.weight``."""
    return re.sub(r"^blocks\.\d+\.", "", name)
