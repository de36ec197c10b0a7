"""The files of an evaluation: ``metrics.json``, ``predictions.parquet``, ``report.html``.

They hold whatever figures a task gives; none is known here by its name.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from jinja2 import Environment, PackageLoader

from hiera_video.files import atomic_path
from hiera_video.tasks.task import ScoreTable, Shown, Task

METRICS_FILE = "metrics.json"
PREDICTIONS_FILE = "predictions.parquet"
REPORT_FILE = "report.html"

#: Mistakes that the page shows, at most.
_MOST_MISTAKES = 20


@dataclass(frozen=True)
class Evaluation:
    """What a task says of the scores of a manifest's videos.

    ``metrics`` are as ``metrics.json`` has them: the task's figures, ``num_videos``,
    ``num_failed``, the task's tables of figures, ``failed`` and ``settings``. ``shown`` are those
    that people are shown.
    """

    metrics: dict[str, Any]
    shown: dict[str, Shown]
    doubts: list[str]

    @classmethod
    def of(cls, task: Task, table: ScoreTable, settings: dict[str, Any]) -> Evaluation:
        """What ``task`` says of ``table``; ``settings`` are what that depends on."""
        figures = task.figures(table)
        tables = {name: value for name, value in figures.items() if isinstance(value, dict)}
        metrics = {
            **{name: value for name, value in figures.items() if name not in tables},
            "num_videos": len(table.manifest),
            "num_failed": len(table.failures),
            **tables,
            "failed": [
                {"path": table.manifest[failure.row].path, "reason": failure.reason}
                for failure in table.failures
            ],
            "settings": settings,
        }
        told_anyway = ("num_videos", "num_failed")
        shown = task.shown or {name: Shown(name) for name in figures if name not in told_anyway}
        return cls(metrics, dict(shown), task.doubts(table))

    def summary(self) -> str:
        """The figures that are shown, and how many videos they are of, in one line."""
        figures = [
            f"{shown.title} {_number(value, '.4f')}"
            for name, shown in self.shown.items()
            if not isinstance(value := self.metrics[name], dict)
        ]
        counts = f"{self.metrics['num_videos']} videos, {self.metrics['num_failed']} failed"
        return "  ".join([*figures, counts])


def write_evaluation(directory: Path, evaluation: Evaluation, predictions: pa.Table) -> None:
    """Write all three files into ``directory``."""
    with atomic_path(directory / PREDICTIONS_FILE) as path:
        pq.write_table(predictions, path)
    with atomic_path(directory / REPORT_FILE) as path:
        path.write_text(render_report(evaluation, find_mistakes(predictions)), encoding="utf-8")
    with atomic_path(directory / METRICS_FILE) as path:
        path.write_text(json.dumps(evaluation.metrics, indent=2) + "\n", encoding="utf-8")


def predictions_table(task: Task, table: ScoreTable) -> pa.Table:
    """One row per manifest row: ``path``, and what ``task`` has to say of each."""
    paths = pa.array(table.manifest.paths, pa.string())
    return pa.table({"path": paths, **task.predictions(table)})


class _Line(NamedTuple):
    """A line of a table of figures; ``width`` is that of its bar in percent, None without one."""

    name: str
    text: str
    width: float | None


def render_report(
    evaluation: Evaluation, mistakes: list[tuple[str, str, int]] | None = None
) -> str:
    """The metrics as one HTML page that needs no other file."""
    figures, tables = [], []
    for name, shown in evaluation.shown.items():
        value = evaluation.metrics[name]
        if isinstance(value, dict):
            tables.append((shown.title, _lines(value, shown)))
        else:
            figures.append((shown.title, _text(value, shown, digits=2)))
    environment = Environment(loader=PackageLoader("hiera_video.evaluation"), autoescape=True)
    return environment.get_template("report.html").render(
        metrics=evaluation.metrics,
        figures=figures,
        tables=tables,
        warnings=evaluation.doubts,
        mistakes=mistakes,
    )


def _lines(table: dict[str, float | None], shown: Shown) -> list[_Line]:
    """A table of figures as it is shown: shares have bars out of 1, other numbers out of the
    largest of them."""
    values = [value for value in table.values() if value is not None]
    whole = 1.0 if shown.in_percent else max(values, default=0.0)
    return [
        _Line(
            name,
            "no video" if value is None else _text(value, shown, digits=1),
            100 * value / whole if value is not None and 0 <= value <= whole and whole else None,
        )
        for name, value in table.items()
    ]


def _text(value: float | None, shown: Shown, digits: int) -> str:
    """A figure as the page has it, with ``digits`` after the point where it is in percent."""
    if shown.in_percent and value is not None:
        return f"{100 * value:.{digits}f} %"
    return _number(value, ".4g")


def _number(value: float | None, form: str) -> str:
    """A count as it is, any other number in this ``form``."""
    if value is None:
        return "undefined"
    return str(value) if isinstance(value, int) else format(value, form)


def find_mistakes(predictions: pa.Table) -> list[tuple[str, str, int]]:
    """The most frequent mistakes: label, what was predicted instead, how often; none where
    predictions are not names."""
    columns = ("label", "prediction")
    fields = {field.name: field.type for field in predictions.schema}
    if not all(fields.get(name) == pa.string() for name in columns):
        return []
    pairs = zip(*(predictions[name].to_pylist() for name in columns), strict=True)
    mistakes = Counter(pair for pair in pairs if pair[1] is not None and pair[0] != pair[1])
    return [
        (label, prediction, count)
        for (label, prediction), count in mistakes.most_common(_MOST_MISTAKES)
    ]
