"""Manifests: which videos there are, and what they show.

A manifest is a CSV with a header, ``path,label[,start_seconds,end_seconds]``. ``path`` is absolute,
or relative to ``data.root`` (default: the manifest's own folder); ``label`` is a class name. A file
``classes.txt`` beside it, one name a line, fixes the order of the classes; without it they are the
labels in sorted order.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from hiera_video.config import DataSettings
from hiera_video.errors import ManifestError
from hiera_video.settings import suggest

CLASSES_FILE = "classes.txt"

_COLUMN_TYPES = {
    "path": pa.string(),
    "label": pa.string(),
    "start_seconds": pa.float64(),
    "end_seconds": pa.float64(),
}


@dataclass(frozen=True)
class Row:
    """One line of a manifest.

    ``label`` is a class index, -1 where there is none; the segment of the video is
    ``[start_seconds, end_seconds)``, to its end where ``end_seconds`` is None.
    """

    index: int
    path: str
    file: Path
    label: int
    start_seconds: float
    end_seconds: float | None


class Rows(Protocol):
    """Whatever gives rows by index: a manifest, or a list of rows."""

    def __getitem__(self, index: int, /) -> Row: ...


class Manifest:
    """The rows of a manifest, kept as Arrow columns.

    Args:
        path: the CSV file.
        classes: class names in index order; None reads ``classes.txt`` or sorts the labels.
        root: folder that relative paths start from; default: the manifest's own.
        labelled: whether every row must have a label.

    Raises:
        ManifestError: if the file is missing, empty, not such a CSV, or a label is unknown.
    """

    def __init__(
        self,
        path: Path,
        *,
        classes: Sequence[str] | None = None,
        root: Path | None = None,
        labelled: bool = True,
    ) -> None:
        self.path = path
        self.root = path.parent if root is None else root
        table = _read_table(path, labelled)
        self.num_rows: int = table.num_rows
        self._paths = table["path"].combine_chunks()
        self._starts = _column(table, "start_seconds")
        self._ends = _column(table, "end_seconds")
        self._check_segments()
        if labelled:
            labels = table["label"].combine_chunks()
            self.classes = list(classes) if classes is not None else _find_classes(path, labels)
            self._labels = _label_indices(path, labels, self.classes)
        else:
            self.classes = list(classes or [])
            self._labels = pa.nulls(self.num_rows, pa.int32())

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, index: int) -> Row:
        path = self._paths[index].as_py()
        label = self._labels[index].as_py()
        return Row(
            index=index,
            path=path,
            file=self.root / path,
            label=-1 if label is None else label,
            start_seconds=self._starts[index].as_py() or 0.0,
            end_seconds=self._ends[index].as_py(),
        )

    def check_files(self) -> None:
        """Make sure that every file exists.

        Raises:
            ManifestError: naming the first missing one, its line, and how many there are.
        """
        missing = [
            index
            for index, path in enumerate(self._paths.to_pylist())
            if not (self.root / path).exists()
        ]
        if missing:
            others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise ManifestError(
                f"{self.path}, line {missing[0] + 2}: no such file: "
                f"{self.root / self._paths[missing[0]].as_py()}{others}"
            )

    def _check_segments(self) -> None:
        starts = pc.fill_null(self._starts, 0.0)
        wrong = pc.or_(pc.less(starts, 0.0), pc.less_equal(self._ends, starts))
        line = pc.index(pc.fill_null(wrong, False), True).as_py()
        if line >= 0:
            raise ManifestError(
                f"{self.path}, line {line + 2}: wanted 0 <= start_seconds < end_seconds, got "
                f"{self._starts[line]} and {self._ends[line]}"
            )


def open_manifest(
    data: DataSettings, key: str, *, classes: Sequence[str] | None = None, labelled: bool = True
) -> Manifest:
    """The manifest that the setting ``key`` names, with its files checked where that ends a run.

    Raises:
        ManifestError: if it was not given, cannot be read, or (under ``data.on_error=raise``) names
            a file that is not there.
    """
    path = {
        "data.train.manifest": data.train.manifest,
        "data.val.manifest": data.val.manifest,
        "data.manifest": data.manifest,
    }[key]
    if path is None:
        raise ManifestError(f"{key}: is required and was not given")
    manifest = Manifest(path, classes=classes, root=data.root, labelled=labelled)
    if data.on_error == "raise":
        manifest.check_files()
    return manifest


def read_classes(path: Path) -> list[str]:
    """Class names, one a line, in index order.

    Raises:
        ManifestError: if a name stands there twice, or there is none.
    """
    names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated or not names:
        raise ManifestError(
            f"{path}: " + (f"{repeated[0]!r} is there twice" if names else "is empty")
        )
    return names


def _read_table(path: Path, labelled: bool) -> pa.Table:
    try:
        options = csv.ConvertOptions(
            column_types=_COLUMN_TYPES, strings_can_be_null=False, null_values=[""]
        )
        table = csv.read_csv(path, convert_options=options)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ManifestError(f"{path}: manifest cannot be read ({reason})") from None
    except pa.ArrowInvalid as error:
        reason = "it is empty" if path.stat().st_size == 0 else str(error).partition("\n")[0]
        raise ManifestError(f"{path}: is not a manifest ({reason})") from None
    wanted = ["path", "label"] if labelled else ["path"]
    missing = [name for name in wanted if name not in table.column_names]
    if missing:
        raise ManifestError(
            f"{path}: wanted a header with {','.join(wanted)}, got {','.join(table.column_names)}"
        )
    if table.num_rows == 0:
        raise ManifestError(f"{path}: the manifest has a header and no rows")
    return table


def _column(table: pa.Table, name: str) -> pa.Array:
    if name in table.column_names:
        return table[name].combine_chunks()
    return pa.nulls(table.num_rows, _COLUMN_TYPES[name])


def _find_classes(path: Path, labels: pa.Array) -> list[str]:
    beside = path.parent / CLASSES_FILE
    return read_classes(beside) if beside.exists() else sorted(pc.unique(labels).to_pylist())


def _label_indices(path: Path, labels: pa.Array, classes: list[str]) -> pa.Array:
    indices = pc.index_in(labels, value_set=pa.array(classes, pa.string()))
    if indices.null_count:
        line = pc.index(pc.is_null(indices), True).as_py()
        label = labels[line].as_py()
        raise ManifestError(
            f"{path}, line {line + 2}: label {label!r} is not one of the {len(classes)} classes, "
            + suggest(label, classes)
        )
    return indices
