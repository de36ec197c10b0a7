"""The named variants, as one table (paper, Tab. 2 and App. A)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from hiera_video.config import suggest
from hiera_video.errors import ConfigError
from hiera_video.models.config import HieraConfig
from hiera_video.models.hiera import HieraForImageClassification, HieraForVideoClassification


class Variant(NamedTuple):
    """Width of the first stage, blocks per stage, heads per stage."""

    embed_dim: int
    depths: tuple[int, ...]
    num_heads: tuple[int, ...]


VARIANTS = {
    "tiny": Variant(96, (1, 2, 7, 2), (1, 2, 4, 8)),
    "small": Variant(96, (1, 2, 11, 2), (1, 2, 4, 8)),
    "base": Variant(96, (2, 3, 16, 3), (1, 2, 4, 8)),
    "base_plus": Variant(112, (2, 3, 16, 3), (2, 4, 8, 16)),
    "large": Variant(144, (2, 6, 36, 4), (2, 4, 8, 16)),
    "huge": Variant(256, (2, 6, 36, 4), (4, 8, 16, 32)),
}

#: Published for 224x224 images (ImageNet-1K) and 16x224x224 clips (Kinetics-400).
IMAGE_VARIANTS = ("tiny", "small", "base", "base_plus", "large", "huge")
VIDEO_VARIANTS = ("base", "base_plus", "large", "huge")

_IMAGE: dict[str, Any] = {"num_labels": 1000}
_VIDEO: dict[str, Any] = {
    "image_size": [16, 224, 224],
    "patch_size": [3, 7, 7],
    "patch_stride": [2, 4, 4],
    "patch_padding": [1, 3, 3],
    "query_stride": [1, 2, 2],
    "masked_unit_size": [1, 8, 8],
    "separate_position_embeddings": True,
    "num_labels": 400,
}


def list_models() -> list[str]:
    """The names that :func:`create_model` knows."""
    return [f"hiera_{name}_224" for name in IMAGE_VARIANTS] + [
        f"hiera_{name}_16x224" for name in VIDEO_VARIANTS
    ]


def variant_config(name: str, **overrides: Any) -> HieraConfig:
    """The configuration of a named variant, with some fields replaced.

    Raises:
        ConfigError: for an unknown name (with the nearest known one) or fields that do not fit.
    """
    if name not in list_models():
        raise ConfigError(f"model.name={name}: unknown model, {suggest(name, list_models())}")
    variant, _, size = name.removeprefix("hiera_").rpartition("_")
    return HieraConfig(
        **{**VARIANTS[variant]._asdict(), **(_VIDEO if size == "16x224" else _IMAGE), **overrides}
    )


def create_model(
    name: str, pretrained: str | Path | None = None, **overrides: Any
) -> HieraForImageClassification | HieraForVideoClassification:
    """A named model, with fresh weights or those of ``pretrained``.

    Args:
        name: one of :func:`list_models`.
        pretrained: whatever ``from_pretrained`` takes.
        overrides: ``HieraConfig`` fields to change.

    Raises:
        ConfigError: for an unknown name or fields that do not fit.
        CheckpointError: if ``pretrained`` is missing or holds another architecture.
    """
    config = variant_config(name, **overrides)
    cls = HieraForVideoClassification if config.is_video else HieraForImageClassification
    if pretrained is None:
        return cls(config)
    return cls.from_pretrained(pretrained, **overrides)
