"""Mask units: the one place that knows how tokens lie in memory.

Axes: B batch, T H W tokens along time, height and width, U mask units, n tokens in a unit, D width.

The encoder works on ``(B, U, n, D)``. Units follow each other in raster order. Inside a unit, tokens
are sorted so that every group that a query pooling merges is contiguous, level by level: the 8x8
tokens of a unit with query stride 2x2 are four quadrants of four quadrants of four tokens (Z-order).
So, without any further reordering,

- attention inside mask units is attention over the last-but-one axis,
- global attention is attention over ``(U n)``,
- query pooling is a maximum over consecutive groups of ``prod(query_stride)`` tokens,
- dropping masked units is indexing one axis.

The official implementation reaches the same groups with the order of the levels reversed (units vary
fastest there); results agree up to that permutation of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from einops import rearrange
from torch import Tensor

from hiera_video.models.config import HieraConfig


@dataclass(frozen=True)
class TokenGrid:
    """The tokens of one input, and how they form mask units.

    ``size``, ``unit_size`` and ``query_stride`` count tokens per axis; ``num_levels`` is the number of
    query poolings. ``unit_size`` divides ``size``, and ``query_stride ** num_levels`` divides
    ``unit_size``.
    """

    size: tuple[int, ...]
    unit_size: tuple[int, ...]
    query_stride: tuple[int, ...]
    num_levels: int

    @classmethod
    def of_input(cls, config: HieraConfig, input_size: tuple[int, ...]) -> TokenGrid:
        """The grid of an input of ``input_size`` pixels, ``(H, W)`` or ``(T, H, W)``.

        Raises:
            ValueError: if the size does not split into whole mask units.
        """
        config.check_input_size(input_size, "input size")
        return cls(
            size=tuple(n // s for n, s in zip(input_size, config.patch_stride, strict=True)),
            unit_size=tuple(config.masked_unit_size),
            query_stride=tuple(config.query_stride),
            num_levels=config.num_query_pool,
        )

    @property
    def units(self) -> tuple[int, ...]:
        """Mask units per axis."""
        return tuple(n // u for n, u in zip(self.size, self.unit_size, strict=True))

    @property
    def num_units(self) -> int:
        return prod(self.units)

    @property
    def tokens_per_unit(self) -> int:
        return prod(self.unit_size)

    def pooled(self, num_poolings: int) -> TokenGrid:
        """The grid that is left after ``num_poolings`` query poolings."""
        factors = [stride**num_poolings for stride in self.query_stride]
        return TokenGrid(
            size=tuple(n // f for n, f in zip(self.size, factors, strict=True)),
            unit_size=tuple(u // f for u, f in zip(self.unit_size, factors, strict=True)),
            query_stride=self.query_stride,
            num_levels=self.num_levels - num_poolings,
        )

    def unroll(self, x: Tensor) -> Tensor:
        """``(B, *size, D)`` in raster order -> ``(B, U, n, D)`` in mask-unit order."""
        raster, unit_order, lengths = self._patterns()
        return rearrange(x, f"b {raster} d -> b {unit_order} d", **lengths)

    def reroll(self, x: Tensor) -> Tensor:
        """``(B, U, n, D)`` in mask-unit order -> ``(B, *size, D)`` in raster order."""
        raster, unit_order, lengths = self._patterns()
        return rearrange(x, f"b {unit_order} d -> b {raster} d", **lengths)

    def _patterns(self) -> tuple[str, str, dict[str, int]]:
        """Both sides of the reordering in einops' notation, and the length of each of its axes.

        Axis ``i`` splits into units ``u{i}``, blocks ``r{i}`` that are never pooled, and one digit
        ``l{level}{i}`` per query pooling, the coarsest (pooled last) first. For two axes and two
        levels: ``(u0 r0 l00 l10) (u1 r1 l01 l11)`` <-> ``(u0 u1) (r0 r1 l00 l01 l10 l11)``.
        """
        axes = range(len(self.size))
        levels = range(self.num_levels)
        raster = " ".join(
            f"(u{i} r{i} {' '.join(f'l{level}{i}' for level in levels)})" for i in axes
        )
        blocks = [f"r{i}" for i in axes]
        digits = [f"l{level}{i}" for level in levels for i in axes]
        unit_order = f"({' '.join(f'u{i}' for i in axes)}) ({' '.join(blocks + digits)})"
        lengths = {f"u{i}": self.units[i] for i in axes}
        lengths |= {f"l{level}{i}": self.query_stride[i] for level in levels for i in axes}
        for i in axes:
            lengths[f"r{i}"] = self.unit_size[i] // self.query_stride[i] ** self.num_levels
        return raster, unit_order, lengths
