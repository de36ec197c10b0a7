"""Trackers: ``log.jsonl``, and those that a run names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import (
    GeneralTracker,
    TensorBoardTracker,
    get_available_trackers,
    on_main_process,
)

from hiera_video import compat
from hiera_video.errors import ConfigError, suggest
from hiera_video.jsonlines import append_line
from hiera_video.training.log import LOG_FILE

#: What runs are filed under by trackers that keep many.
PROJECT = "hiera-video"


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
        append_line(self.path, {"step": step, **known})


def _or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def check_trackers(names: Sequence[str]) -> None:
    """Make sure that Accelerate knows these trackers, and that they are installed.

    Raises:
        ConfigError: listing the known trackers, or naming the package to install.
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


def start_trackers(accelerator: Accelerator, settings: Mapping[str, Any]) -> None:
    """Start the accelerator's trackers, and give them the run's ``settings`` under dotted keys."""
    accelerator.init_trackers(PROJECT)
    for tracker in accelerator.trackers:
        # TensorBoard would keep them in a second set of files, one more for each resumption.
        if not isinstance(tracker, TensorBoardTracker):
            tracker.store_init_configuration(dict(settings))
