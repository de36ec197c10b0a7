"""``log.jsonl``: what a run has logged, and going back in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hiera_video.files import atomic_path

LOG_FILE = "log.jsonl"


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a ``log.jsonl``; none if it does not exist. A half-written end is left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def rewind_log(path: Path, step: int, goes_on_counting: bool = False) -> None:
    """Drop what was logged after ``step``: a run that resumes there will log it again.

    Where it ``goes_on_counting``, the line of ``step`` itself has but the beginning of what the
    next one will have.
    """
    records = [
        record
        for record in read_log(path)
        if record["step"] < step
        or (record["step"] == step and not (goes_on_counting and "lr" in record))
    ]
    with atomic_path(path) as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in records))
