"""Inflating image checkpoints, so that video models can start from them.

The encoder never sees space or time, so its weights fit unchanged. Only the layers that turn pixels
into tokens change: the patch embedding gets a time axis, and temporal positions are added.

Axes: D width, C channels, T frames or token times, H W rows and columns.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from hiera_video.models.config import HieraConfig
from hiera_video.models.embeddings import resize_table
from hiera_video.models.kinds import architecture_name
from hiera_video.models.layouts.base import TRUNK, Checkpoint

Inflation = Literal["center", "average"]


def inflate(
    checkpoint: Checkpoint, num_frames: int, inflation: Inflation, overrides: dict[str, Any]
) -> Checkpoint:
    """Turn an image checkpoint into one for clips; heads stay unchanged.

    Args:
        num_frames: frames per clip.
        inflation: see :func:`hiera_video.models.registry.inflate_from_images`.
        overrides: fields to change; names that are no fields of ``HieraConfig`` are ignored.

    Raises:
        ConfigError: for fields that do not fit.
    """
    config = HieraConfig.from_dict(
        {**checkpoint.config.to_dict(), **video_fields(checkpoint.config, num_frames)},
        **{name: value for name, value in overrides.items() if name in HieraConfig.model_fields},
    )
    weights = dict(checkpoint.weights)
    kernel = weights["patch_embedding.projection.weight"]
    weights["patch_embedding.projection.weight"] = _inflate_kernel(
        kernel, config.patch_size[0], inflation
    )
    table = weights.pop("position_embedding.joint")
    if config.global_position_size is None:
        table = resize_table(table, config.token_grid[1:])
    table = table.unsqueeze(0)
    if config.separate_position_embeddings:
        weights["position_embedding.spatial"] = table
        # Zero: at first, time has no effect.
        weights["position_embedding.temporal"] = table.new_zeros(
            config.token_grid[0], 1, 1, table.shape[-1]
        )
    else:
        times = (config.global_position_size or config.token_grid)[0]
        weights["position_embedding.joint"] = table.repeat(times, 1, 1, 1)
    if "position_embedding.window" in weights:
        times = 1 if config.separate_position_embeddings else config.masked_unit_size[0]
        window = weights["position_embedding.window"].unsqueeze(0)
        weights["position_embedding.window"] = window.repeat(times, 1, 1, 1)
    kind = checkpoint.kind
    name = checkpoint.architecture if kind is None else architecture_name(kind, is_video=True)
    return Checkpoint(name, config, weights, inflated=True, source=checkpoint.source)


def inflate_into(checkpoint: Checkpoint, config: HieraConfig) -> Checkpoint:
    """Turn an image checkpoint into one that a clip model of ``config`` can start from.

    A model to pre-train on clips gets only the encoder: the decoder of an image checkpoint does not
    fit.
    """
    fields = {
        name: value
        for name, value in config.to_dict().items()
        if name in video_fields(config, 1) and name not in ("image_size", "global_position_size")
    }
    inflated = inflate(checkpoint, config.image_size[0], "center", fields)
    if config.decoder_depth is not None:
        trunk = {n: t for n, t in inflated.weights.items() if n.partition(".")[0] in TRUNK}
        name = architecture_name("encoder", is_video=True)
        return replace(inflated, architecture=name, weights=trunk)
    return inflated


def video_fields(config: HieraConfig, num_frames: int) -> dict[str, Any]:
    """The fields of the published video models, for the spatial sizes of ``config``."""
    fields: dict[str, Any] = {
        "image_size": [num_frames, *config.image_size],
        "patch_size": [3, *config.patch_size],
        "patch_stride": [2, *config.patch_stride],
        "patch_padding": [1, *config.patch_padding],
        "query_stride": [1, *config.query_stride],
        "masked_unit_size": [1, *config.masked_unit_size],
        "separate_position_embeddings": True,
    }
    if config.global_position_size is not None:
        fields["global_position_size"] = [num_frames // 2, *config.global_position_size]
    return fields


def _inflate_kernel(kernel: Tensor, num_frames: int, inflation: Inflation) -> Tensor:
    """``(D, C, H, W)`` -> ``(D, C, T, H, W)``."""
    if inflation == "average":
        return kernel.unsqueeze(2).repeat(1, 1, num_frames, 1, 1) / num_frames
    inflated = torch.zeros(*kernel.shape[:2], num_frames, *kernel.shape[2:])
    inflated[:, :, num_frames // 2] = kernel
    return inflated
