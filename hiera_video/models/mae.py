"""Masked pre-training: hide most mask units, predict their pixels (paper, Sec. 3 and App. A).

Axes: B batch, C channels, T H W frames, rows, columns, U mask units, V visible units, n tokens in a
unit after all query poolings, N = U n patches, M hidden ones of them that are predicted, P pixel
values of a patch, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from einops import rearrange
from torch import Tensor, nn

from hiera_video.errors import ConfigError
from hiera_video.models.config import HieraConfig
from hiera_video.models.embeddings import resize_table
from hiera_video.models.encoder import Block, Stage
from hiera_video.models.hiera import Encoded, HeadMask, HieraModel, choose
from hiera_video.models.mask_units import TokenGrid, UnitMask, count_visible, take_units
from hiera_video.models.outputs import HieraPreTrainingOutput
from hiera_video.models.pretrained import PretrainedModel


def patch_span(config: HieraConfig) -> list[int]:
    """The frames, rows and columns of pixels in a patch that the decoder predicts."""
    pools = config.num_query_pool
    return [s * q**pools for s, q in zip(config.patch_stride, config.query_stride, strict=True)]


def to_patches(config: HieraConfig, pixel_values: Tensor) -> Tensor:
    """The pixels of all patches in raster order, ``(B, N, P)``.

    For clips, only the first frame of each patch counts. A quirk of the official code, which
    weights depend on: channels come first inside a patch of an image, last inside one of a clip.
    """
    pixel_axes, patch_axes, sides = _patch_axes(config)
    if config.is_video:
        pixel_values = pixel_values[:, :, :: patch_span(config)[0]]
    return rearrange(pixel_values, f"{pixel_axes} -> {patch_axes}", **sides)


def from_patches(config: HieraConfig, patches: Tensor, size: Sequence[int]) -> Tensor:
    """The inverse of :func:`to_patches`: ``(B, N, P)`` -> ``(B, C, H, W)`` or ``(B, C, T, H, W)``,
    where T counts the first frames of patches; ``size`` is ``(H, W)``, in pixels."""
    pixel_axes, patch_axes, sides = _patch_axes(config)
    counts = {"h": size[0] // sides["p"], "w": size[1] // sides["q"]}
    pattern = f"{patch_axes} -> {pixel_axes}"
    return rearrange(patches, pattern, c=config.num_channels, **counts, **sides)


def _patch_axes(config: HieraConfig) -> tuple[str, str, dict[str, int]]:
    """In einops' notation: axes of pixels and of patches; rows p and columns q of a patch."""
    height, width = patch_span(config)[-2:]
    sides = {"p": height, "q": width}
    if config.is_video:
        return "b c t (h p) (w q)", "b (t h w) (p q c)", sides
    return "b c (h p) (w q)", "b (h w) (c p q)", sides


