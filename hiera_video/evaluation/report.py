"""The files of an evaluation: ``metrics.json``, ``predictions.parquet``, ``report.html``.

They hold all figures that a task gives; no name of a figure occurs here.
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

from hiera_video.config.machinery import flat_settings
from hiera_video.files import atomic_path
from hiera_video.tasks.task import ScoreTable, Shown, Task

METRICS_FILE = "metrics.json"
PREDICTIONS_FILE = "predictions.parquet"
REPORT_FILE = "report.html"

#: The page shows at most this many mistakes.
_MOST_MISTAKES = 20


@dataclass(frozen=True)
class Evaluation:
    """The figures that a task computes from the scores of a manifest's videos.

    ``metrics`` is the content of ``metrics.json``: the task's figures, ``num_videos``,
    ``num_failed``, the task's tables of figures, ``failed`` and ``settings``. ``shown`` selects the
    figures for summary and page; ``doubts`` are warnings about them.
    """

    metrics: dict[str, Any]
    shown: dict[str, Shown]
    doubts: list[str]

    @classmethod
    def of(cls, task: Task, table: ScoreTable, settings: dict[str, Any]) -> Evaluation:
        """The evaluation of ``table`` by ``task``; ``settings`` are all that it depends on."""
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
        shown = task.shown or {name: Shown(name) for name in figures}
        return cls(metrics, dict(shown), task.doubts(table))

    def summary(self) -> str:
        """The shown figures and the number of videos, in one line."""
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
    """One row per manifest row: ``path``, and the columns of the task's predictions."""
    paths = pa.array(table.manifest.paths, pa.string())
    return pa.table({"path": paths, **task.predictions(table)})


class _Line(NamedTuple):
    """A line of a table of figures; ``width`` is the width of its bar in percent, or None."""

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
        settings=flat_settings(evaluation.metrics["settings"]),
        figures=figures,
        tables=tables,
        warnings=evaluation.doubts,
        mistakes=mistakes,
    )


def _lines(table: dict[str, float | None], shown: Shown) -> list[_Line]:
    """The lines of a table of figures. Bars are relative to 1 for shares, and to the largest value
    for other numbers."""
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
    """A figure for the page; if in percent, with ``digits`` after the decimal point."""
    if shown.in_percent and value is not None:
        return f"{100 * value:.{digits}f} %"
    return _number(value, ".4g")


def _number(value: float | None, form: str) -> str:
    """An integer unchanged, any other number in the format ``form``."""
    if value is None:
        return "undefined"
    return str(value) if isinstance(value, int) else format(value, form)


def find_mistakes(predictions: pa.Table) -> list[tuple[str, str, int]]:
    """The most frequent mistakes: label, wrong prediction, count; none if predictions are not
    names."""
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
