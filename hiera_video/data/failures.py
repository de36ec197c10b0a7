"""What to do about videos that cannot be read: one place, in the main process."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from hiera_video.batch import Failure
from hiera_video.errors import VideoError

SKIPPED_FILE = "skipped.jsonl"


class FailurePolicy:
    """``raise`` ends the run at the first bad video; ``skip`` counts it and lists it once.

    The list is ``skipped.jsonl`` in the output folder: one line of JSON per video, with path and
    reason. Several processes append to it, and a run that goes on after an interruption.
    """

    def __init__(self, on_error: Literal["raise", "skip"], output_dir: Path) -> None:
        self.on_error = on_error
        self.path = output_dir / SKIPPED_FILE
        self.num_failed = 0
        self._listed: set[str] = set()
        self._read_up_to = 0

    def forget(self) -> None:
        """Remove the list of an earlier run."""
        self.path.unlink(missing_ok=True)

    def handle(self, failures: Iterable[Failure]) -> None:
        """Take note of ``failures``.

        Raises:
            VideoError: for the first of them, under ``raise``.
        """
        for failure in failures:
            if self.on_error == "raise":
                raise VideoError(failure.path, failure.reason)
            self.num_failed += 1
            line = json.dumps({"path": failure.path, "reason": failure.reason}) + "\n"
            if line not in self._listed:
                self._list(line)

    def _list(self, line: str) -> None:
        with self.path.open("a+", encoding="utf-8") as file:
            file.seek(self._read_up_to)  # what others listed since
            self._listed.update(file.readlines())
            self._read_up_to = file.tell()
            if line not in self._listed:
                self._listed.add(line)
                file.write(line)
