"""Tasks by name: those that a checkpoint may have been trained for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hiera_video.config.groups import ClipSettings
from hiera_video.errors import CheckpointError, suggest
from hiera_video.models.config import HieraConfig
from hiera_video.tasks.single_label import SingleLabel
from hiera_video.tasks.task import Task

#: Each makes a task of class names in index order (None: the manifest's) and of what a clip is.
TASKS: dict[str, Callable[[Sequence[str] | None, ClipSettings], Task]] = {
    "single_label": SingleLabel
}


def task_of(config: HieraConfig, classes: Sequence[str] | None, clip: ClipSettings) -> Task:
    """The task that a model with this ``config`` was trained for.

    Raises:
        CheckpointError: if its name is unknown.
    """
    name = getattr(config, "problem_type", None) or "single_label"
    if name not in TASKS:
        raise CheckpointError(f"problem_type={name!r}: is unknown, {suggest(name, list(TASKS))}")
    return TASKS[name](classes, clip)
