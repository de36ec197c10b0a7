"""Several classes per row: labels joined by ``|``, encoded as one yes or no for each class.

Axes: N rows, K classes.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hiera_video.data.class_labels import ClassIndices, ClassLabels, LabelEncoder, classes_beside
from hiera_video.data.class_list import CLASSES_FILE
from hiera_video.errors import ManifestError
from hiera_video.labels import normalize_label

SEPARATOR = "|"


class LabelSets(LabelEncoder):
    """Any number of classes per row: the target ``labels``, K booleans.

    A cell without any label means that none of the classes is there. It may be a mistake as well,
    so it is taken only where a ``classes.txt`` beside the manifest says which classes there are.
    """

    def encode(self, path: Path, table: pa.Table) -> dict[str, pa.Array]:
        """The classes of each row of the manifest at ``path``.

        Raises:
            ManifestError: if a row has an empty label, or one that is no class; or if the name of
                a class contains a ``|``.
        """
        column = table["label"]
        cells: list[str] = pc.unique(column).to_pylist()
        may_be_empty = (path.parent / CLASSES_FILE).exists()
        counts: Counter[str] = Counter()
        number_of_rows = {
            entry["values"]: entry["counts"] for entry in pc.value_counts(column).to_pylist()
        }
        for cell in cells:
            if fault := _fault(cell, may_be_empty):
                raise _error_at(path, column, cell, fault)
            for name in {normalize_label(label) for label in _labels_of(cell)}:
                counts[name] += number_of_rows[cell]
        self._learn_classes(path, counts)
        if joined := [name for name in self.classes if SEPARATOR in name]:
            raise ManifestError(
                f"{path}: the class {joined[0]!r} has a {SEPARATOR} in its name, which separates "
                "the labels of a row"
            )
        known = ClassIndices(self.classes)
        sets = np.zeros((len(cells), len(self.classes)), bool)
        for row, cell in zip(sets, cells, strict=True):
            for label in _labels_of(cell):
                index = known.of(label)
                if index is None:
                    raise _error_at(path, column, cell, known.why_not(label))
                row[index] = True
        numbers = pc.index_in(column, value_set=pa.array(cells, pa.string())).to_numpy()
        flat = pa.array(sets[numbers].reshape(-1))
        return {"labels": pa.FixedSizeListArray.from_arrays(flat, len(self.classes))}


class WrittenLabels(LabelEncoder):
    """The target ``written``: the label of each row as text, or its labels joined by ``|``, for
    commands that pass them on. A row has several where one has a ``|`` that is no class's own."""

    def encode(self, path: Path, table: pa.Table) -> dict[str, pa.Array]:
        """The labels of each row of the manifest at ``path``.

        Raises:
            ManifestError: as :class:`ClassLabels` and :class:`LabelSets` do.
        """
        known = {normalize_label(name) for name in classes_beside(path) or []}
        cells = map(normalize_label, pc.unique(table["label"]).to_pylist())
        encoder: ClassLabels | LabelSets = ClassLabels()
        if any(SEPARATOR in cell and cell not in known for cell in cells):
            encoder = LabelSets()
        encoded = encoder.encode(path, table)["labels"]
        self.classes = encoder.classes
        if isinstance(encoder, ClassLabels):
            return {"written": pa.array(self.classes, pa.string()).take(encoded)}
        names = np.array(self.classes, object)
        sets = encoded.flatten().to_numpy(zero_copy_only=False).reshape(-1, len(names))
        return {"written": pa.array([SEPARATOR.join(names[row]) for row in sets], pa.string())}


def _labels_of(cell: str) -> list[str]:
    """The labels of a cell, as they are written."""
    return cell.split(SEPARATOR) if normalize_label(cell) else []


def _fault(cell: str, may_be_empty: bool) -> str | None:
    if not normalize_label(cell) and not may_be_empty:
        return (
            "has no label; that a video shows none of the classes can be said where a "
            f"{CLASSES_FILE} beside the manifest lists them"
        )
    if not all(normalize_label(label) for label in _labels_of(cell)):
        return f"label {normalize_label(cell)!r} has an empty name between its {SEPARATOR}"
    return None


def _error_at(path: Path, column: pa.ChunkedArray, cell: str, fault: str) -> ManifestError:
    """An error at the first row with this cell."""
    return ManifestError(f"{path}, line {pc.index(column, cell).as_py() + 2}: {fault}")
