"""Attention inside mask units, inside windows of them, or over all tokens; queries may be pooled on
the way.

Axes: B batch, U mask units, n tokens in a unit, D width, h heads, d width of a head, G groups of
tokens that attend to each other (units, windows, or one), L = tokens in a group, p = tokens merged
by query pooling.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiera_video.models.windows import UnitWindows

#: The tokens to which a token attends: those of its mask unit, of its window (all, where the input
#: has no windows), or all.
Scope = Literal["unit", "window", "all"]

_LARGEST_BATCH = 65_535


class Attention(nn.Module):
    """Multi-head attention with optional query pooling (paper, Sec. 3: "Mask Unit Attention").

    All scopes give ``scaled_dot_product_attention`` 4-D tensors ``(batch, h, L, d)``: with more
    axes, as in the official code, PyTorch does not use its fused kernels.
    """

    def __init__(
        self,
        dim_in: int,
        dim_out: int,
        num_heads: int,
        *,
        query_pool: int,
        scope: Scope,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query_pool = query_pool
        self.scope = scope
        self.qkv = nn.Linear(dim_in, 3 * dim_out)
        self.projection = nn.Linear(dim_out, dim_out)

    def forward(
        self,
        x: Tensor,
        head_mask: Tensor | None = None,
        need_weights: bool = False,
        windows: UnitWindows | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """``(B, U, n, D_in) -> (B, U, n / p, D_out)``, and the attention weights if asked for.

        ``head_mask`` (h,) scales each head's attention weights. Weights are ``(B, U, h, n / p, n)``
        inside units, ``(B, W, h, U' n / p, U' n)`` inside W windows of U' units each, and ``(B, 1,
        h, U n / p, U n)`` globally; with ``need_weights``, no fused kernel is used.
        """
        if self.scope != "window" or windows is None:
            return self._attend(x, head_mask, need_weights)
        if windows.same is not None:
            return self._attend(x, head_mask, need_weights, windows.same)
        attended, weights = self._attend(windows.gather(x), head_mask, need_weights)
        if weights is not None:
            weights = weights.squeeze(1).unflatten(0, (len(x), -1))
        return windows.scatter(attended), weights

    def _attend(
        self,
        x: Tensor,
        head_mask: Tensor | None,
        need_weights: bool,
        same: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """:meth:`forward` inside units or over all tokens; over those of ``same`` units ``(B, U,
        U)`` only, if given."""
        B, U, n, _ = x.shape  # noqa: N806 - the axes of the legend
        groups = U if self.scope == "unit" else 1
        dim = self.projection.in_features // self.num_heads
        qkv = self.qkv(x).view(B * groups, U * n // groups, 3, self.num_heads, dim)
        query, key, value = qkv.unbind(2)
        query = pool_tokens(query, self.query_pool, dim=1)
        query, key, value = (t.transpose(1, 2) for t in (query, key, value))
        if head_mask is not None:
            # (weights * mask) @ value == weights @ (mask * value), as the mask is one per head.
            head_mask = head_mask.to(value.dtype)[:, None, None]
            value = value * head_mask
        if same is not None:
            same = same.repeat_interleave(n // self.query_pool, 1).repeat_interleave(n, 2)
            same = same.unsqueeze(1)

        weights = None
        if need_weights or _fused_kernel_is_slower(query, key):
            logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
            if same is not None:
                logits = logits.masked_fill(~same, -torch.inf)
            weights = logits.softmax(-1)
            attended = weights @ value
        else:
            attended = _attend(query, key, value, same)
        attended = attended.transpose(1, 2).reshape(B, U, n // self.query_pool, -1)
        if weights is None or not need_weights:
            return self.projection(attended), None
        if head_mask is not None:
            weights = weights * head_mask
        return self.projection(attended), weights.unflatten(0, (B, groups))


def _attend(query: Tensor, key: Tensor, value: Tensor, same: Tensor | None) -> Tensor:
    """PyTorch's attention, ``(batch, h, L, d)``, in several calls if the batch is too large for it;
    only where ``same`` ``(batch, 1, L, L)``, if given.

    CUDA kernels put the batch on a grid axis of at most 65,535, and fail beyond that
    (pytorch/pytorch#146704). A batch counts mask units here: 392 for a clip of 16 frames. A graph
    that is exported for any batch size makes one call.
    """
    if same is not None or torch.compiler.is_exporting() or len(query) <= _LARGEST_BATCH:
        return F.scaled_dot_product_attention(query, key, value, same)
    parts = zip(*(x.split(_LARGEST_BATCH) for x in (query, key, value)), strict=True)
    return torch.cat([F.scaled_dot_product_attention(*part) for part in parts])


def pool_tokens(x: Tensor, query_pool: int, dim: int) -> Tensor:
    """Maximum over groups of ``query_pool`` consecutive tokens along ``dim``."""
    return x.unflatten(dim, (-1, query_pool)).amax(dim + 1) if query_pool > 1 else x


def _fused_kernel_is_slower(query: Tensor, key: Tensor) -> bool:
    """Whether separate matrix products are faster: in CPU training on few tokens
    (docs/benchmarks.md).

    PyTorch's fused kernel for CPUs saves memory, but its backward pass is slow on short sequences,
    such as the tokens of a mask unit, above all in bfloat16.
    """
    longest = 392 if query.dtype == torch.bfloat16 else 128
    return query.device.type == "cpu" and query.requires_grad and key.shape[-2] <= longest
