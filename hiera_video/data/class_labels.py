"""The labels that a manifest has, and one class per row, encoded as class indices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from hiera_video.data.class_list import CLASSES_FILE, read_classes
from hiera_video.errors import ManifestError, suggest
from hiera_video.labels import normalize_label, order_classes, similar_labels


class LabelEncoder:
    """Encodes the column ``label`` by classes, one or several a row.

    Args:
        classes: class names in index order, kept as they are written. None reads the
            ``classes.txt`` beside the manifest; without that file, the labels themselves are sorted
            (``labels.order_classes``).

    Attributes:
        classes: the names in index order; without ``classes``, known once a manifest is read.
        order_is_assumed: whether the order of the classes comes from sorting the labels.
        warnings: pairs of labels that may be two spellings of one class.
    """

    columns: tuple[str, ...] = ("label",)

    def __init__(self, classes: Sequence[str] | None = None) -> None:
        self._given = None if classes is None else list(classes)
        self.classes = self._given or []
        self.order_is_assumed = False
        self.warnings: list[str] = []

    def _learn_classes(self, path: Path, counts: Mapping[str, int]) -> list[str]:
        """Set the attributes for a manifest whose labels have these ``counts``; the classes that
        were given, or stand in ``classes.txt``, if any."""
        given = classes_beside(path) if self._given is None else self._given
        self.order_is_assumed = given is None
        self.classes = order_classes(counts) if given is None else given
        self.warnings = similar_labels(counts)
        return given or []


class ClassLabels(LabelEncoder):
    """One class per row: the target ``labels``, int32 class indices."""

    def encode(self, path: Path, table: pa.Table) -> dict[str, pa.ChunkedArray]:
        """The class index of each row of the manifest at ``path``.

        Raises:
            ManifestError: if a row has no label, several labels, or one that is no class.
        """
        column = _LabelColumn(path, table["label"])
        given = self._learn_classes(path, column.counts)
        column.check_single(given)
        return {"labels": column.indices(self.classes)}


class ClassIndices:
    """The indices of class names.

    An exact match goes before a normalised one: a class list from before names were normalised may
    contain two spellings of one name.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = classes
        self._exact = {name: index for index, name in enumerate(classes)}
        self._normalized: dict[str, int] = {}
        for index, name in enumerate(classes):
            self._normalized.setdefault(normalize_label(name), index)

    def of(self, label: str) -> int | None:
        """The index of a label as it is written; None if it is no class."""
        return self._exact.get(label.strip(), self._normalized.get(normalize_label(label)))

    def why_not(self, label: str) -> str:
        """What to say of a label that is no class."""
        name = normalize_label(label)
        return f"label {name!r} is not one of the {len(self._classes)} classes, " + suggest(
            name, self._classes
        )


def classes_beside(path: Path) -> list[str] | None:
    """The names in the ``classes.txt`` beside a manifest, if there is one."""
    classes_file = path.parent / CLASSES_FILE
    return read_classes(classes_file) if classes_file.exists() else None


class _LabelColumn:
    """The labels of a manifest's rows. ``counts`` maps each normalised label to its number of rows.

    Raises:
        ManifestError: if a row has no label; the message names the first one.
    """

    def __init__(self, path: Path, column: pa.ChunkedArray) -> None:
        self.path = path
        self.column = column
        self._written: list[str] = pc.unique(column).to_pylist()
        self._names = [normalize_label(label) for label in self._written]
        if "" in self._names:
            raise self._error(self._names.index(""), "has no label, and others have")
        self.counts: Counter[str] = Counter()
        counts = {entry["values"]: entry["counts"] for entry in pc.value_counts(column).to_pylist()}
        for label, name in zip(self._written, self._names, strict=True):
            self.counts[name] += counts[label]

    def _error(self, number: int, reason: str) -> ManifestError:
        """An error at the first row with the label ``self._written[number]``."""
        row = pc.index(self.column, self._written[number]).as_py()
        return ManifestError(f"{self.path}, line {row + 2}: {reason}")

    def check_single(self, classes: Sequence[str]) -> None:
        """Check that each label with a ``|`` is the name of one of the given ``classes``.

        Raises:
            ManifestError: if not; the message names the first such label.
        """
        known = {normalize_label(name) for name in classes}
        for number, name in enumerate(self._names):
            if "|" in name and name not in known:
                raise self._error(
                    number,
                    f"label {name!r}: several labels in a row, joined by |, are for "
                    "task=multi_label; give one, or list the name in classes.txt if it is that of "
                    "one class",
                )

    def indices(self, classes: Sequence[str]) -> pa.ChunkedArray:
        """The index in ``classes`` of each row's label.

        Raises:
            ManifestError: if a label is no class; the message names it and the nearest class.
        """
        known = ClassIndices(classes)
        indices = [known.of(label) for label in self._written]
        if None in indices:
            number = indices.index(None)
            raise self._error(number, known.why_not(self._written[number]))
        labels = pc.index_in(self.column, value_set=pa.array(self._written, pa.string()))
        return pc.take(pa.array(indices, pa.int32()), labels)
