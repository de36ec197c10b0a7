"""The encoder that images and clips share. It knows only flat sizes.

Axes: B batch, U mask units, n tokens in a unit (fewer after each query pooling), D width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from math import prod

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.ops import StochasticDepth

from hiera_video.models.activations import make_activation
from hiera_video.models.attention import Attention, Scope, pool_tokens
from hiera_video.models.config import HieraConfig
from hiera_video.models.windows import UnitWindows


class Mlp(nn.Module):
    """Two linear layers with an activation between them."""

    def __init__(self, dim: int, hidden_dim: int, hidden_act: str) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.activation = make_activation(hidden_act)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.activation(self.fc1(x)))


class LayerScale(nn.Module):
    """A learned factor for each channel (arXiv 2103.17239)."""

    def __init__(self, dim: int, initial: float) -> None:
        super().__init__()
        self.initial = initial
        self.weight = nn.Parameter(torch.full((dim,), initial))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class Block(nn.Module):
    """A transformer block; the first one of a stage widens the tokens and may pool them.

    If the width changes, the skip path is a projection of the *normalised* input, then max-pooled
    like the queries (official implementation; weights depend on it); with ``config.skip="pooling"``
    it is the maximum and the mean of each group of pooled tokens, side by side.
    """

    def __init__(
        self,
        config: HieraConfig,
        dim_in: int,
        dim_out: int,
        num_heads: int,
        *,
        query_pool: int = 1,
        scope: Scope = "all",
        drop_path_rate: float = 0.0,
        layer_scale_init: float | None = None,
    ) -> None:
        super().__init__()
        self.query_pool = query_pool
        self.norm1 = nn.LayerNorm(dim_in, eps=config.layer_norm_eps)
        widens = dim_in != dim_out
        self.pools_skip = widens and config.skip == "pooling"
        self.skip = nn.Linear(dim_in, dim_out) if widens and not self.pools_skip else None
        self.attention = Attention(dim_in, dim_out, num_heads, query_pool=query_pool, scope=scope)
        self.norm2 = nn.LayerNorm(dim_out, eps=config.layer_norm_eps)
        self.mlp = Mlp(dim_out, int(dim_out * config.mlp_ratio), config.hidden_act)
        self.drop_path = StochasticDepth(drop_path_rate, mode="row")
        self.scale1 = self.scale2 = None
        if layer_scale_init is not None:
            self.scale1 = LayerScale(dim_out, layer_scale_init)
            self.scale2 = LayerScale(dim_out, layer_scale_init)

    def forward(
        self,
        x: Tensor,
        head_mask: Tensor | None = None,
        need_weights: bool = False,
        windows: UnitWindows | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """``(B, U, n, D_in) -> (B, U, n / query_pool, D_out)``, and attention weights if asked."""
        normed = self.norm1(x)
        if self.skip is not None:
            x = self.skip(normed)
        attended, weights = self.attention(normed, head_mask, need_weights, windows)
        if self.scale1 is not None:
            attended = self.scale1(attended)
        x = self._past(x) + self.drop_path(attended)
        result = self.mlp(self.norm2(x))
        if self.scale2 is not None:
            result = self.scale2(result)
        return x + self.drop_path(result), weights

    def _past(self, x: Tensor) -> Tensor:
        """What goes past the attention: the tokens, pooled like the queries."""
        pooled = pool_tokens(x, self.query_pool, dim=2)
        if not self.pools_skip:
            return pooled
        return torch.cat([pooled, x.unflatten(2, (-1, self.query_pool)).mean(3)], -1)


class Stage(nn.ModuleList):
    """A sequence of blocks, whose results may be recomputed in the backward pass."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        super().__init__(blocks)
        self.gradient_checkpointing = False

    def forward(
        self,
        x: Tensor,
        head_mask: Tensor | None = None,
        output_attentions: bool = False,
        windows: UnitWindows | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """The output of the last block, and its attention weights if asked for."""
        weights = None
        for position, block in enumerate(self):
            need_weights = output_attentions and position == len(self) - 1
            arguments = (x, head_mask, need_weights, windows)
            if self.gradient_checkpointing and self.training:
                x, weights = checkpoint(block, *arguments, use_reentrant=False)
            else:
                x, weights = block(*arguments)
        return x, weights


class Encoder(nn.Module):
    """Stages of blocks (paper, Sec. 3).

    Query pooling and widening happen in a stage's first block. Mask-unit attention changes one
    block later: the block that pools into a stage still attends like the stage before. With
    ``config.window_units``, blocks of other stages attend inside windows of mask units, except for
    ``config.global_attention_blocks`` (SAM 2, arXiv 2408.00714, App. D.1).
    """

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        widths = config.stage_dims
        last = max(sum(config.depths) - 1, 1)
        numbers = count()
        self.stages = nn.ModuleList()
        for stage, depth in enumerate(config.depths):
            blocks = []
            for position in range(depth):
                enters = position == 0 and stage > 0
                before = stage - 1 if enters else stage
                pools = enters and stage <= config.num_query_pool
                number = next(numbers)
                blocks.append(
                    Block(
                        config,
                        widths[before],
                        widths[stage],
                        config.num_heads[stage],
                        query_pool=prod(config.query_stride) if pools else 1,
                        scope=_scope(config, number, before),
                        drop_path_rate=config.drop_path_rate * number / last,
                        layer_scale_init=config.layer_scale_init,
                    )
                )
            self.stages.append(Stage(blocks))

    def forward(
        self,
        x: Tensor,
        head_mask: Sequence[Tensor | None] | None = None,
        output_attentions: bool = False,
        windows: UnitWindows | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """``x``: ``(B, U, n, D)`` in mask-unit order; ``head_mask``: per stage, None or ``(h,)``;
        ``windows``: None where the input's only window has all of its tokens.

        Returns the output of every stage, ``(B, U, n, D)`` with that stage's n and D, and, if asked
        for, the attention weights of every stage's last block.
        """
        outputs: list[Tensor] = []
        attentions: list[Tensor] = []
        masks = head_mask if head_mask is not None else [None] * len(self.stages)
        for stage, mask in zip(self.stages, masks, strict=True):
            x, weights = stage(x, mask, output_attentions, windows)
            outputs.append(x)
            if weights is not None:
                attentions.append(weights)
        return outputs, attentions


def _scope(config: HieraConfig, number: int, stage: int) -> Scope:
    """Where a block attends that has this number in the encoder, and attends like ``stage``."""
    if number in config.global_attention_blocks:
        return "all"
    if config.masked_unit_attention[stage]:
        return "unit"
    return "all" if config.window_units is None else "window"
