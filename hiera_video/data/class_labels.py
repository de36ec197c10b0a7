"""Class indices of the labels in a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from hiera_video.data.label_column import LabelColumn


class ClassLabels:
    """Makes ``labels``, class indices, of the column ``label``.

    Attributes:
        classes: class names in index order.
        order_is_assumed: whether nobody gave their order.
        warnings: labels that may have been meant to be one.
    """

    columns: tuple[str, ...] = ("label",)

    def __init__(self, classes: Sequence[str] | None) -> None:
        self.classes = list(classes or ())
        self.order_is_assumed = classes is None
        self.warnings: list[str] = []

    def encode(self, path: Path, table: pa.Table) -> dict[str, pa.Array]:
        """The index of each row's label."""
        written = LabelColumn(path, table["label"])
        return {"labels": written.indices(self.classes).combine_chunks()}
