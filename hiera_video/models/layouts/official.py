"""The layout of the official package (``facebookresearch/hiera``, PyPI ``hiera-transformer``).

Its hub layout is ``model.safetensors`` and a ``config.json`` with the constructor's arguments. Its
``.pth`` files hold ``{"model_state": weights}`` and no config, so the architecture is deduced from
the shapes of the weights.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import isqrt, prod
from typing import Any

from torch import Tensor

from hiera_video.errors import CheckpointError, reason_of
from hiera_video.models.config import HieraConfig
from hiera_video.models.kinds import Kind, architecture_name
from hiera_video.models.layouts.base import (
    Checkpoint,
    NameTable,
    from_reference_shape,
    has_linear_head,
    to_reference_shape,
)
from hiera_video.models.layouts.shapes import BLOCK, block_name, deduce_blocks, stage_name

_NAMES = NameTable(
    {
        "patch_embedding.projection": "patch_embed.proj",
        "position_embedding.joint": "pos_embed",
        "position_embedding.spatial": "pos_embed_spatial",
        "position_embedding.temporal": "pos_embed_temporal",
        # The official package numbers blocks through all stages; `read` and `write` convert that.
        **{f"blocks.#.{a}": f"blocks.#.{b}" for a, b in BLOCK.items()},
        **{f"decoder.blocks.#.{a}": f"decoder_blocks.#.{b}" for a, b in BLOCK.items()},
        "classifier": "head.projection",
        "fusion.layers.#": "multi_scale_fusion_heads.#",
        "decoder.embedding": "decoder_embed",
        "decoder.position_embedding": "decoder_pos_embed",
        "decoder.mask_token": "mask_token",
        "decoder.norm": "decoder_norm",
        "decoder.prediction": "decoder_pred",
    }
)

#: Official constructor arguments -> our fields with the same value.
_FIELDS = {
    "input_size": "image_size",
    "in_chans": "num_channels",
    "embed_dim": "embed_dim",
    "num_classes": "num_labels",
    "stages": "depths",
    "q_pool": "num_query_pool",
    "q_stride": "query_stride",
    "mask_unit_size": "masked_unit_size",
    "mask_unit_attn": "masked_unit_attention",
    "dim_mul": "embed_dim_multiplier",
    "patch_kernel": "patch_size",
    "patch_stride": "patch_stride",
    "patch_padding": "patch_padding",
    "mlp_ratio": "mlp_ratio",
    "drop_path_rate": "drop_path_rate",
    "head_dropout": "head_dropout",
    "head_init_scale": "head_init_scale",
    "sep_pos_embed": "separate_position_embeddings",
}
_DECODER_FIELDS = {
    "decoder_embed_dim": "decoder_hidden_size",
    "decoder_depth": "decoder_depth",
    "decoder_num_heads": "decoder_num_heads",
}
#: The official constructor's defaults that differ from ours; stored configs may omit them.
_DEFAULTS = {"num_labels": 1000}
#: The official constructors' value, which cannot be deduced from shapes.
_DECODER_NUM_HEADS = 16


def recognises(names: Collection[str]) -> bool:
    """Whether weights with these names are in this layout."""
    return "patch_embed.proj.weight" in names


def read(
    values: dict[str, Any] | None,
    weights: dict[str, Tensor],
    config: HieraConfig | None = None,
    num_heads: list[int] | None = None,
) -> Checkpoint:
    """Convert weights, and the ``values`` of ``config.json`` if there is one, to a checkpoint.

    Args:
        config: replaces the configuration from ``values`` or from the weights' shapes.
        num_heads: heads per stage, for an architecture that was not published.

    Raises:
        CheckpointError: if the architecture cannot be deduced.
    """
    is_mae = "decoder_pos_embed" in weights
    if config is None:
        fields = _from_arguments(values) if values is not None else _deduce(weights, num_heads)
        if is_mae:
            fields |= {
                "decoder_hidden_size": weights["decoder_embed.weight"].shape[0],
                "decoder_depth": len(
                    {n.split(".")[1] for n in weights if n.startswith("decoder_bl")}
                ),
                "decoder_num_heads": (values or {}).get("decoder_num_heads", _DECODER_NUM_HEADS),
                "mask_ratio": 0.9 if len(fields.get("image_size", [])) == 3 else 0.6,
            }
        elif "head.projection.weight" in weights:
            fields["num_labels"] = weights["head.projection.weight"].shape[0]
        config = HieraConfig(**fields)
    converted = {}
    for name, tensor in weights.items():
        bare = stage_name(_NAMES.from_reference(name), config.depths)
        converted[bare] = from_reference_shape(bare, tensor, config)
    if is_mae:
        kind: Kind = "pretraining"
    else:
        kind = "classification" if "classifier.weight" in converted else "encoder"
    return Checkpoint(architecture_name(kind, config.is_video), config, converted)


def write(checkpoint: Checkpoint) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The values of ``config.json``, and the weights, of a checkpoint in this layout.

    Raises:
        CheckpointError: if the official classes cannot express the model.
    """
    config = checkpoint.config
    if checkpoint.kind not in ("classification", "pretraining"):
        raise CheckpointError(
            "the official package has classifiers and pre-training models, no "
            f"{checkpoint.architecture}"
        )
    heads = config.num_heads
    growth = heads[1] / heads[0] if len(heads) > 1 else 1.0
    faults = [
        f"{name}={value}"
        for name, value, fits in (
            ("hidden_act", config.hidden_act, config.hidden_act == "gelu"),
            ("layer_norm_eps", config.layer_norm_eps, config.layer_norm_eps == 1e-6),
            ("global_position_size", config.global_position_size, not config.global_position_size),
            ("window_units", config.window_units, config.window_units is None),
            ("skip", config.skip, config.skip == "projection"),
            ("layer_scale_init", config.layer_scale_init, config.layer_scale_init is None),
            ("head", config.head, has_linear_head(checkpoint)),
            ("num_heads", heads, heads == [int(heads[0] * growth**i) for i in range(len(heads))]),
        )
        if not fits
    ]
    if faults:
        raise CheckpointError(f"the official package has no {', '.join(faults)}")
    stored = config.to_dict()
    values = {theirs: stored[ours] for theirs, ours in _FIELDS.items()}
    values |= {"num_heads": heads[0], "head_mul": growth}
    if checkpoint.kind == "pretraining":
        values |= {theirs: stored[ours] for theirs, ours in _DECODER_FIELDS.items()}
    weights = {
        _NAMES.to_reference(block_name(name, config.depths)): to_reference_shape(
            name, tensor, config
        )
        for name, tensor in checkpoint.weights.items()
    }
    return values, weights


