"""Mask units: the only file that knows the order of tokens in memory.

Axes: B batch, T H W tokens along time, height and width, U mask units, n tokens in a unit, D width.

The encoder works on ``(B, U, n, D)``. Units are in raster order. Inside a unit, tokens are sorted
so that every group that a query pooling merges is contiguous, at each level: the 8x8 tokens of a
unit with query stride 2x2 are four quadrants of four quadrants of four tokens (Z-order). So,
without any further reordering,

- attention inside mask units is attention over the last-but-one axis,
- global attention is attention over ``(U n)``,
- query pooling is a maximum over consecutive groups of ``prod(query_stride)`` tokens,
- dropping masked units is indexing one axis.

The reference implementations form the same groups with the levels in reversed order (units vary
fastest); results agree up to that permutation of tokens. Models return flat token sequences in that
*reference order* (:meth:`TokenGrid.reference_order`), because it is documented, and maps in raster
order (:meth:`TokenGrid.reroll`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import torch
from einops import rearrange
from torch import Tensor

from hiera_video.errors import ConfigError
from hiera_video.models.config import HieraConfig


@dataclass(frozen=True)
class TokenGrid:
    """The grid of an input's tokens, and its division into mask units.

    ``size``, ``unit_size`` and ``query_stride`` count tokens per axis; ``num_levels`` is the number
    of query poolings that the order allows. ``unit_size`` divides ``size``, and ``query_stride **
    num_levels`` divides ``unit_size``.
    """

    size: tuple[int, ...]
    unit_size: tuple[int, ...]
    query_stride: tuple[int, ...]
    num_levels: int

    @classmethod
    def of_input(cls, config: HieraConfig, input_size: tuple[int, ...]) -> TokenGrid:
        """The grid of an input of ``input_size`` pixels, ``(H, W)`` or ``(T, H, W)``.

        Raises:
            ConfigError: if the size does not split into whole mask units.
        """
        config.check_input_size(input_size, "input size")
        # Pre-training models pool less often than their order allows. The reference still orders
        # tokens for a pooling at every stage; so does this code if units are large enough.
        most = len(config.depths) - 1
        fits = all(
            unit % stride**most == 0
            for unit, stride in zip(config.masked_unit_size, config.query_stride, strict=True)
        )
        return cls(
            size=tuple(n // s for n, s in zip(input_size, config.patch_stride, strict=True)),
            unit_size=tuple(config.masked_unit_size),
            query_stride=tuple(config.query_stride),
            num_levels=most if fits else config.num_query_pool,
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

    def one_unit(self) -> TokenGrid:
        """The grid of a single mask unit."""
        return replace(self, size=self.unit_size)

    def pooled(self, num_poolings: int) -> TokenGrid:
        """The grid after ``num_poolings`` query poolings."""
        factors = [stride**num_poolings for stride in self.query_stride]
        return TokenGrid(
            size=tuple(n // f for n, f in zip(self.size, factors, strict=True)),
            unit_size=tuple(u // f for u, f in zip(self.unit_size, factors, strict=True)),
            query_stride=self.query_stride,
            num_levels=self.num_levels - num_poolings,
        )

    def unroll(self, x: Tensor) -> Tensor:
        """``(B, *size, D)`` in raster order -> ``(B, U, n, D)`` in mask-unit order."""
        units, raster, memory = self._axes()
        axes = " ".join(f"({u} {t})" for u, t in zip(units, raster, strict=True))
        return rearrange(x, f"b {axes} d -> b ({' '.join(units)}) ({memory}) d", **self._lengths())

    def reroll(self, x: Tensor) -> Tensor:
        """``(B, U, n, D)`` in mask-unit order -> ``(B, *size, D)`` in raster order."""
        units, raster, memory = self._axes()
        axes = " ".join(f"({u} {t})" for u, t in zip(units, raster, strict=True))
        return rearrange(x, f"b ({' '.join(units)}) ({memory}) d -> b {axes} d", **self._lengths())

    def reroll_units(self, x: Tensor) -> Tensor:
        """``(B, V, n, D)`` -> ``(B, V, *unit_size, D)``: raster order inside each unit."""
        _, raster, memory = self._axes()
        axes = " ".join(f"({t})" for t in raster)
        lengths = {name: n for name, n in self._lengths().items() if not name.startswith("u")}
        return rearrange(x, f"b v ({memory}) d -> b v {axes} d", **lengths)

    def reference_order(self, num_units: int) -> Tensor:
        """The indices of tokens in ``num_units`` flattened units, in reference order, ``(U n,)``.

        ``x.flatten(1, 2)[:, order]`` puts ``(B, U, n, D)`` in the order of the documented API:
        tokens that a pooling merges are farthest apart, and units vary fastest.
        """
        blocks, *levels = self._digits()
        order = " ".join(" ".join(names) for names in [*reversed(levels), blocks])
        _, _, memory = self._axes()
        lengths = {name: n for name, n in self._lengths().items() if not name.startswith("u")}
        indices = torch.arange(num_units * self.tokens_per_unit)
        return rearrange(indices, f"(v {memory}) -> ({order} v)", v=num_units, **lengths)

    def _digits(self) -> list[list[str]]:
        """Names of the digits of a token's index in its unit, from slow to fast in memory.

        First the blocks ``r{axis}`` that are never pooled, then one digit ``l{level}{axis}`` per
        query pooling and axis, the coarsest (pooled last) first.
        """
        axes = range(len(self.size))
        levels = [[f"l{level}{i}" for i in axes] for level in range(self.num_levels)]
        return [[f"r{i}" for i in axes], *levels]

    def _axes(self) -> tuple[list[str], list[str], str]:
        """In einops' notation: the unit's digit per axis; a token's digits per axis, in raster
        order; a token's digits in memory order.

        For two axes and two levels: ``u0, u1``; ``r0 l00 l10, r1 l01 l11``; ``r0 r1 l00 l01 l10
        l11``.
        """
        digits = self._digits()
        units = [f"u{i}" for i in range(len(self.size))]
        raster = [" ".join(names) for names in zip(*digits, strict=True)]
        return units, raster, " ".join(" ".join(names) for names in digits)

    def _lengths(self) -> dict[str, int]:
        lengths = {f"u{i}": count for i, count in enumerate(self.units)}
        for i, (unit, stride) in enumerate(zip(self.unit_size, self.query_stride, strict=True)):
            lengths[f"r{i}"] = unit // stride**self.num_levels
            lengths |= {f"l{level}{i}": stride for level in range(self.num_levels)}
        return lengths


@dataclass(frozen=True)
class UnitMask:
    """Which mask units are visible; the number is the same for every sample of a batch.

    ``visible`` (B, V) and ``hidden`` (B, U - V) are unit indices in ascending order;
    ``ids_restore`` (B, U) is the rank of each unit's noise, as the documented API returns it.
    """

    visible: Tensor
    hidden: Tensor
    ids_restore: Tensor

    @classmethod
    def from_noise(cls, noise: Tensor, mask_ratio: float) -> UnitMask:
        """Keep the :func:`count_visible` units with the smallest ``noise`` (B, U).

        Raises:
            ConfigError: if no unit would be visible.
        """
        num_visible = count_visible(noise.shape[1], mask_ratio)
        ids_shuffle = noise.argsort(1)
        return cls(
            visible=ids_shuffle[:, :num_visible].sort(1).values,
            hidden=ids_shuffle[:, num_visible:].sort(1).values,
            ids_restore=ids_shuffle.argsort(1),
        )

    @property
    def keep_mask(self) -> Tensor:
        """``(B, U)``, True = visible."""
        return self.ids_restore < self.visible.shape[1]

    def first_hidden(self, count: int) -> Tensor:
        """The ``count`` hidden units with the smallest noise, ascending, ``(B, count)``."""
        num_visible = self.visible.shape[1]
        by_noise = self.ids_restore.argsort(1)
        return by_noise[:, num_visible : num_visible + count].sort(1).values

    def restore(self, visible: Tensor, hidden: Tensor) -> Tensor:
        """Merge units ``(B, V, ...)`` and ``(B, U - V, ...)`` in their original order."""
        order = torch.cat([self.visible, self.hidden], 1).argsort(1)
        return take_units(torch.cat([visible, hidden], 1), order)


def count_visible(num_units: int, mask_ratio: float) -> int:
    """The number of visible units: ``int(num_units * (1 - mask_ratio))``.

    Raises:
        ConfigError: if it is 0.
    """
    num_visible = int(num_units * (1 - mask_ratio))
    if num_visible == 0:
        raise ConfigError(
            f"mask_ratio={mask_ratio} hides all of an input's {num_units} mask units: "
            f"wanted less than {1 - 1 / num_units:.3g}"
        )
    return num_visible


def take_units(x: Tensor, indices: Tensor) -> Tensor:
    """``x`` (B, U, ...) at each sample's own ``indices`` (B, V), of units or of patches:
    ``(B, V, ...)``."""
    batch, num_units = x.shape[:2]
    first = torch.arange(batch, device=x.device)[:, None] * num_units
    # One flat index: its backward pass adds whole rows, which is fast on every device.
    return x.flatten(0, 1).index_select(0, (first + indices).flatten()).unflatten(0, (batch, -1))
