"""The layout of ``timm``: its Hiera models of images, window-aware (``abswin``) ones too, and its
image encoders of SAM 2 (``sam2_hiera_*``)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import isqrt
from typing import Any

from einops import rearrange
from torch import Tensor

from hiera_video.errors import CheckpointError, reason_of
from hiera_video.models.config import HieraConfig
from hiera_video.models.kinds import Kind, architecture_name
from hiera_video.models.layouts.base import Checkpoint, NameTable, has_linear_head
from hiera_video.models.layouts.shapes import (
    BLOCK,
    block_name,
    block_part,
    deduce_blocks,
    stage_name,
)
from hiera_video.models.variants import SAM2, VARIANTS

_BLOCK = {
    **BLOCK,
    "scale1.weight": "ls1.gamma",
    "scale2.weight": "ls2.gamma",
}
_NAMES = NameTable(
    {
        "patch_embedding.projection": "patch_embed.proj",
        "position_embedding.joint": "pos_embed",
        **{f"blocks.#.{ours}": f"blocks.#.{theirs}" for ours, theirs in _BLOCK.items()},
        "norm": "head.norm",
        "classifier": "head.fc",
    }
)
_WINDOW = "position_embedding.window"
#: Name of the table that repeats with the mask units: of SAM 2, of `abswin`.
SAM2_WINDOW, ABSWIN_WINDOW = "pos_embed_window", "pos_embed_win"
_HEADS = {"head.norm.weight", "head.fc.weight"}
#: The size that `abswin` models were made for. Their tables do not tell.
_ABSWIN_SIZE = [256, 256]
#: timm's value, from which weights have long departed.
_LAYER_SCALE_INIT = 1e-5


def recognises(names: Collection[str]) -> bool:
    """Whether weights with these names are in this layout."""
    own = {*_HEADS, SAM2_WINDOW, ABSWIN_WINDOW}
    return "patch_embed.proj.weight" in names and not own.isdisjoint(names)


def read(
    values: Mapping[str, Any] | None,
    weights: Mapping[str, Tensor],
    config: HieraConfig | None = None,
    num_heads: list[int] | None = None,
) -> Checkpoint:
    """Convert weights to a checkpoint; the architecture is deduced from their shapes.

    Models of SAM 2 take 224 pixels, or 256 if their windows are that large, which is the smallest
    size that they divide (they were trained at 1024): ``interpolate_pos_encoding``, or another
    ``image_size``, takes any other.

    Args:
        values: of ``config.json``, for the names of labels.
        config: replaces the one that is deduced.
        num_heads: heads per stage, for an architecture that was not published.

    Raises:
        CheckpointError: if the architecture cannot be deduced.
    """
    if config is None:
        try:
            fields = _deduce(weights, num_heads)
        except (KeyError, ValueError, IndexError) as error:
            raise CheckpointError(
                f"the architecture cannot be told from the weights ({reason_of(error)})"
            ) from None
        names = (values or {}).get("label_names")
        if isinstance(names, list) and len(names) == fields["num_labels"]:
            fields["id2label"] = dict(enumerate(map(str, names)))
        config = HieraConfig(**fields)
    converted = {}
    for name, tensor in weights.items():
        is_window = name in (SAM2_WINDOW, ABSWIN_WINDOW)
        bare = _WINDOW if is_window else stage_name(_NAMES.from_reference(name), config.depths)
        converted[bare] = _from_table(tensor, config) if name.startswith("pos_embed") else tensor
    kind: Kind = "classification" if "classifier.weight" in converted else "encoder"
    return Checkpoint(architecture_name(kind, is_video=False), config, converted)


def _deduce(weights: Mapping[str, Tensor], num_heads: list[int] | None) -> dict[str, Any]:
    fields = deduce_blocks(weights, num_heads)
    fields["num_labels"] = len(weights.get("head.fc.weight", ()))
    if "proj.weight" not in map(block_part, weights):
        fields["skip"] = "pooling"
    if "blocks.0.ls1.gamma" in weights:
        fields["layer_scale_init"] = _LAYER_SCALE_INIT
    positions = weights["pos_embed"]
    if SAM2_WINDOW in weights:
        return fields | _deduce_sam2(fields["depths"], list(positions.shape[2:]))
    if ABSWIN_WINDOW in weights:
        size = list(positions.shape[2:])
        return fields | {"global_position_size": size, "image_size": _ABSWIN_SIZE}
    side = isqrt(positions.shape[1])
    if side * side != positions.shape[1]:
        raise ValueError(f"{positions.shape[1]} positions are no square: give the config")
    return fields | {"image_size": [4 * side, 4 * side]}


def _deduce_sam2(depths: list[int], global_size: list[int]) -> dict[str, Any]:
    """The windows of a published image encoder of SAM 2, which shapes do not show."""
    sizes = [size for size in SAM2 if list(VARIANTS[size].depths) == depths]
    if not sizes:
        raise CheckpointError(
            f"depths={depths} are of no published image encoder of SAM 2, and weights do not tell "
            "which blocks attend globally: give the config"
        )
    fields = SAM2[sizes[0]].fields()
    side = 32 * fields["window_units"]
    return {**fields, "global_position_size": global_size, "image_size": [side, side]}


def _from_table(tensor: Tensor, config: HieraConfig) -> Tensor:
    """A table of positions ``(1, D, H, W)`` or ``(1, N, D)`` as ours, ``(H, W, D)``."""
    if tensor.ndim == 4:
        return tensor[0].permute(1, 2, 0)
    return tensor.reshape(*config.token_grid, -1)


def write(checkpoint: Checkpoint) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The values of ``config.json``, and the weights, of a checkpoint in this layout:
    ``timm.create_model("local-dir:FOLDER")`` reads them.

    Raises:
        CheckpointError: if timm has no such model.
    """
    config = checkpoint.config
    architecture = _architecture_of(checkpoint)
    is_sam2 = config.window_units is not None
    axes = "1 (h w) d" if config.global_position_size is None else "1 d h w"
    weights = {}
    for name, tensor in checkpoint.weights.items():
        theirs = _NAMES.to_reference(block_name(name, config.depths))
        if name == _WINDOW:
            theirs = SAM2_WINDOW if is_sam2 else ABSWIN_WINDOW
        is_table = name.startswith("position_embedding.")
        weights[theirs] = rearrange(tensor, f"h w d -> {axes}") if is_table else tensor
    num_labels = config.num_labels if checkpoint.kind == "classification" else 0
    values = {
        "architecture": architecture,
        "num_classes": num_labels,
        "num_features": config.stage_dims[-1],
        "model_args": {} if is_sam2 else {"img_size": config.image_size},
        "pretrained_cfg": {
            "num_classes": num_labels,
            "input_size": [config.num_channels, *config.image_size],
        },
    }
    if num_labels and config.has_label_names:
        values["label_names"] = list((config.id2label or {}).values())
    return values, weights


