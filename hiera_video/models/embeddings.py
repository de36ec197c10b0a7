"""From pixels to tokens: patch embedding in 2-D and 3-D, and position embeddings of any size.

Axes: B batch, C channels, T H W frames, rows and columns (of pixels or of tokens), U mask units, n
tokens in a unit, V visible units, D width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from hiera_video.models.config import HieraConfig
from hiera_video.models.mask_units import TokenGrid, UnitMask


class PatchEmbedding(nn.Module):
    """A strided convolution with overlapping kernels (paper, Sec. 3 and App. A).

    Maps images ``(B, C, H, W)`` or clips ``(B, C, T, H, W)`` to tokens in mask-unit order
    ``(B, U, n, D)``. With a mask, it computes only the tokens of visible units, ``(B, V, n, D)``.
    """

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        self.kernel_size = tuple(config.patch_size)
        self.stride = tuple(config.patch_stride)
        self.padding = tuple(config.patch_padding)
        convolution = nn.Conv3d if config.is_video else nn.Conv2d
        self.projection = convolution(
            config.num_channels,
            config.embed_dim,
            self.kernel_size,  # type: ignore[arg-type]
            self.stride,  # type: ignore[arg-type]
            self.padding,  # type: ignore[arg-type]
        )

    def forward(self, pixel_values: Tensor, grid: TokenGrid, mask: UnitMask | None) -> Tensor:
        if mask is None:
            tokens = self.projection(pixel_values)
            return grid.unroll(rearrange(tokens, "b d ... -> b ... d"))
        pixel_values = zero_hidden_units(pixel_values, grid, mask)
        windows = self._visible_windows(pixel_values, grid, mask)
        convolve = F.conv3d if windows.ndim == 5 else F.conv2d
        tokens = convolve(windows, self.projection.weight, self.projection.bias, self.stride)
        tokens = grid.one_unit().unroll(rearrange(tokens, "b d ... -> b ... d"))
        return rearrange(tokens, "(b v) 1 n d -> b v n d", b=len(pixel_values))

    def _visible_windows(self, pixel_values: Tensor, grid: TokenGrid, mask: UnitMask) -> Tensor:
        """The pixels under the kernels of each visible unit: its own, and a border around them,
        ``(B V, C, [T,] H, W)``."""
        # F.pad takes the last axis first, with a size for each of its ends.
        padding = [size for size in reversed(self.padding) for _ in range(2)]
        windows = F.pad(pixel_values, padding)
        axes = zip(grid.unit_size, self.stride, self.kernel_size, strict=True)
        for axis, (unit, stride, kernel) in enumerate(axes, start=2):
            windows = windows.unfold(axis, (unit - 1) * stride + kernel, unit * stride)
        # (B, C, *units, *window) -> the visible units of each sample; only these are copied.
        windows = windows.movedim(1, 1 + len(grid.units))
        batch = torch.arange(len(pixel_values), device=pixel_values.device)[:, None]
        indices = (batch, *_unravel(mask.visible, grid.units))
        return windows[indices].flatten(0, 1)


def _unravel(indices: Tensor, size: Sequence[int]) -> list[Tensor]:
    """Indices into a flattened grid -> indices along each of its axes.

    (``torch.unravel_index`` puts tensors of ``size`` on the device, and waits for that.)
    """
    along: list[Tensor] = []
    for length in reversed(size):
        along.insert(0, indices % length)
        indices = indices // length
    return along


def zero_hidden_units(pixel_values: Tensor, grid: TokenGrid, mask: UnitMask) -> Tensor:
    """``pixel_values`` with zeros in hidden units.

    Kernels overlap: without the zeros, visible tokens at a border would see hidden pixels. The
    reference implementations do the same; weights depend on it.
    """
    keep = mask.keep_mask.unflatten(1, grid.units).unsqueeze(1).to(pixel_values.dtype)
    return pixel_values * F.interpolate(keep, size=pixel_values.shape[2:])


class PositionEmbedding(nn.Module):
    """Learned position embeddings: one table for all axes, or a spatial and a temporal one.

    ``config.separate_position_embeddings`` chooses the second form, which the published video
    models have: the spatial table is repeated over time and the temporal one over space.

    With ``config.global_position_size``, the first table has that size and is resized to the grid,
    and a further table of the size of one mask unit is repeated over all units. Attention inside
    mask units learns positions that repeat from unit to unit; resizing those would shift them
    against the units ("Window Attention is Bugged", arXiv 2311.05613; called ``abswin`` in
    ``timm``).
    """

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        grid, width = config.token_grid, config.embed_dim
        self.separate = config.separate_position_embeddings
        self.window_aware = config.global_position_size is not None
        self.antialias = config.global_position_antialias
        size = config.global_position_size or grid
        unit = config.masked_unit_size
        if self.separate:
            size, unit = [1, *size[1:]], [1, *unit[1:]]
            self.spatial = nn.Parameter(torch.zeros(*size, width))
            self.temporal = nn.Parameter(torch.zeros(grid[0], 1, 1, width))
        else:
            self.joint = nn.Parameter(torch.zeros(*size, width))
        if self.window_aware:
            self.window = nn.Parameter(torch.zeros(*unit, width))

    def forward(self, grid: TokenGrid) -> Tensor:
        """Embeddings of all tokens of ``grid`` in mask-unit order, ``(1, U, n, D)``."""
        size = grid.size
        if self.separate:
            table = self._over_space(self.spatial, (1, *size[1:]))
            table = table + resize_table(self.temporal, (size[0], 1, 1))
        else:
            table = self._over_space(self.joint, size)
        return grid.unroll(table.unsqueeze(0))

    def _over_space(self, table: Tensor, size: tuple[int, ...]) -> Tensor:
        if not self.window_aware:
            return resize_table(table, size)
        repeats = [n // unit for n, unit in zip(size, self.window.shape, strict=False)]
        # Weights depend on whether this is antialiased: timm's are, those of SAM 2 are not.
        return resize_table(table, size, self.antialias) + self.window.repeat(*repeats, 1)


def sine_cosine_table(size: Sequence[int], width: int) -> Tensor:
    """Positions as sines and cosines, ``(*size, width)``: a share of the width for each axis.

    Wavelengths go from 4 positions to 8 times the axis, in equal ratios. Values are at most 0.5, as
    large as the initial patch embeddings.
    """
    axes = [axis for axis, length in enumerate(size) if length > 1]
    table = torch.zeros(*size, width)
    share = width // max(len(axes), 1) // 2 * 2
    for place, axis in enumerate(axes):
        wavelengths = torch.logspace(2, math.log2(8 * size[axis]), share // 2, base=2)
        angles = torch.arange(size[axis])[:, None] * (2 * math.pi / wavelengths)
        waves = torch.cat([angles.sin(), angles.cos()], 1) / 2
        begin = place * share
        shape = [size[axis] if other == axis else 1 for other in range(len(size))]
        table[..., begin : begin + share] = waves.view(*shape, share)
    return table


def resize_table(table: Tensor, size: tuple[int, ...], antialias: bool = False) -> Tensor:
    """A table ``([T,] H, W, D)`` at another size: bicubic over space, linear over time.

    Returns the table itself if it has that size already.
    """
    *time, height, width = size
    if table.shape[-3:-1] != (height, width):
        maps = table.reshape(-1, *table.shape[-3:]).movedim(-1, 1)  # (T or 1, D, H, W)
        maps = F.interpolate(maps, (height, width), mode="bicubic", antialias=antialias)
        table = maps.movedim(1, -1).reshape(*table.shape[:-3], height, width, -1)
    if time and table.shape[0] != time[0]:
        columns = rearrange(table, "t h w d -> (h w) d t")
        columns = F.interpolate(columns, time[0], mode="linear")
        table = rearrange(columns, "(h w) d t -> t h w d", h=height)
    return table
