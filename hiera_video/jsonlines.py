"""Files of JSON lines: one record a line, each added when it comes.

A process that is killed while it adds a record leaves an incomplete line. Reading skips that line,
and the next record starts on a new one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hiera_video.files import atomic_path


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file, in order; none if there is no such file.

    Incomplete lines are skipped.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    records = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:  # not JSON, or not even text
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Add a record at the end of a file, which is created if necessary.

    One unbuffered write adds it: several processes may append to the same file.
    """
    line = json.dumps(record) + "\n"
    with path.open("ab+", buffering=0) as file:
        if _ends_with_incomplete_line(file.fileno()):
            line = f"\n{line}"
        file.write(line.encode())


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write these records into a new file, which replaces the old one atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in records))


def _ends_with_incomplete_line(file: int) -> bool:
    size = os.fstat(file).st_size
    return size > 0 and os.pread(file, 1, size - 1) != b"\n"
