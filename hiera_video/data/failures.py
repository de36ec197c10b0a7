"""What to do about videos that cannot be read, or are read otherwise than was asked for: one place,
in the main process."""

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


class Read(Protocol):
    """What was read, as far as there is something to say of it: a batch, or a pair of them."""

    @property
    def failures(self) -> list[Failure]:
        """Rows that could not be read."""

    @property
    def notices(self) -> list[Notice]:
        """How rows were read, where users should know."""


class FailurePolicy:
    """``raise`` ends the run at the first bad video; ``skip`` counts it and lists it once.

    The list is ``skipped.jsonl`` in the output folder: one line of JSON per video, with path and
    reason. ``notices.jsonl`` beside it lists videos that were read by PyAV in the place of another
    decoder, and those whose frames were counted by decoding. Several processes append to these
    files, and a run that goes on after an interruption.
    """

    def __init__(self, on_error: Literal["raise", "skip"], output_dir: Path) -> None:
        self.on_error = on_error
        self.folder = output_dir
        self.num_failed = 0
        self._skipped = _List(output_dir / SKIPPED_FILE)
        self._notices = _List(output_dir / NOTICES_FILE)
        self._known: set[Notice] = set()
        self._warned: set[str] = set()

    def forget(self) -> None:
        """Remove the lists of an earlier run."""
        for listing in (self._skipped, self._notices):
            listing.path.unlink(missing_ok=True)

    def handle(self, batch: Read) -> None:
        """Take note of what could not be read of a batch, and of what was read otherwise.

        Raises:
            VideoError: for the first failure, under ``raise``.
        """
        for notice in batch.notices:
            self._note(notice)
        for failure in batch.failures:
            if self.on_error == "raise":
                raise VideoError(failure.path, failure.reason)
            self.num_failed += 1
            self._skipped.add({"path": failure.path, "reason": failure.reason})

    def _note(self, notice: Notice) -> None:
        if notice in self._known:
            return
        self._known.add(notice)
        entry = {name: value for name, value in asdict(notice).items() if name != "row"}
        is_new = self._notices.add(entry)
        if is_new and notice.kind not in self._warned:
            logger.warning(
                "%s: %s (%s); others like it are listed in %s",
                *(notice.path, notice.kind, notice.reason, self._notices.path),
            )
        self._warned.add(notice.kind)

    def summary(self) -> str | None:
        """How many videos were read otherwise, over all processes; None if none was."""
        counts = Counter(entry["kind"] for entry in self._notices.entries())
        if not counts:
            return None
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        return f"videos read otherwise than asked for: {told}  -> {self._notices.path}"


class _List:
    """A file of JSON lines, none of which is there twice, that several processes append to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listed: set[str] = set()
        self._read_up_to = 0

    def add(self, entry: dict[str, Any]) -> bool:
        """Whether the entry was new."""
        line = json.dumps(entry)
        if line in self._listed:
            return False
        if self.path.exists():
            with self.path.open(encoding="utf-8") as file:
                file.seek(self._read_up_to)  # what others listed since
                self._listed.update(file.read().splitlines())
                self._read_up_to = file.tell()
        if line in self._listed:
            return False
        self._listed.add(line)
        append_line(self.path, entry)
        return True

    def entries(self) -> list[dict[str, Any]]:
        """Each entry once: two processes may have added it at the same moment."""
        return list({json.dumps(entry): entry for entry in read_lines(self.path)}.values())