def patch_statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation ``(..., 1)`` of each patch ``(..., P)``, which normalise targets.

    The variance is unbiased, as in the official code.
    """
    variance, mean = torch.var_mean(patches, -1, keepdim=True)
    return mean, (variance + 1e-6).sqrt()


class MultiScaleFusion(nn.Module):
    """Projects the outputs of all stages to the size and width of the last one, and adds them.

    The paper uses convolutions whose stride equals their kernel. The tokens under such a kernel are
    contiguous in memory, so here each convolution is a linear layer on groups of tokens.
    """

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        widths = config.stage_dims
        self.group_sizes = [
            prod(config.query_stride) ** (config.num_query_pool - stage)
            for stage in range(config.num_query_pool)
        ]
        self.layers = nn.ModuleList(
            nn.Linear(group * width, widths[-1])
            for group, width in zip(self.group_sizes, widths, strict=False)
        )

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """Outputs of all stages, ``(B, V, n_stage, D_stage)`` -> ``(B, V, n, D)``."""
        fused = stages[-1]
        for stage, layer, group in zip(stages, self.layers, self.group_sizes, strict=False):
            fused = fused + layer(rearrange(stage, "b v (n g) d -> b v n (g d)", g=group))
        return fused


class Decoder(nn.Module):
    """A small transformer over patches; a mask token represents hidden ones.

    With decoder masking (VideoMAE V2, arXiv 2303.16727, Sec. 3.2) it sees only the visible patches
    and those that it predicts.
    """

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        width, depth, heads = _decoder_sizes(config)
        size = (
            TokenGrid.of_input(config, tuple(config.image_size)).pooled(config.num_query_pool).size
        )
        self.embedding = nn.Linear(config.stage_dims[-1], width)
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.position_embedding = nn.Parameter(torch.zeros(*size, width))
        self.blocks = Stage(Block(config, width, width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        num_values = config.num_channels * prod(patch_span(config)[-2:])
        self.prediction = nn.Linear(width, num_values)

    def forward(
        self, visible: Tensor, mask: UnitMask, grid: TokenGrid, predicted: Tensor | None
    ) -> Tensor:
        """Fused tokens ``(B, V, n, D)`` -> predictions ``(B, N, P)`` of all patches in raster
        order, or ``(B, M, P)`` of the ``predicted`` ones (B, M), which are hidden."""
        visible = self.embedding(visible)
        hidden = self.mask_token.to(visible.dtype).expand(*mask.hidden.shape, visible.shape[2], -1)
        x = grid.reroll(mask.restore(visible, hidden))
        x = (x + resize_table(self.position_embedding, grid.size)).flatten(1, -2)
        if predicted is not None:
            x = take_units(x, torch.cat([unit_patches(grid, mask.visible), predicted], 1))
        x = self.blocks(x.unsqueeze(1))[0].squeeze(1)
        if predicted is not None:
            x = x[:, x.shape[1] - predicted.shape[1] :]
        return self.prediction(self.norm(x))


class HieraForPreTraining(PretrainedModel):
    """Masked autoencoder: the encoder on visible units, multi-scale fusion, decoder, pixel loss.

    Raises:
        ConfigError: if the config has no decoder (``decoder_hidden_size``, ``decoder_depth`` and
            ``decoder_num_heads``), or its ``mask_ratio`` hides no mask unit or all of them.
    """

    kind = "pretraining"
    fresh_parts = ("fusion", "encoder_norm", "decoder")

    def __init__(self, config: HieraConfig) -> None:
        super().__init__(config)
        grid = TokenGrid.of_input(config, tuple(config.image_size))
        if count_visible(grid.num_units, config.mask_ratio) == grid.num_units:
            raise ConfigError(
                f"mask_ratio={config.mask_ratio} hides none of an input's {grid.num_units} mask "
                f"units: wanted at least {1 / grid.num_units:.3g}"
            )
        self.hiera = HieraModel(config, add_pooling_layer=False, is_mae=True)
        self.fusion = MultiScaleFusion(config)
        self.encoder_norm = nn.LayerNorm(config.stage_dims[-1], eps=config.layer_norm_eps)
        self.decoder = Decoder(config)
        # The fusion keeps PyTorch's initialisation, as the official convolutions do.
        for module in (self.hiera, self.encoder_norm, self.decoder):
            module.apply(self._initialize)

    def forward(
        self,
        pixel_values: Tensor,
        noise: Tensor | None = None,
        head_mask: HeadMask | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        interpolate_pos_encoding: bool | None = None,
        return_dict: bool | None = None,
    ) -> HieraPreTrainingOutput | tuple[Tensor, ...]:
        """Hide a random ``config.mask_ratio`` of the mask units and predict their pixels.

        Arguments as in :meth:`HieraModel.forward`. The loss is the mean squared error over hidden
        patches; predictions are for all patches. With ``config.decoder_mask_ratio``, both are for
        those hidden units that the decoder predicts: the ones with the smallest ``noise``.
        """
        config = self.config
        encoded = self.hiera.encode(
            pixel_values,
            noise=noise,
            head_mask=head_mask,
            output_attentions=choose(output_attentions, config.output_attentions),
            interpolate_pos_encoding=bool(interpolate_pos_encoding),
        )
        mask, grid = _mask(encoded), encoded.grids[-1]
        fused = self.encoder_norm(self.fusion(encoded.states[1:]))
        predicted = unit_patches(grid, _predicted_units(mask, config.decoder_mask_ratio))
        leaves_out = config.decoder_mask_ratio > 0
        logits = self.decoder(fused, mask, grid, predicted if leaves_out else None)
        predictions = logits if leaves_out else take_units(logits, predicted)
        errors = predictions - self.pixel_targets(pixel_values, predicted)
        output = HieraPreTrainingOutput(
            loss=errors.square().mean(),
            logits=logits,
            bool_masked_pos=visible_patches(grid, mask),
            ids_restore=mask.ids_restore,
            ids_predicted=predicted if leaves_out else None,
        )
        encoded.fill(output, choose(output_hidden_states, config.output_hidden_states))
        return output if choose(return_dict, config.return_dict) else output.to_tuple()

    def pixel_targets(self, pixel_values: Tensor, patches: Tensor) -> Tensor:
        """The targets of ``patches`` (B, M): their pixels ``(B, M, P)``, each patch normalised by
        its own mean and variance if ``config.normalize_pixel_loss``."""
        targets = take_units(to_patches(self.config, pixel_values), patches)
        if self.config.normalize_pixel_loss:
            mean, deviation = patch_statistics(targets)
            targets = (targets - mean) / deviation
        return targets

    def _initialize(self, module: nn.Module) -> None:
        """Initialise one module's own parameters as the official pre-training code does."""
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d):
            nn.init.xavier_uniform_(module.weight.flatten(1))  # a view: a kernel is one row
            if module.bias is not None:
                nn.init.zeros_(module.bias)  # the official code leaves those of convolutions
        elif isinstance(module, nn.LayerNorm):
            nn.init.constant_(module.weight, self.config.layer_norm_init)
            nn.init.zeros_(module.bias)
        else:
            super()._initialize(module)


