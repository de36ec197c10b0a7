"""The three fields of a configuration that name its labels, each derived from the others."""

from __future__ import annotations

from typing import Any, Literal

#: What labels are, and with that the loss (:mod:`hiera_video.models.losses`).
ProblemType = Literal["regression", "single_label_classification", "multi_label_classification"]


def unnamed_labels(num_labels: int) -> dict[int, str]:
    """The names that labels have if they are given none."""
    return {index: f"LABEL_{index}" for index in range(num_labels)}


def complete_labels(values: dict[str, Any]) -> dict[str, Any]:
    """``values`` with ``num_labels`` and ``id2label`` derived from the given names, if missing."""
    values = dict(values)
    indices = values.get("label2id")
    if values.get("id2label") is None and isinstance(indices, dict):
        values["id2label"] = {index: name for name, index in indices.items()}
    if values.get("num_labels") is None:
        values.pop("num_labels", None)
        if values.get("id2label"):
            values["num_labels"] = len(values["id2label"])
    return values


def check_labels(
    num_labels: int, names: dict[int, str] | None, problem: ProblemType | None
) -> None:
    """Check that there is one name for each label, and that labels fit the problem.

    Raises:
        ValueError: if not.
    """
    if sorted(names or {}) != list(range(num_labels)):
        raise ValueError(
            f"id2label names {len(names or {})} labels and num_labels={num_labels}: wanted one "
            "name for each index from 0"
        )
    if problem == "single_label_classification" and num_labels == 1:
        raise ValueError(
            "problem_type=single_label_classification and num_labels=1: there is nothing to tell "
            "apart; wanted num_labels=2 for two classes, or problem_type=regression for one value"
        )
