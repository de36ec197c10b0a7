"""The layout of ``transformers``: images only."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import Tensor

from hiera_video.errors import CheckpointError
from hiera_video.models.config import HieraConfig
from hiera_video.models.config_files import NOT_IN_TRANSFORMERS
from hiera_video.models.kinds import Kind, architecture_name
from hiera_video.models.layouts.base import (
    Checkpoint,
    NameTable,
    from_reference_shape,
    has_linear_head,
    to_reference_shape,
)

_BLOCK = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attention.qkv": "attn.qkv",
    "attention.projection": "attn.proj",
    "mlp": "mlp",
    "skip": "proj",
}
_NAMES = NameTable(
    {
        "patch_embedding": "embeddings.patch_embeddings",
        "position_embedding.joint": "embeddings.position_embeddings",
        **{f"encoder.stages.#.#.{a}": f"encoder.stages.#.layers.#.{b}" for a, b in _BLOCK.items()},
        **{
            f"decoder.blocks.#.{a}": f"decoder.decoder_block.layers.#.{b}"
            for a, b in _BLOCK.items()
        },
        "norm": "pooler.layernorm",
        "norms": "hidden_states_norms",
        "fusion.layers.#": "multiscale_fusion.multi_scale_fusion_heads.#",
        "decoder.embedding": "decoder.decoder_embeddings",
        "decoder.position_embedding": "decoder.decoder_position_embeddings",
        "decoder.norm": "decoder.decoder_norm",
        "decoder.prediction": "decoder.decoder_pred",
    }
)


def recognises(names: Collection[str]) -> bool:
    """Whether weights with these names are in this layout."""
    return any(name.removeprefix("hiera.").startswith("embeddings.patch_emb") for name in names)


def read(values: dict[str, Any], weights: dict[str, Tensor]) -> Checkpoint:
    """Convert the ``values`` of ``config.json`` and weights to a checkpoint. Keys that only
    ``transformers`` needs are ignored."""
    config = HieraConfig.from_file_values({**values, "model_type": "hiera"})
    weights = {
        _NAMES.from_reference(name.removeprefix("hiera.")): tensor
        for name, tensor in weights.items()
    }
    return Checkpoint(
        architecture=(values.get("architectures") or [_architecture(weights)])[0],
        config=config,
        weights={n: from_reference_shape(n, t, config) for n, t in weights.items()},
    )


def _architecture(weights: dict[str, Tensor]) -> str:
    parts = {name.partition(".")[0] for name in weights}
    kinds: dict[str, Kind] = {
        "decoder": "pretraining",
        "classifier": "classification",
        "norms": "backbone",
    }
    kind: Kind = next((kinds[part] for part in kinds if part in parts), "encoder")
    return architecture_name(kind, is_video=False)


def write(checkpoint: Checkpoint) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The values of ``config.json``, and the weights, of a checkpoint in this layout.

    Raises:
        CheckpointError: for clips, window-aware positions, and heads that are not linear, which
            that library's Hiera does not have.
    """
    config = checkpoint.config
    if config.is_video:
        raise CheckpointError(
            "the Hiera of transformers takes images only, and this model takes clips"
        )
    for field in ("global_position_size", "window_units", "layer_scale_init"):
        if getattr(config, field) is not None:
            raise CheckpointError(f"the Hiera of transformers has no {field}")
    if config.skip != "projection":
        raise CheckpointError(f"the Hiera of transformers has no skip={config.skip}")
    if not has_linear_head(checkpoint):
        raise CheckpointError(f"the Hiera of transformers has no head={config.head}")
    values = {
        key: value for key, value in config.to_dict().items() if key not in NOT_IN_TRANSFORMERS
    }
    values |= {
        "architectures": [checkpoint.architecture],
        "model_type": "hiera",
        "dtype": "float32",
    }
    with_head = checkpoint.kind in ("classification", "pretraining")
    weights = {}
    for name, tensor in checkpoint.weights.items():
        reference = _NAMES.to_reference(name)
        in_trunk = reference.partition(".")[0] in ("embeddings", "encoder", "pooler")
        reference = f"hiera.{reference}" if with_head and in_trunk else reference
        weights[reference] = to_reference_shape(name, tensor, config)
    return values, weights
