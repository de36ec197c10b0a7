"""Which stages a backbone returns: names and indices, each from the other.

The rules are those documented for backbones of ``transformers`` (``BackboneConfigMixin``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hiera_video.errors import suggest


def resolve_stages(
    stage_names: Sequence[str], features: list[str] | None, indices: list[int] | None
) -> tuple[list[str], list[int]]:
    """Names and indices of the chosen stages, in the order of ``stage_names``.

    Each is filled from the other; where neither is given, or a list is empty, the last stage is
    chosen. Negative indices stay as they were given.

    Raises:
        ValueError: if a stage does not exist or is given twice, if stages are not in the order of
            ``stage_names``, or if both name different stages.
    """
    names = list(stage_names)
    if not features and not indices:
        return [names[-1]], [len(names) - 1]
    for name in features or []:
        if name not in names:
            raise ValueError(f"out_features: {name!r} is no stage, {suggest(name, names)}")
    for index in indices or []:
        if not -len(names) <= index < len(names):
            raise ValueError(f"out_indices: {index} is no stage, valid: 0 to {len(names) - 1}")
    if features:
        _check_order("out_features", features, [names.index(name) for name in features])
    if indices:
        _check_order("out_indices", indices, [index % len(names) for index in indices])
    features = features or [names[index] for index in indices or []]
    indices = indices or [names.index(name) for name in features]
    if features != [names[index] for index in indices]:
        raise ValueError(f"out_features={features} and out_indices={indices} name different stages")
    return features, indices


def _check_order(field: str, given: Sequence[Any], places: Sequence[int]) -> None:
    if len(set(places)) < len(places):
        raise ValueError(f"{field}={list(given)}: a stage is named twice")
    in_order = [value for _, value in sorted(zip(places, given, strict=True))]
    if in_order != list(given):
        raise ValueError(f"{field}={list(given)}: wanted the order of the network, {in_order}")
