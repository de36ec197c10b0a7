"""Tasks by name: those that a checkpoint may have been trained for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hiera_video.config.clip_groups import ClipSettings
from hiera_video.tasks.single_label import SingleLabel
from hiera_video.tasks.task import Task

#: Each makes a task of class names in index order (None: the manifest's) and of what a clip is.
TASKS: dict[str, Callable[[Sequence[str] | None, ClipSettings], Task]] = {
    "single_label": SingleLabel
}


def trained_task(classes: Sequence[str] | None, clip: ClipSettings) -> Task:
    """The task that a classifier was trained for. No checkpoint names another one yet."""
    return TASKS["single_label"](classes, clip)
