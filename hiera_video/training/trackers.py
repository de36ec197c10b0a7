"""Logs: JSON lines beside whatever trackers Accelerate knows, and the loop's stopwatch."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from accelerate.tracking import GeneralTracker, on_main_process

from hiera_video.files import atomic_path

LOG_FILE = "log.jsonl"

T = TypeVar("T")


class JsonLinesTracker(GeneralTracker):
    """One line of JSON per call of ``accelerator.log``: the step and the values."""

    name = "jsonl"
    requires_logging_directory = False

    def __init__(self, path: Path, **_: Any) -> None:
        super().__init__()
        self.path = path

    @property
    def tracker(self) -> Path:
        return self.path

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """The configuration is in ``config.yaml``."""

    @on_main_process
    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        """Append a line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")


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


def rewind_log(path: Path, step: int) -> None:
    """Drop what was logged after ``step``: a run that resumes there will log it again."""
    records = [record for record in read_log(path) if record["step"] <= step]
    with atomic_path(path) as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in records))


class Stopwatch:
    """Clips per second, and the share of time spent waiting for data, since the last reading."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._waited = 0.0
        self._clips = 0

    def waiting(self, batches: Iterable[T]) -> Iterator[T]:
        """Iterate over ``batches`` and measure how long each one is waited for."""
        iterator = iter(batches)
        while True:
            begin = time.perf_counter()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            self._waited += time.perf_counter() - begin
            yield batch

    def count(self, num_clips: int) -> None:
        """Take note of clips that were trained on."""
        self._clips += num_clips

    def read(self, num_processes: int) -> dict[str, float]:
        """Figures since the last reading; rates are for all processes together."""
        elapsed = time.perf_counter() - self._begin
        figures = {
            "clips_per_second": self._clips * num_processes / elapsed,
            "data_wait_share": self._waited / elapsed,
        }
        self.__init__()  # type: ignore[misc]
        return figures
