"""Tasks by name: those that a checkpoint may have been trained for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hiera_video.config.clip_groups import ClipSettings
from hiera_video.models.pretrained import PretrainedModel
from hiera_video.tasks.criteria import task_of
from hiera_video.tasks.multi_label import MultiLabel
from hiera_video.tasks.regression import Regression
from hiera_video.tasks.single_label import SingleLabel
from hiera_video.tasks.task import Task

#: Each makes a task of the names of outputs in index order (None: the manifest's, or the default)
#: and of what a clip is.
TASKS: dict[str, Callable[[Sequence[str] | None, ClipSettings], Task]] = {
    "single_label": SingleLabel,
    "multi_label": MultiLabel,
    "regression": Regression,
}


def trained_task(model: PretrainedModel, names: Sequence[str] | None, clip: ClipSettings) -> Task:
    """The task that a model was trained for, as the ``problem_type`` of its configuration says,
    with what its checkpoint keeps for the task.

    Args:
        names: of its outputs, in index order, where they are known.

    Raises:
        CheckpointError: if what the checkpoint keeps cannot be understood.
    """
    task = TASKS[task_of(model.config.problem_type)](names, clip)
    if model.targets is not None:
        task.load(model.targets, model.source)
    return task
