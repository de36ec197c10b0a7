"""What a manifest's text has to be, told before its rows are read: UTF-8, with commas."""

from __future__ import annotations

from pathlib import Path

from hiera_video.errors import ManifestError

#: Enough of a file to know it by.
_NUM_BYTES = 1 << 16
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "vertical bars"}


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
