"""Validation between passes: figures of held-out videos, and which checkpoint is best by them."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from hiera_video.evaluation.scores import Scorer
from hiera_video.tasks.task import Criterion, Task

#: What the names of these figures begin with in the log.
PREFIX = "val/"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeldOut:
    """Held-out videos, or images, and the task that measures a model by them.

    ``prefix`` stands before the names of the figures in the log.
    """

    task: Task
    scorer: Scorer
    prefix: str = PREFIX


class Validation:
    """Measures a model on all held-out videos, those of clips and those of images.

    Args:
        every_epochs: after how many epochs that is due, besides the last one.
    """

    def __init__(self, sides: Iterable[HeldOut], every_epochs: int, is_main_process: bool) -> None:
        self._sides = list(sides)
        self._every_epochs = every_epochs
        self._is_main_process = is_main_process
        self._told: set[str] = set()

    def is_due(self, before: int, now: int, last: int) -> bool:
        """Whether to validate at the end of a pass from epoch ``before`` to ``now``, in a run that
        ends with epoch ``last``."""
        every = self._every_epochs
        return bool(self._sides) and (now // every > before // every or now == last)

    def measure(self, model: nn.Module) -> dict[str, float | None]:
        """Figures by the names that the log has; None where no video could be read."""
        figures: dict[str, float | None] = {}
        for side in self._sides:
            table = side.scorer.table(model)
            side.task.calibrate(table)
            for doubt in side.task.doubts(table):
                self._tell(f"{table.manifest.path}: {doubt}")
            measured = len(table.rows) > 0
            for name, value in side.task.figures(table).items():
                if value is None or isinstance(value, float):
                    figures[side.prefix + name] = value if measured else None
        return figures

    def _tell(self, warning: str) -> None:
        """Warn of something once in a run."""
        if self._is_main_process and warning not in self._told:
            logger.warning("%s", warning)
        self._told.add(warning)


class BestCheckpoint:
    """Which steps were validated, and which of them is the best, as the log has it.

    Args:
        criterion: the figure that decides; None if none does.
        kept: steps whose checkpoints are still there; only these can be the best.
        judged_after: figures up to this step were measured otherwise than those after it: the best
            of them is the best until there is another.
    """

    def __init__(
        self,
        criterion: Criterion | None,
        log: Iterable[dict[str, Any]] = (),
        kept: Container[int] = (),
        judged_after: int = 0,
    ) -> None:
        self.criterion = criterion
        self.last_step = 0
        self.step = 0
        self.value: float | None = None
        for record in log:
            if any(name.startswith(PREFIX) for name in record):
                if record["step"] > judged_after >= self.last_step:
                    self.forget()
                self.last_step = record["step"]
                if record["step"] in kept:
                    self.add(record["step"], record)

    @property
    def figure(self) -> str | None:
        """The name in the log of the figure that decides."""
        return None if self.criterion is None else PREFIX + self.criterion.figure

    def forget(self) -> None:
        """Compare none of those so far with those to come."""
        self.value = None

    def add(self, step: int, figures: dict[str, Any]) -> bool:
        """Record the figures of ``step``; whether its checkpoint is the best so far."""
        self.last_step = step
        value = None if self.figure is None else figures.get(self.figure)
        if value is None or not self._is_better(value):
            return False
        self.step, self.value = step, value
        return True

    def _is_better(self, value: float) -> bool:
        if self.value is None or self.criterion is None:
            return True
        return value > self.value if self.criterion.higher_is_better else value < self.value
