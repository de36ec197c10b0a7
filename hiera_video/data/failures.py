"""The one place, in the main process, that handles videos that cannot be read, or were read in
another way than requested."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Protocol

from hiera_video.batch import Failure, Notice
from hiera_video.errors import VideoError
from hiera_video.jsonlines import append_line, read_lines

logger = logging.getLogger(__name__)

SKIPPED_FILE = "skipped.jsonl"
NOTICES_FILE = "notices.jsonl"


class ReadResult(Protocol):
    """The failures and notices of a batch, or of a pair of batches."""

    @property
    def failures(self) -> list[Failure]:
        """Rows that could not be read."""

    @property
    def notices(self) -> list[Notice]:
        """Rows that were read in an unusual way, and how."""


class FailurePolicy:
    """``raise`` ends the run at the first bad video; ``skip`` counts it and lists it once.

    The list is ``skipped.jsonl`` in the output folder: one line of JSON per video, with path and
    reason. ``notices.jsonl`` beside it lists videos that PyAV read instead of another decoder, and
    those whose frames were counted by decoding. All processes append to these files, and so does a
    resumed run.
    """

    def __init__(self, on_error: Literal["raise", "skip"], output_dir: Path) -> None:
        self.on_error = on_error
        self.folder = output_dir
        self.num_failed = 0
        self._skipped = _UniqueLines(output_dir / SKIPPED_FILE)
        self._notices = _UniqueLines(output_dir / NOTICES_FILE)
        self._known: set[Notice] = set()
        self._warned_kinds: set[str] = set()

    def forget(self) -> None:
        """Remove the lists of an earlier run."""
        for lines in (self._skipped, self._notices):
            lines.path.unlink(missing_ok=True)

    def handle(self, batch: ReadResult) -> None:
        """Record the failures and notices of a batch.

        Raises:
            VideoError: for the first failure, under ``raise``.
        """
        for notice in batch.notices:
            self._record(notice)
        for failure in batch.failures:
            if self.on_error == "raise":
                raise VideoError(failure.path, failure.reason)
            self.num_failed += 1
            self._skipped.add({"path": failure.path, "reason": failure.reason})

    def _record(self, notice: Notice) -> None:
        if notice in self._known:
            return
        self._known.add(notice)
        entry = {name: value for name, value in asdict(notice).items() if name != "row"}
        is_new = self._notices.add(entry)
        if is_new and notice.kind not in self._warned_kinds:
            logger.warning(
                "%s: %s (%s); others like it are listed in %s",
                *(notice.path, notice.kind, notice.reason, self._notices.path),
            )
        self._warned_kinds.add(notice.kind)

    def summary(self) -> str | None:
        """The number of notices of each kind, over all processes; None if there are none."""
        counts = Counter(entry["kind"] for entry in self._notices.entries())
        if not counts:
            return None
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        return f"videos read otherwise than asked for: {kinds}  -> {self._notices.path}"


class _UniqueLines:
    """A file of JSON lines without repetitions, to which several processes append."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listed: set[str] = set()
        self._read_up_to = 0

    def add(self, entry: dict[str, Any]) -> bool:
        """Add an entry, unless the file has it; returns whether it was new."""
        line = json.dumps(entry)
        if line in self._listed:
            return False
        if self.path.exists():
            with self.path.open(encoding="utf-8") as file:
                file.seek(self._read_up_to)  # lines that other processes have added since
                self._listed.update(file.read().splitlines())
                self._read_up_to = file.tell()
        if line in self._listed:
            return False
        self._listed.add(line)
        append_line(self.path, entry)
        return True

    def entries(self) -> list[dict[str, Any]]:
        """Each entry once, even if two processes added it at the same moment."""
        return list({json.dumps(entry): entry for entry in read_lines(self.path)}.values())
