"""What came out of a probing, in figures with intervals.

Axes: V videos, K classes, R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hiera_video.config.probe_groups import ProbeSettings
from hiera_video.features.folds import Split
from hiera_video.features.pool import VideoPool
from hiera_video.features.sweep import Choice
from hiera_video.metrics.bootstrap import (
    ClassFigures,
    Resamples,
    class_figures,
    interval,
    resampled_figures,
)

#: Figures are rounded to this many digits.
_DIGITS = 6


@dataclass(frozen=True)
class ProbeResult:
    """Scores ``(V, K)`` of all videos, NaN where a video was not tested or has no features; and the
    choice in each split of the setting ``chosen``."""

    name: str
    chosen: str | None
    scores: np.ndarray
    choices: list[Choice]


@dataclass(frozen=True)
class Probing:
    """What was probed, and what came out."""

    pool: VideoPool
    splits: list[Split]
    settings: ProbeSettings
    results: list[ProbeResult]

    @property
    def tested(self) -> np.ndarray:
        """Numbers of the tested videos, ascending."""
        return np.sort(np.concatenate([split.test for split in self.splits]))

    @property
    def folds(self) -> np.ndarray:
        """The number of the split in which each of V videos is tested; -1 of none."""
        folds = np.full(len(self.pool.labels), -1)
        for number, split in enumerate(self.splits):
            folds[split.test] = number
        return folds

    @property
    def is_grouped(self) -> bool:
        """Whether the tested videos have groups."""
        return self.pool.grouped[-1]


def predictions_of(result: ProbeResult) -> np.ndarray:
    """The class index of the largest score ``(V,)``; -1 without scores."""
    has_scores = ~np.isnan(result.scores[:, 0])
    return np.where(has_scores, np.nan_to_num(result.scores).argmax(1), -1)


def figures_of(probing: Probing) -> dict[str, Any]:
    """The figures of each probe with 95 % intervals, what it chose, and what a class that is always
    the same, the largest, gets right: in the same resamples, so that differences have intervals."""
    tested, num_classes = probing.tested, len(probing.pool.classes)
    labels = probing.pool.labels[tested]
    resamples = Resamples(
        probing.pool.units[tested], probing.settings.num_resamples, probing.settings.seed
    )
    largest = np.bincount(labels, minlength=num_classes).argmax()

    def measured(predictions: np.ndarray) -> _Measured:
        return _Measured(
            class_figures(labels, predictions, num_classes),
            resampled_figures(labels, predictions, num_classes, resamples),
            len(resamples.names) > 1,
        )

    baseline = measured(np.full(len(labels), largest))
    probes = {}
    for result in probing.results:
        own = measured(predictions_of(result)[tested])
        probes[result.name] = {
            **own.figures(),
            "top1_above_largest_class": own.figure(
                own.of_all.top1 - baseline.of_all.top1, own.drawn[:, 0] - baseline.drawn[:, 0]
            ),
            **_chosen(result),
        }
    return {
        "probes": probes,
        "largest_class": {"class": probing.pool.classes[largest], **baseline.figures()},
        "chance": round(1 / num_classes, _DIGITS),
    }


class _Measured(NamedTuple):
    """Figures of all tested videos, and of R resamples ``(R, 3)``; these say nothing where there is
    a single unit to draw from."""

    of_all: ClassFigures
    drawn: np.ndarray
    has_intervals: bool

    def figures(self) -> dict[str, dict[str, float | None]]:
        return {
            name: self.figure(value, self.drawn[:, number])
            for number, (name, value) in enumerate(self.of_all._asdict().items())
        }

    def figure(self, value: float, drawn: np.ndarray) -> dict[str, float | None]:
        """A figure, and its interval by resampled values ``(R,)``."""
        low, high = interval(drawn)
        return {
            "value": round(value, _DIGITS),
            "low": round(low, _DIGITS) if self.has_intervals else None,
            "high": round(high, _DIGITS) if self.has_intervals else None,
        }


def _chosen(result: ProbeResult) -> dict[str, Any]:
    if result.chosen is None:
        return {}
    values = [choice.value for choice in result.choices]
    return {result.chosen: values, "held_out": [choice.tried for choice in result.choices]}


def never_learned(probing: Probing) -> dict[str, int]:
    """How many tested videos of a class there are in splits that have none to learn from."""
    missed: dict[str, int] = {}
    for train, test in probing.splits:
        known = set(probing.pool.labels[train].tolist())
        for label in probing.pool.labels[test].tolist():
            if label not in known:
                name = probing.pool.classes[label]
                missed[name] = missed.get(name, 0) + 1
    return missed
