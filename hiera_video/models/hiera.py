"""The encoder with its embeddings and pooler.

Axes: B batch, C channels, T H W frames, rows, columns, U mask units, n tokens in a unit, V visible
units, N tokens, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from hiera_video.errors import ConfigError
from hiera_video.models.config import HieraConfig
from hiera_video.models.embeddings import PatchEmbedding, PositionEmbedding
from hiera_video.models.encoder import Encoder
from hiera_video.models.mask_units import TokenGrid, UnitMask
from hiera_video.models.outputs import (
    HieraBackboneOutput,
    HieraModelOutput,
    HieraPreTrainingOutput,
)
from hiera_video.models.pretrained import PretrainedModel
from hiera_video.models.windows import UnitWindows

HeadMask = Tensor | Sequence[Tensor | None]

EncoderOutput = TypeVar(
    "EncoderOutput", HieraModelOutput, HieraPreTrainingOutput, HieraBackboneOutput
)


@dataclass
class Encoded:
    """The output of the encoder, in mask-unit order.

    ``states``: the embeddings and the output of every stage, each ``(B, V, n, D)``; ``grids``:
    their token grids; ``attentions``: see :class:`Encoder`.
    """

    grids: list[TokenGrid]
    states: list[Tensor]
    attentions: list[Tensor]
    mask: UnitMask | None

    def flat_state(self, index: int) -> Tensor:
        """A state as ``(B, N, D)`` in the reference order."""
        state, grid = self.states[index], self.grids[index]
        if grid.tokens_per_unit == 1:
            return state.flatten(1, 2)
        order = grid.reference_order(state.shape[1]).to(state.device)
        return state.flatten(1, 2)[:, order]

    def hidden_states(self) -> tuple[Tensor, ...]:
        """All states as ``(B, N, D)`` in the reference order."""
        return tuple(self.flat_state(index) for index in range(len(self.states)))

    def reshaped_hidden_states(self) -> tuple[Tensor, ...]:
        """All states as maps ``(B, [T,] H, W, D)``; unit by unit if some units are hidden."""
        return tuple(
            grid.reroll(state) if self.mask is None else grid.reroll_units(state)
            for grid, state in zip(self.grids, self.states, strict=True)
        )

    def attention_maps(self) -> tuple[Tensor, ...]:
        """Attention weights as ``(B, heads, groups, queries, keys)`` in the reference order; groups
        are mask units, windows of them, or one."""
        maps = []
        for stage, weights in enumerate(self.attentions):
            num_units = weights.shape[-2] // self.grids[stage + 1].tokens_per_unit
            queries = self.grids[stage + 1].reference_order(num_units).to(weights.device)
            keys = self.grids[stage].reference_order(num_units).to(weights.device)
            if weights.shape[-1] != len(keys):
                keys = queries  # the last block does not pool, unless it is the stage's only one
            maps.append(weights[..., queries[:, None], keys].transpose(1, 2))
        return tuple(maps)

    def fill(self, output: EncoderOutput, output_hidden_states: bool) -> EncoderOutput:
        """Add attention weights, if computed, and, with ``output_hidden_states``, hidden states in
        each form that ``output`` has; returns ``output``."""
        if self.attentions:
            output.attentions = self.attention_maps()
        if output_hidden_states:
            output.hidden_states = self.hidden_states()
            if not isinstance(output, HieraBackboneOutput):
                output.reshaped_hidden_states = self.reshaped_hidden_states()
        return output


class HieraModel(PretrainedModel):
    """Patch and position embeddings, the shared encoder, and a pooler.

    The pooler averages the last stage's tokens and normalises the average, in this order (official
    implementation; weights depend on it). With ``is_mae``, a random ``config.mask_ratio`` of the
    mask units is hidden and the encoder sees the others only.
    """

    kind = "encoder"
    fresh_parts = ("norm",)
    init_arguments = ("add_pooling_layer", "is_mae")

    def __init__(
        self, config: HieraConfig, add_pooling_layer: bool = True, is_mae: bool = False
    ) -> None:
        super().__init__(config)
        self.is_mae = is_mae
        self.patch_embedding = PatchEmbedding(config)
        self.position_embedding = PositionEmbedding(config)
        self.encoder = Encoder(config)
        self.norm = (
            nn.LayerNorm(config.stage_dims[-1], eps=config.layer_norm_eps)
            if add_pooling_layer
            else None
        )
        self.apply(self._initialize)

    def forward(
        self,
        pixel_values: Tensor,
        noise: Tensor | None = None,
        head_mask: HeadMask | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        interpolate_pos_encoding: bool | None = None,
        return_dict: bool | None = None,
    ) -> HieraModelOutput | tuple[Tensor, ...]:
        """Encode images ``(B, C, H, W)`` or clips ``(B, C, T, H, W)`` of normalised pixels.

        Args:
            noise: ``(B, U)``, for ``is_mae``: units of small noise are visible; default: random.
            head_mask: per stage, None or ``(heads,)`` factors for its attention weights; a single
                tensor applies to all stages.
            interpolate_pos_encoding: resize position embeddings to inputs of any size that mask
                units divide; otherwise, the size must be the config's.
            output_attentions, output_hidden_states, return_dict: default to the config's.

        Raises:
            ConfigError: if the axes, sizes or type of the input do not fit.
        """
        config = self.config
        encoded = self.encode(
            pixel_values,
            noise=noise,
            head_mask=head_mask,
            output_attentions=choose(output_attentions, config.output_attentions),
            interpolate_pos_encoding=bool(interpolate_pos_encoding),
        )
        output = HieraModelOutput(last_hidden_state=encoded.flat_state(-1))
        if self.norm is not None:
            output.pooler_output = self.norm(encoded.states[-1].mean((1, 2)))
        if encoded.mask is not None:
            output.bool_masked_pos = encoded.mask.keep_mask
            output.ids_restore = encoded.mask.ids_restore
        encoded.fill(output, choose(output_hidden_states, config.output_hidden_states))
        return output if choose(return_dict, config.return_dict) else output.to_tuple()

    def encode(
        self,
        pixel_values: Tensor,
        *,
        noise: Tensor | None = None,
        head_mask: HeadMask | None = None,
        output_attentions: bool = False,
        interpolate_pos_encoding: bool = False,
    ) -> Encoded:
        """The results of :meth:`forward`, before they are put into the documented order."""
        grid = self._check_input(pixel_values, interpolate_pos_encoding)
        mask = self._draw_mask(pixel_values, grid, noise) if self.is_mae else None
        embedded = self.patch_embedding(pixel_values, grid, mask)
        positions = self.position_embedding(grid)
        if mask is not None:
            positions = positions[0, mask.visible]
        embedded = embedded + positions
        masks = None if head_mask is None else self._head_masks(head_mask)
        side = self.config.window_units
        windows = None
        if side is not None:
            visible = None if mask is None else mask.visible
            windows = UnitWindows.of_input(grid.units, side, visible)
        stages, attentions = self.encoder(embedded, masks, output_attentions, windows)
        poolings = [0, *(min(stage, self.config.num_query_pool) for stage in range(len(stages)))]
        return Encoded(
            grids=[grid.pooled(count) for count in poolings],
            states=[embedded, *stages],
            attentions=attentions,
            mask=mask,
        )

    def _draw_mask(self, pixel_values: Tensor, grid: TokenGrid, noise: Tensor | None) -> UnitMask:
        shape = (len(pixel_values), grid.num_units)
        if noise is None:
            noise = torch.rand(shape, device=pixel_values.device)
        elif noise.shape != shape:
            raise ConfigError(
                f"noise has shape {tuple(noise.shape)}, wanted one value per sample and mask "
                f"unit, {shape}"
            )
        return UnitMask.from_noise(noise, self.config.mask_ratio)

    def _check_input(self, pixel_values: Tensor, any_size: bool) -> TokenGrid:
        config = self.config
        if not pixel_values.is_floating_point():
            raise ConfigError(
                f"pixel_values is {pixel_values.dtype}, wanted float pixels, normalised as the "
                "checkpoint says: load_clips gives such, of a file"
            )
        size = config.image_size
        if any_size and pixel_values.ndim == 2 + len(size):
            size = list(pixel_values.shape[2:])
        if pixel_values.shape[1:] != (config.num_channels, *size):
            raise ConfigError(
                f"pixel_values has shape {tuple(pixel_values.shape)}, wanted "
                f"(B, {', '.join(map(str, (config.num_channels, *size)))})"
                f"{self._hint(pixel_values, any_size)}"
            )
        return TokenGrid.of_input(config, tuple(size))

    def _hint(self, pixel_values: Tensor, any_size: bool) -> str:
        """A hint about the likely mistake in an input that does not fit."""
        channels, shape = self.config.num_channels, pixel_values.shape
        if self.config.is_video and pixel_values.ndim == 5 and channels == shape[2] != shape[1]:
            return "; yours looks like (B, T, C, H, W): use .transpose(1, 2)"
        return "" if any_size else " (other sizes: interpolate_pos_encoding=True)"

    def _head_masks(self, head_mask: HeadMask) -> list[Tensor | None]:
        heads = self.config.num_heads
        if isinstance(head_mask, Tensor) and head_mask.ndim == 1:
            head_mask = head_mask.expand(len(heads), -1)
        masks = list(head_mask)
        shapes = [None if mask is None else tuple(mask.shape) for mask in masks]
        if len(shapes) != len(heads) or any(
            shape not in (None, (count,)) for shape, count in zip(shapes, heads, strict=True)
        ):
            raise ConfigError(
                f"head_mask has shapes {shapes}, wanted None or one value per head for each stage: "
                f"{[(count,) for count in heads]}"
            )
        return masks


def choose(given: bool | None, configured: bool) -> bool:
    """An argument of ``forward``, or the config's value if it is None."""
    return configured if given is None else given
