"""Windows of whole mask units, inside which the image encoders of SAM 2 attend (arXiv 2408.00714).

Units are in raster order, as everywhere (:mod:`hiera_video.models.mask_units`).
Axes: B batch, U mask units, V visible units, W windows, n tokens in a unit, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


@dataclass(frozen=True)
class UnitWindows:
    """Windows of whole mask units, of ``side`` units along height and width, over all times.

    ``units`` are those of the input per axis. Without a mask, windows at the bottom and on the
    right are filled with zeros (SAM 2; weights depend on it: tokens attend to what a layer's bias
    makes of them). With a mask there is nothing to fill: ``same`` ``(B, V, V)`` says which visible
    units are in the same window, and is None where all are.
    """

    units: tuple[int, ...]
    side: int
    same: Tensor | None = None

    @classmethod
    def of_input(
        cls, units: tuple[int, ...], side: int, visible: Tensor | None = None
    ) -> UnitWindows | None:
        """The windows of an input; None if tokens in its only window are just all tokens.

        Args:
            units: mask units per axis.
            visible: indices of the visible units ``(B, V)``, where others are hidden.
        """
        *_, height, width = units
        if visible is None:
            return None if height == width == side else cls(units, side)
        if max(height, width) <= side:
            return None
        rows, columns = visible // width % height, visible % width
        windows = rows // side * width + columns // side
        return cls(units, side, windows[:, :, None] == windows[:, None, :])

    def gather(self, x: Tensor) -> Tensor:
        """``(B, U, n, D)`` -> ``(B W, U', n, D)``: the U' units of each of W windows, some of
        zeros."""
        *time, height, width = self.units
        x = x.unflatten(1, (prod(time), height, width))
        bottom, right = -height % self.side, -width % self.side
        if bottom or right:
            x = F.pad(x, (0, 0, 0, 0, 0, right, 0, bottom))
        return rearrange(x, "b t (p h) (q w) n d -> (b p q) (t h w) n d", h=self.side, w=self.side)

    def scatter(self, x: Tensor) -> Tensor:
        """The inverse of :meth:`gather`, for any n and D."""
        *time, height, width = self.units
        rows, columns = -(-height // self.side), -(-width // self.side)
        lengths = {"p": rows, "q": columns, "h": self.side, "w": self.side}
        x = rearrange(x, "(b p q) (t h w) n d -> b t (p h) (q w) n d", t=prod(time), **lengths)
        return x[:, :, :height, :width].flatten(1, 3)
