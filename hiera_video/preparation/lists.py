"""From a dataset's own annotations to manifests: code that the scripts in ``datasets/`` share.

A script turns annotations into entries; this file matches them with the files on disk. An entry
without a file is left out, counted, and listed in ``missing.csv``.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hiera_video.data.class_list import CLASSES_FILE, write_classes
from hiera_video.data.manifest import written_paths
from hiera_video.errors import ManifestError, UserError, suggest
from hiera_video.files import check_not_replaced, make_output_directory, reading, write_csv
from hiera_video.labels import normalize_label, similar_labels

MISSING_FILE = "missing.csv"
_MISSING_COLUMNS = ["split", "key", "label"]
_SEGMENT_COLUMNS = ["start_seconds", "end_seconds"]
_SEPARATOR = "|"
SPLITS = ("train", "val", "test")


class Entry(NamedTuple):
    """An entry of the annotations: one of the ``SPLITS``, the key of its file, and its class.

    The class is None if it is not published, as in some test splits. ``several`` are any number of
    classes, in its place. ``segment`` is a part of the video, from a start to an end in seconds.
    Several entries of a split may have the same file.
    """

    split: str
    key: str
    label: str | None
    several: Sequence[str] | None = None
    segment: tuple[float, float] | None = None

    @property
    def labels(self) -> list[str]:
        """The classes, normalised."""
        names = [self.label] if self.several is None else self.several
        return [normalize_label(name) for name in names if name is not None]

    @property
    def cell(self) -> str | None:
        """The classes as a manifest has them; None if they are not published."""
        is_known = self.label is not None or self.several is not None
        return _SEPARATOR.join(self.labels) if is_known else None


def write_dataset(
    output_dir: Path,
    classes: Sequence[str],
    entries: Iterable[Entry],
    files: Mapping[str, Path],
    inputs: Iterable[Path] = (),
) -> None:
    """Write a manifest for each split, ``classes.txt``, and ``missing.csv`` if files are missing.

    ``files`` maps the key of each existing file to its path; ``inputs`` are the files that entries
    and classes came from. :func:`written_paths` gives the form of paths. A split without labels
    gets a manifest with paths only; a split without files gets none. Replaces the files of an
    earlier run. Prints how many files exist and how many are missing, and which labels may be two
    spellings of one class. Labels and classes are normalised.

    Raises:
        UserError: if a label is no class, a class is listed twice, no file exists, or
            ``output_dir`` cannot be written to, has files of these names that are the user's own,
            or has the manifest of a split that now has no files.
    """
    existing: dict[str, list[Entry]] = {split: [] for split in SPLITS}
    missing: dict[tuple[str, str], Entry] = {}
    found: set[tuple[str, str]] = set()
    classes = _normalized(classes)
    known, counts = frozenset(classes), Counter[str]()
    for entry in entries:
        for name in entry.labels:
            if name not in known:
                raise ManifestError(
                    f"{entry.key}: label {name!r} is not one of the {len(classes)} classes, "
                    + suggest(name, classes)
                )
        if entry.key not in files:
            missing.setdefault((entry.split, entry.key), entry)
        else:
            counts.update(entry.labels)
            existing[entry.split].append(entry)
            found.add((entry.split, entry.key))
    splits = {split: _rows(entries, files, output_dir) for split, entries in existing.items()}
    if not found:
        example = f", such as {next(iter(missing.values())).key}" if missing else ""
        raise UserError(f"none of the {len(missing)} files in the annotations was found{example}")
    _check_outputs(output_dir, classes, [split for split, rows in splits.items() if rows], inputs)
    make_output_directory(output_dir)
    for split, rows in splits.items():
        manifest = output_dir / f"{split}.csv"
        if rows:
            columns = ["path", "label", *_SEGMENT_COLUMNS]
            write_csv(manifest, columns[: len(rows[0])], rows)
    write_classes(output_dir / CLASSES_FILE, classes)
    sizes = ", ".join(f"{len(rows)} {split}" for split, rows in splits.items() if rows)
    print(f"{len(classes)} classes: {sizes}  -> {output_dir}")
    print("".join(f"warning: {warning}\n" for warning in similar_labels(counts)), end="")
    _report_missing(output_dir / MISSING_FILE, [*missing.values()], len(found) + len(missing))


def _normalized(classes: Sequence[str]) -> list[str]:
    """The normalised names of classes, in their order.

    Raises:
        ManifestError: if two of them are the same.
    """
    written: dict[str, str] = {}
    for name in classes:
        other = written.setdefault(normalize_label(name), name)
        if other is not name:
            raise ManifestError(f"the class {normalize_label(name)!r} is listed twice")
    return list(written)


def _rows(
    entries: Sequence[Entry], files: Mapping[str, Path], output_dir: Path
) -> list[tuple[object, ...]]:
    """The rows of a manifest in ``output_dir``: paths and, if known, classes and segments."""
    paths = written_paths((files[entry.key] for entry in entries), output_dir)
    in_parts = any(entry.segment for entry in entries)
    rows: list[tuple[object, ...]] = []
    for path, entry in zip(paths, entries, strict=True):
        segment = (entry.segment or ("", "")) if in_parts else ()
        rows.append((path,) if entry.cell is None else (path, entry.cell, *segment))
    return rows


def _check_outputs(
    output_dir: Path, classes: Sequence[str], written: Sequence[str], inputs: Iterable[Path]
) -> None:
    """Check that only files of an earlier run would be replaced; their headers show that, and a
    ``classes.txt`` beside them."""
    headers = ["path", "path,label", ",".join(["path", "label", *_SEGMENT_COLUMNS])]
    manifests = {output_dir / f"{split}.csv": headers for split in SPLITS}
    outputs = manifests | {output_dir / MISSING_FILE: [",".join(_MISSING_COLUMNS)]}
    inputs, classes_file = list(inputs), output_dir / CLASSES_FILE
    for path in filter(Path.exists, outputs):
        check_not_replaced(inputs, path)
        with reading(path), path.open(encoding="utf-8", errors="replace") as file:
            header = file.readline().rstrip("\n")
        if header not in outputs[path] or not classes_file.exists():
            raise _something_else(path)
        if path in manifests and path.stem not in written:
            raise UserError(
                f"{path}: exists, but this run would not replace it; remove it, or name "
                "another folder"
            )
    is_first = not any(map(Path.exists, manifests))
    if is_first and classes_file.exists() and read_lines(classes_file) != list(classes):
        raise _something_else(classes_file)


def _something_else(path: Path) -> UserError:
    return UserError(
        f"{path}: would be replaced, but was not written by this command; name another folder"
    )


def _report_missing(path: Path, missing: Sequence[Entry], num_entries: int) -> None:
    if not missing:
        path.unlink(missing_ok=True)  # of an earlier run
        return
    write_csv(path, _MISSING_COLUMNS, [(one.split, one.key, one.cell) for one in missing])
    counts = Counter(entry.split for entry in missing)
    print(
        f"{len(missing)} of {num_entries} files ({len(missing) / num_entries:.1%}) are missing: "
        f"{', '.join(f'{count} {split}' for split, count in counts.items())}  -> {path}"
    )


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file whose header has at least these columns.

    Raises:
        UserError: if it cannot be read, or a column is missing.
    """
    with reading(path), path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        header = reader.fieldnames or []
        if not set(columns) <= set(header):
            raise UserError(
                f"{path}: wanted a header with {','.join(columns)}, got {','.join(header)}"
            )
        return list(reader)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not empty, without the white space around them.

    Raises:
        UserError: if it cannot be read.
    """
    with reading(path):
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    return [line.strip() for line in lines if line.strip()]


def read_pairs(path: Path, example: str) -> list[tuple[str, str]]:
    """The first word and the rest of each line of a text file.

    Raises:
        UserError: if it cannot be read, or a line is not like ``example``.
    """
    pairs = []
    for number, line in enumerate(read_lines(path), start=1):
        word, *rest = line.split(maxsplit=1)
        if not rest:
            raise UserError(f"{path}, line {number}: wanted such as {example!r}, got {line!r}")
        pairs.append((word, rest[0]))
    return pairs


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        UserError: if it cannot be read, or is not JSON.
    """
    with reading(path, UserError, ValueError):
        return json.loads(path.read_text(encoding="utf-8-sig"))
