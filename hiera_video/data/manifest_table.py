"""A manifest's text as a table: UTF-8, commas, a header, and the columns that are asked for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from csv import Error, reader
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from hiera_video.errors import ManifestError, reason_of

#: Enough of a file to know it by.
_NUM_BYTES = 1 << 16
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "vertical bars"}


def read_header(path: Path) -> list[str]:
    """The names of a manifest's columns; none if the file is empty.

    Raises:
        ManifestError: if it cannot be read, is not in UTF-8, or its columns are not separated by
            commas.
    """
    try:
        check_encoding(path)
        check_separator(path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            return next((names for names in reader(file) if names), [])
    except UnicodeDecodeError:
        raise _not_in_utf8(path) from None
    except OSError as error:
        raise _unreadable(path, error) from None
    except Error as error:
        raise ManifestError(f"{path}: is not a manifest ({reason_of(error)})") from None


def read_table(path: Path, types: Mapping[str, pa.DataType], required: Sequence[str]) -> pa.Table:
    """The columns in ``types`` of a manifest; where one is not there, it is empty in all rows.

    Raises:
        ManifestError: if the file has no rows, lacks a column that is ``required``, has one twice,
            or something in it is not of its type.
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
    try:
        table = csv.read_csv(path, convert_options=options)
    except OSError as error:
        raise _unreadable(path, error) from None
    except pa.ArrowInvalid as error:
        reason = "it is empty" if path.stat().st_size == 0 else str(error).partition("\n")[0]
        if line_not_in_utf8(path):
            raise _not_in_utf8(path) from None
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


def _unreadable(path: Path, error: OSError) -> ManifestError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return ManifestError(f"{path}: manifest cannot be read ({reason})")


def _not_in_utf8(path: Path) -> ManifestError:
    return ManifestError(
        f"{path}, line {line_not_in_utf8(path)}: is not in UTF-8, as manifests are"
    )


def check_encoding(path: Path) -> None:
    """Make sure that a file is no UTF-16, as some programs for tables export.

    Raises:
        ManifestError: saying what to do.
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
    """Make sure that the columns of a manifest are separated by commas.

    Raises:
        ManifestError: saying what there is instead.
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
    """The first line that is not in UTF-8, from 1; None if there is none."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return None