def unit_patches(grid: TokenGrid, units: Tensor) -> Tensor:
    """The raster indices of the patches in ``units`` (B, V), ascending, ``(B, V n)``."""
    count = grid.num_units * grid.tokens_per_unit
    indices = torch.arange(count, device=units.device).view(1, *grid.size, 1)
    return grid.unroll(indices)[0, units].flatten(1).sort(1).values


def visible_patches(grid: TokenGrid, mask: UnitMask) -> Tensor:
    """The mask of patches in raster order, ``(B, N)``, True = visible."""
    keep = mask.keep_mask[:, :, None, None].expand(-1, -1, grid.tokens_per_unit, -1)
    return grid.reroll(keep).flatten(1)


def _predicted_units(mask: UnitMask, decoder_mask_ratio: float) -> Tensor:
    """The hidden units that the decoder predicts: at least one."""
    num_hidden = mask.hidden.shape[1]
    return mask.first_hidden(num_hidden - int(num_hidden * decoder_mask_ratio))


def _mask(encoded: Encoded) -> UnitMask:
    if encoded.mask is None:
        raise ConfigError("hiera.is_mae=False: pre-training wants an encoder that hides mask units")
    return encoded.mask


def _decoder_sizes(config: HieraConfig) -> tuple[int, int, int]:
    sizes = (config.decoder_hidden_size, config.decoder_depth, config.decoder_num_heads)
    width, depth, heads = sizes
    if width is None or depth is None or heads is None:
        raise ConfigError(
            "pre-training needs a decoder: give decoder_hidden_size, decoder_depth and "
            "decoder_num_heads (published: 512, 8 and 16)"
        )
    return width, depth, heads
