"""Heads of classifiers, by the names that ``HieraConfig.head`` takes.

A head is one module here and a line in :data:`HEADS`; its name goes into ``HieraConfig.head``.
"""

from __future__ import annotations

from collections.abc import Collection

from hiera_video.models.config import HieraConfig
from hiera_video.models.heads.attentive import AttentiveHead
from hiera_video.models.heads.head import Head, NoHead
from hiera_video.models.heads.linear import LinearHead

__all__ = ["HEADS", "Head", "head_class", "name_of_head"]

HEADS: dict[str, type[Head]] = {"linear": LinearHead, "attentive": AttentiveHead}


def head_class(config: HieraConfig) -> type[Head]:
    """The class of the head that a config names; :class:`NoHead` without labels."""
    return HEADS[config.head] if config.num_labels else NoHead


def name_of_head(weights: Collection[str]) -> str | None:
    """The name in :data:`HEADS` of the head that weights with these bare names have, or None."""
    for name, head in HEADS.items():
        if f"classifier.{head.label_weight}" in weights:
            return name
    return None
