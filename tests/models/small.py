"""Small architectures and inputs that tests of models share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

#: One 2x2 grid of mask units.
IMAGE: dict[str, Any] = {
    "image_size": [64, 64],
    "embed_dim": 24,
    "depths": [1, 1, 2, 1],
    "num_heads": [1, 2, 4, 8],
}
#: Two token times, 2x2 mask units each.
VIDEO: dict[str, Any] = {
    **IMAGE,
    "image_size": [4, 64, 64],
    "patch_size": [3, 7, 7],
    "patch_stride": [2, 4, 4],
    "patch_padding": [1, 3, 3],
    "query_stride": [1, 2, 2],
    "masked_unit_size": [1, 8, 8],
    "separate_position_embeddings": True,
}
DECODER: dict[str, Any] = {
    "num_query_pool": 2,
    "decoder_hidden_size": 32,
    "decoder_depth": 1,
    "decoder_num_heads": 4,
    "mask_ratio": 0.5,
}


def images(height: int = 64, width: int = 64) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


def clips(frames: int = 4, height: int = 64, width: int = 64) -> Tensor:
    return torch.randn(2, 3, frames, height, width, generator=torch.Generator().manual_seed(0))
