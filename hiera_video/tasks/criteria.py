"""What tasks are called, in settings and in checkpoints, and the figures that can decide which
checkpoint is best. Settings and ``--help`` need this, so it imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from hiera_video.errors import ConfigError


@dataclass(frozen=True)
class Criterion:
    """The figure that decides which checkpoint is best, and in which direction."""

    figure: str
    higher_is_better: bool = True


def _criteria(*higher: str, lower: tuple[str, ...]) -> tuple[Criterion, ...]:
    return (*map(Criterion, higher), *(Criterion(name, False) for name in lower))


#: Task -> ``problem_type`` in the ``config.json`` of its checkpoints.
PROBLEM_TYPES = {
    "single_label": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}
#: Task -> figures that ``evaluate.best_by`` can name; the first is the default.
CRITERIA = {
    "single_label": _criteria("top1", "top5", "macro_f1", "balanced_accuracy", lower=("loss",)),
    "multi_label": _criteria("map", "micro_f1", "macro_f1", lower=("loss",)),
    "regression": (
        Criterion("mae", higher_is_better=False),
        *_criteria("r2", "spearman", lower=("rmse", "loss")),
    ),
}


def task_of(problem_type: str | None) -> str:
    """The task of a checkpoint with this ``problem_type``; one that says nothing has single labels.

    Raises:
        KeyError: for any other word.
    """
    names = {problem: name for name, problem in PROBLEM_TYPES.items()}
    return "single_label" if problem_type is None else names[problem_type]


def criterion(task: str, figure: str | None = None) -> Criterion:
    """The criterion of a task by the name of its figure; None is the task's own.

    Raises:
        ConfigError: if the task has no such figure; the message names those that it has.
    """
    by_name = {one.figure: one for one in CRITERIA[task]}
    if figure is None:
        return CRITERIA[task][0]
    if figure not in by_name:
        raise ConfigError(f"task={task} has no figure {figure!r}, valid: {', '.join(by_name)}")
    return by_name[figure]
