"""From pixels to tokens: patch embedding in 2-D and 3-D, and position embeddings.

Axes: B batch, C channels, T H W frames, rows and columns (of pixels or of tokens), D width.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from hiera_video.models.config import HieraConfig


class PatchEmbedding(nn.Module):
    """A strided convolution with overlapping kernels (paper, Sec. 3 and App. A).

    ``(B, C, H, W) -> (B, H', W', D)`` for images, ``(B, C, T, H, W) -> (B, T', H', W', D)`` for clips.
    """

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        convolution = nn.Conv3d if config.is_video else nn.Conv2d
        self.projection = convolution(
            config.num_channels,
            config.embed_dim,
            kernel_size=tuple(config.patch_size),  # type: ignore[arg-type]
            stride=tuple(config.patch_stride),  # type: ignore[arg-type]
            padding=tuple(config.patch_padding),  # type: ignore[arg-type]
        )

    def forward(self, pixel_values: Tensor) -> Tensor:
        return rearrange(self.projection(pixel_values), "b d ... -> b ... d")


class PositionEmbedding(nn.Module):
    """Learned position embeddings, one per token, or spatial + temporal ones for clips.

    The published video models use the second form: the spatial embedding is repeated over time and
    the temporal one over space.
    """

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        self.size = config.token_grid
        width = config.embed_dim
        if config.separate_position_embeddings:
            frames, *space = self.size
            self.spatial = nn.Parameter(torch.zeros(1, *space, width))
            self.temporal = nn.Parameter(torch.zeros(frames, 1, 1, width))
        else:
            self.joint = nn.Parameter(torch.zeros(*self.size, width))
        self.separate = config.separate_position_embeddings

    def forward(self) -> Tensor:
        """Embeddings of all tokens, ``(*token_grid, D)``."""
        return self.spatial + self.temporal if self.separate else self.joint
