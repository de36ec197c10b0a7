"""The image encoders in files of SAM 2 and 2.1: the original ones, and those of ``transformers``.

Both hold the whole model; all but the image encoder's trunk (memory, prompts, mask decoder, the
neck) is left out. Their names become those of ``timm``, which :mod:`layouts.timm` reads.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from torch import Tensor

from hiera_video.models.layouts.timm import SAM2_WINDOW

#: Where the trunk is: in the original whole model, and in its image encoder; in whole models of
#: ``transformers``, in their vision model, and in their trunk itself.
_PREFIXES = ("image_encoder.trunk.", "trunk.", "vision_encoder.backbone.", "backbone.", "")
_NAMES = {
    r"^patch_embed\.projection\.": "patch_embed.proj.",
    r"\.layer_norm([12])\.": r".norm\1.",
    r"\.mlp\.(?:layers\.0|proj_in)\.": ".mlp.fc1.",
    r"\.mlp\.(?:layers\.1|proj_out)\.": ".mlp.fc2.",
}


def recognises(names: Collection[str]) -> bool:
    """Whether weights with these names are in one of these layouts."""
    prefix = _prefix(names)
    return prefix is not None and (
        f"{prefix}blocks.0.mlp.layers.0.weight" in names
        or f"{prefix}blocks.0.mlp.proj_in.weight" in names
    )


def to_timm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the trunk under the names of ``timm``."""
    prefix = _prefix(weights) or ""
    trunk = {n.removeprefix(prefix): t for n, t in weights.items() if n.startswith(prefix)}
    return {_translate(name): tensor for name, tensor in trunk.items()}


def _prefix(names: Collection[str]) -> str | None:
    return next((prefix for prefix in _PREFIXES if prefix + SAM2_WINDOW in names), None)


def _translate(name: str) -> str:
    for pattern, replacement in _NAMES.items():
        name = re.sub(pattern, replacement, name)
    return name