def _architecture_of(checkpoint: Checkpoint) -> str:
    """The name of timm's model with this architecture.

    Raises:
        CheckpointError: if there is none.
    """
    config = checkpoint.config
    if config.is_video or checkpoint.kind not in ("classification", "encoder"):
        raise CheckpointError(
            "timm has Hiera classifiers and encoders of images, no "
            f"{checkpoint.architecture} of {'clips' if config.is_video else 'images'}"
        )
    if not has_linear_head(checkpoint):
        raise CheckpointError(f"the Hiera of timm has no head={config.head}")
    own = _traits(config)
    nearest = sorted(own)
    for name, fields in _ARCHITECTURES.items():
        theirs = _traits(HieraConfig(**fields))
        faults = [key for key in own if own[key] != theirs[key]]
        if not faults:
            return name
        nearest = min(nearest, faults, key=len)
    named = ", ".join(f"{key}={own[key]}" for key in nearest)
    raise CheckpointError(f"no Hiera of timm has {named}")


def _traits(config: HieraConfig) -> dict[str, Any]:
    """What tells timm's models apart, or is the same in all of them."""
    left_out = ("image_size", "drop_path_rate", "mask_ratio", "layer_scale_init")
    shared = {"patch_size", "masked_unit_attention", "hidden_act", "layer_norm_eps", "mlp_ratio"}
    names = shared | {key for fields in _ARCHITECTURES.values() for key in fields}
    traits = {name: getattr(config, name) for name in sorted(names.difference(left_out))}
    return {**traits, "layer_scale_init": config.layer_scale_init is not None}


def _fields(size: str, **fields: Any) -> dict[str, Any]:
    variant = VARIANTS[size]
    blocks = {"embed_dim": variant.embed_dim, "depths": list(variant.depths)}
    return {**blocks, "num_heads": list(variant.num_heads), **fields}


_SCALED = {"layer_scale_init": _LAYER_SCALE_INIT}
#: Fields of timm's models by their names.
_ARCHITECTURES: dict[str, dict[str, Any]] = {
    **{f"hiera_{size}_224": _fields(size) for size in VARIANTS},
    **{f"sam2_hiera_{size}": _fields(size, **variant.fields()) for size, variant in SAM2.items()},
    "hiera_small_abswin_256": _fields(
        "small", global_position_size=[16, 16], skip="pooling", **_SCALED
    ),
    "hiera_base_abswin_256": _fields("base", global_position_size=[14, 14], **_SCALED),
}
