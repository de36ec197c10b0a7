"""``log.jsonl``: what a run has logged, and going back in it."""

from __future__ import annotations

from pathlib import Path

from hiera_video.jsonlines import read_lines, write_lines

LOG_FILE = "log.jsonl"


def rewind_log(path: Path, step: int, goes_on_counting: bool = False) -> None:
    """Drop what was logged after ``step``: a run that resumes there will log it again.

    Where it ``goes_on_counting``, the line of ``step`` itself has but the beginning of what the
    next one will have.
    """
    records = [
        record
        for record in read_lines(path)
        if record["step"] < step
        or (record["step"] == step and not (goes_on_counting and "lr" in record))
    ]
    write_lines(path, records)
