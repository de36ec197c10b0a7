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
    reason. Several processes may append to it.
    """

    def __init__(self, on_error: Literal["raise", "skip"], output_dir: Path) -> None:
        self.on_error = on_error
        self.path = output_dir / SKIPPED_FILE
        self.num_failed = 0
        self._listed: set[int] = set()

    def handle(self, failures: Iterable[Failure]) -> None:
        """Take note of ``failures``.

        Raises:
            VideoError: for the first of them, under ``raise``.
        """
        for failure in failures:
            if self.on_error == "raise":
                raise VideoError(failure.path, failure.reason)
            self.num_failed += 1
            if failure.row not in self._listed:
                self._listed.add(failure.row)
                line = json.dumps({"path": failure.path, "reason": failure.reason})
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
