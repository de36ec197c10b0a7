"""Files of JSON lines: one record a line, added as they come.

Whoever is killed while it adds one leaves half a line. It is passed over when the file is read, and
ended before the next record is added.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hiera_video.files import atomic_path


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file, in its order; none if there is no such file.

    Lines that are not a whole record are passed over.
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
    """Add a record at the end of a file, which is made if it is not there.

    It is written at once: several processes may add to the same file.
    """
    line = json.dumps(record) + "\n"
    with path.open("ab+", buffering=0) as file:
        if _ends_within_a_line(file.fileno()):
            line = f"\n{line}"
        file.write(line.encode())


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write a file anew with these records; the whole file or none."""
    with atomic_path(path) as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in records))


def _ends_within_a_line(file: int) -> bool:
    size = os.fstat(file).st_size
    return size > 0 and os.pread(file, 1, size - 1) != b"\n"
