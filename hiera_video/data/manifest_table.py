"""Reading a manifest's text as a table: UTF-8, commas, a header, and the requested columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from csv import Error, reader
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from hiera_video.errors import ManifestError, reason_of
from hiera_video.files import reading

#: The beginning of a file that shows its encoding and separator.
_NUM_BYTES = 1 << 16
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "vertical bars"}


def read_header(path: Path) -> list[str]:
    """The names of a manifest's columns; none if the file is empty.

    Raises:
        ManifestError: if it cannot be read, is not in UTF-8, or its columns are not separated by
            commas.
    """
    with reading(path, ManifestError):
        check_encoding(path)
        check_separator(path)
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                return next((names for names in reader(file) if names), [])
        except UnicodeDecodeError:
            raise _not_in_utf8(path) from None
        except Error as error:
            raise ManifestError(f"{path}: is not a manifest ({reason_of(error)})") from None


def read_table(path: Path, types: Mapping[str, pa.DataType], required: Sequence[str]) -> pa.Table:
    """The columns in ``types`` of a manifest; a column that the file does not have is empty.

    Raises:
        ManifestError: if the file has no rows, lacks a ``required`` column, has a column twice, or
            has a value that is not of its column's type.
    """
    header = read_header(path)
    if header:
        _check_header(path, header, types, required)
    options = csv.ConvertOptions(
        column_types=types,
        strings_can_be_null=False,
        null_values=[""],
        include_columns=list(types),
        include_missing_columns=True,
    )
    with reading(path, ManifestError):
        try:
            table = csv.read_csv(path, convert_options=options)
        except pa.ArrowInvalid as error:
            if line_not_in_utf8(path):
                raise _not_in_utf8(path) from None
            reason = "it is empty" if path.stat().st_size == 0 else reason_of(error)
            raise ManifestError(f"{path}: is not a manifest ({reason})") from None
    if table.num_rows == 0:
        raise ManifestError(f"{path}: the manifest has a header and no rows")
    return table


def _check_header(
    path: Path, header: Sequence[str], types: Mapping[str, pa.DataType], required: Sequence[str]
) -> None:
    if any(name not in header for name in required):
        raise ManifestError(
            f"{path}: wanted a header with {','.join(required)}, got {','.join(header)} "
            "(other kinds of lists: see datasets/lists)"
        )
    repeated = [name for name, count in Counter(header).items() if count > 1 and name in types]
    if repeated:
        raise ManifestError(f"{path}: the column {repeated[0]} is there twice")


def _not_in_utf8(path: Path) -> ManifestError:
    return ManifestError(
        f"{path}, line {line_not_in_utf8(path)}: is not in UTF-8, as manifests are"
    )


def check_encoding(path: Path) -> None:
    """Check that a file is not in UTF-16, in which some spreadsheet programs export.

    Raises:
        ManifestError: if it is; the message says what to do.
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(_NUM_BYTES)
    if start.startswith(_UTF_16) or b"\0" in start:
        kind = "UTF-16" if start.startswith(_UTF_16) else "UTF-16, or no text"
        raise ManifestError(
            f"{path}: is in {kind}; wanted UTF-8: save it so, or "
            "`iconv -f UTF-16 -t UTF-8 OLD > NEW`"
        )


def check_separator(path: Path) -> None:
    """Check that commas separate the columns of a manifest.

    Raises:
        ManifestError: if not; the message names the separator.
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        line = file.readline(_NUM_BYTES).decode("utf-8-sig", errors="replace")
    for separator, name in _SEPARATORS.items():
        columns = [column.strip().strip('"') for column in line.split(separator)]
        if len(columns) > 1 and "path" in columns:
            raise ManifestError(
                f"{path}, line 1: columns are separated by {name}; wanted commas: save it with "
                f"those, and {','.join(columns)} as its first line"
            )


def line_not_in_utf8(path: Path) -> int | None:
    """The number, from 1, of the first line that is not in UTF-8; None if there is none."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return None