def _from_arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of our config from stored constructor arguments."""
    fields: dict[str, Any] = dict(_DEFAULTS)
    fields |= {ours: values[theirs] for theirs, ours in _FIELDS.items() if theirs in values}
    depths = fields.get("depths", [2, 3, 16, 3])
    first, growth = values.get("num_heads", 1), values.get("head_mul", 2.0)
    return {**fields, "num_heads": [int(first * growth**stage) for stage in range(len(depths))]}


def _deduce(weights: Mapping[str, Tensor], num_heads: list[int] | None) -> dict[str, Any]:
    """The fields of our config, deduced from the shapes of official weights.

    Strides, mask units and heads, which shapes do not show, are those of the published variants.
    """
    try:
        fields = deduce_blocks(weights, num_heads)
        fusions = sum(n.startswith("multi_scale_fusion") and n.endswith("weight") for n in weights)
        fields |= {
            "num_query_pool": fusions or fields["num_query_pool"],
            "separate_position_embeddings": "pos_embed_spatial" in weights,
        }
        fields["image_size"] = _deduce_size(weights, fields)
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"the architecture cannot be told from the weights ({reason_of(error)})"
        ) from None
    return fields


def _deduce_size(weights: Mapping[str, Tensor], fields: Mapping[str, Any]) -> list[int]:
    """The input size, square in space."""
    *frame_stride, _, stride = fields.get("patch_stride", [4, 4])
    if not fields["separate_position_embeddings"]:
        num_positions = weights["pos_embed"].shape[1]
        # A joint table of a clip does not show how many of its positions are frames: the published
        # length is assumed.
        frames = [fields["image_size"][0]] if frame_stride else []
        num_positions //= prod(frames) // prod(frame_stride)
    else:
        num_positions = weights["pos_embed_spatial"].shape[1]
        frames = [weights["pos_embed_temporal"].shape[1] * frame_stride[0]]
    side = isqrt(num_positions)
    if side * side != num_positions:
        raise ValueError(f"{num_positions} positions are no square: give the config")
    return [*frames, side * stride, side * stride]
