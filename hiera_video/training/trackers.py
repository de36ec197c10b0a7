"""Logs: JSON lines beside the trackers that a run names, and the loop's stopwatch."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from accelerate import Accelerator
from accelerate.tracking import (
    GeneralTracker,
    TensorBoardTracker,
    get_available_trackers,
    on_main_process,
)

from hiera_video import compat
from hiera_video.config.machinery import flat_settings
from hiera_video.errors import ConfigError, suggest
from hiera_video.files import atomic_path
from hiera_video.training.settings import TrainingRun

LOG_FILE = "log.jsonl"
#: What runs are filed under by trackers that keep many.
PROJECT = "hiera-video"

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
        # JSON has no word for what is not a number.
        known = {name: _or_none(value) for name, value in values.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **known}, allow_nan=False) + "\n")


def _or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def check_trackers(names: Sequence[str]) -> None:
    """Make sure that Accelerate knows these trackers, and that they are installed.

    Raises:
        ConfigError: naming those that there are, or what to install.
    """
    installed = [str(tracker) for tracker in get_available_trackers()]
    for name in names:
        if name not in compat.known_trackers():
            hint = suggest(name, compat.known_trackers())
            raise ConfigError(f"trackers: {name!r} is unknown, {hint}")
        if name not in installed:
            raise ConfigError(
                f"trackers: {name} is not installed (pip install {name}); "
                f"installed: {', '.join(installed)}"
            )


def make_trackers(names: Sequence[str], output_dir: Path) -> list[str | GeneralTracker]:
    """``log.jsonl`` and the named trackers, as ``Accelerator(log_with=...)`` takes them."""
    # By name, TensorBoard would write to a folder called like the project.
    tensorboard = TensorBoardTracker("tensorboard", output_dir)
    named = [tensorboard if name == tensorboard.name else name for name in names]
    return [JsonLinesTracker(output_dir / LOG_FILE), *named]


def start_trackers(accelerator: Accelerator, run: TrainingRun) -> None:
    """Start the accelerator's trackers, and give them the settings of the run."""
    accelerator.init_trackers(PROJECT)
    for tracker in accelerator.trackers:
        # TensorBoard would keep them in a second set of files, one more for each resumption.
        if not isinstance(tracker, TensorBoardTracker):
            tracker.store_init_configuration(flat_settings(run.model_dump(mode="json")))


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


class Validations:
    """Which steps were validated, and which was the best, as the log has it.

    Only those of ``kept`` steps, whose checkpoints are still there, can be the best. Those up to
    step ``judged_after`` were measured otherwise: the best of them is, until there is another.
    """

    def __init__(
        self, log: Iterable[dict[str, Any]], kept: Container[int], judged_after: int = 0
    ) -> None:
        self.last_step = 0
        self.best_step = 0
        self.best_accuracy = -1.0
        for record in log:
            if "val/top1" in record:
                if record["step"] > judged_after >= self.last_step:
                    self.forget()
                self.last_step = record["step"]
                if record["step"] in kept:
                    self.add(record["step"], record["val/top1"])

    def forget(self) -> None:
        """Compare none of those so far with those to come."""
        self.best_accuracy = -1.0

    def add(self, step: int, accuracy: float | None) -> bool:
        """Take note of the accuracy of ``step``, if it has one; whether it is the best so far."""
        self.last_step = step
        if accuracy is None or accuracy <= self.best_accuracy:
            return False
        self.best_step, self.best_accuracy = step, accuracy
        return True


class Stopwatch:
    """Clips per second, and the share of time spent waiting for data, since the last reading.

    ``pass_wait_share`` is that share over the last whole iteration of :meth:`waiting`.
    """

    pass_wait_share = 0.0

    def __init__(self) -> None:
        self._restart()

    def _restart(self) -> None:
        self._begin = time.perf_counter()
        self._waited = 0.0
        self._clips = 0

    def waiting(self, batches: Iterable[T]) -> Iterator[T]:
        """Iterate over ``batches`` and measure how long each one is waited for."""
        iterator = iter(batches)
        start, waited = time.perf_counter(), 0.0
        while True:
            begin = time.perf_counter()
            try:
                batch = next(iterator)
            except StopIteration:
                self.pass_wait_share = waited / (begin - start)
                return
            seconds = time.perf_counter() - begin
            waited += seconds
            self._waited += seconds
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
        self._restart()
        return figures
