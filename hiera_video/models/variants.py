"""The published variants, as one table (paper, Tab. 2 and App. A)."""

from __future__ import annotations

from typing import Any, NamedTuple

from hiera_video.errors import ConfigError, suggest
from hiera_video.models.config import HieraConfig


class Variant(NamedTuple):
    """Width of the first stage, blocks per stage, heads per stage, and published top-1 accuracies.

    Accuracies in percent: Kinetics-400 with 16 frames and 5x3 views (paper, Tab. 4), ImageNet-1K at
    224x224 (official repository). No weights for clips were published of those without the former.
    """

    embed_dim: int
    depths: tuple[int, ...]
    num_heads: tuple[int, ...]
    imagenet1k: float
    kinetics400: float | None = None


VARIANTS = {
    "tiny": Variant(96, (1, 2, 7, 2), (1, 2, 4, 8), 82.8),
    "small": Variant(96, (1, 2, 11, 2), (1, 2, 4, 8), 83.8),
    "base": Variant(96, (2, 3, 16, 3), (1, 2, 4, 8), 84.5, 84.0),
    "base_plus": Variant(112, (2, 3, 16, 3), (2, 4, 8, 16), 85.2, 85.0),
    "large": Variant(144, (2, 6, 36, 4), (2, 4, 8, 16), 86.1, 87.3),
    "huge": Variant(256, (2, 6, 36, 4), (4, 8, 16, 32), 86.9, 87.8),
}


class Sam2Variant(NamedTuple):
    """How an image encoder of SAM 2 differs from the variant of the same width and depth: windows
    of mask units, the blocks that attend globally, the side of the global position table."""

    window_units: int
    global_attention_blocks: tuple[int, ...]
    global_position_side: int

    def fields(self) -> dict[str, Any]:
        """The ``HieraConfig`` fields of such an encoder, besides width, depths and heads."""
        return {
            "window_units": self.window_units,
            "global_attention_blocks": list(self.global_attention_blocks),
            "global_position_size": [self.global_position_side] * 2,
            "global_position_antialias": False,
        }


#: The image encoders of SAM 2 and 2.1 (arXiv 2408.00714), by the variants that they are made of.
SAM2 = {
    "tiny": Sam2Variant(7, (5, 7, 9), 7),
    "small": Sam2Variant(7, (7, 10, 13), 7),
    "base_plus": Sam2Variant(7, (12, 16, 20), 14),
    "large": Sam2Variant(8, (23, 33, 43), 7),
}

IMAGE: dict[str, Any] = {"num_labels": 1000}
VIDEO: dict[str, Any] = {
    "image_size": [16, 224, 224],
    "patch_size": [3, 7, 7],
    "patch_stride": [2, 4, 4],
    "patch_padding": [1, 3, 3],
    "query_stride": [1, 2, 2],
    "masked_unit_size": [1, 8, 8],
    "separate_position_embeddings": True,
    "num_labels": 400,
}
#: Pre-training: no pooling before the last stage, and a decoder. The paper says 8 decoder heads for
#: video; the published weights were made with 16, like those for images.
DECODER: dict[str, Any] = {
    "num_query_pool": 2,
    "decoder_hidden_size": 512,
    "decoder_depth": 8,
    "decoder_num_heads": 16,
}


class VariantName(NamedTuple):
    """The parts of a model's name, ``[mae_]hiera_{size}_{224 | 16x224}``.

    ``size`` is a key of :data:`VARIANTS`; ``is_video``: whether the model takes clips;
    ``is_pretraining``: whether it is for pre-training.
    """

    size: str
    is_video: bool
    is_pretraining: bool

    def __str__(self) -> str:
        beginning = "mae_hiera" if self.is_pretraining else "hiera"
        return f"{beginning}_{self.size}_{'16x224' if self.is_video else '224'}"


def _variant_names() -> dict[str, VariantName]:
    names = [
        VariantName(size, is_video, is_pretraining)
        for is_pretraining in (False, True)
        for is_video in (False, True)
        for size in VARIANTS
    ]
    return {str(name): name for name in names}


_NAMES = _variant_names()


def list_models() -> list[str]:
    """The names that ``create_model`` knows: ``[mae_]hiera_{variant}_{224 | 16x224}``."""
    return list(_NAMES)


def parse_name(name: str) -> VariantName:
    """Parse the name of a model.

    Raises:
        ConfigError: for an unknown name, with the nearest known one.
    """
    if name not in _NAMES:
        raise ConfigError(f"{name}: unknown model, {suggest(name, list_models())}")
    return _NAMES[name]


def published_variant(config: HieraConfig) -> str | None:
    """The name in :data:`VARIANTS` of the variant with this width, blocks and heads, if any."""
    size = (config.embed_dim, tuple(config.depths), tuple(config.num_heads))
    return next((name for name, variant in VARIANTS.items() if variant[:3] == size), None)


def variant_config(name: str, **overrides: Any) -> HieraConfig:
    """The configuration of a named variant, with some fields replaced.

    Raises:
        ConfigError: for an unknown name (with the nearest known one) or fields that do not fit.
    """
    return HieraConfig.from_dict(variant_fields(name), **overrides)


def variant_fields(name: str) -> dict[str, Any]:
    """The ``HieraConfig`` fields of a named variant.

    Raises:
        ConfigError: for an unknown name, with the nearest known one.
    """
    size, is_video, is_pretraining = parse_name(name)
    variant = VARIANTS[size]
    fields = {
        **(VIDEO if is_video else IMAGE),
        "embed_dim": variant.embed_dim,
        "depths": list(variant.depths),
        "num_heads": list(variant.num_heads),
    }
    if is_pretraining:
        fields |= {**DECODER, "mask_ratio": 0.9 if is_video else 0.6}
    return fields
