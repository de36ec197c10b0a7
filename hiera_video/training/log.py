"""``log.jsonl``: the figures that a run logs, and how a resumed run rewinds them."""

from __future__ import annotations

from pathlib import Path

from hiera_video.jsonlines import read_lines, write_lines

LOG_FILE = "log.jsonl"


def rewind_log(path: Path, step: int, goes_on_counting: bool = False) -> None:
    """Drop the records after ``step``: a run that resumes there will log them again.

    With ``goes_on_counting``, the training record of ``step`` goes, too: it holds only a part of
    the clips that the next record will count.
    """
    records = [
        record
        for record in read_lines(path)
        if record["step"] < step
        or (record["step"] == step and not (goes_on_counting and "lr" in record))
    ]
    write_lines(path, records)
