"""The files and the table of a probing: ``probe.json``, ``predictions.parquet``.

Axes: V videos, K classes, R resamples.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hiera_video.config.probe_groups import ProbeSettings
from hiera_video.features.folds import Split
from hiera_video.features.pool import VideoPool
from hiera_video.features.sweep import Choice
from hiera_video.files import atomic_path
from hiera_video.metrics.bootstrap import (
    ClassFigures,
    Resamples,
    class_figures,
    interval,
    resampled_figures,
)

PROBE_FILE = "probe.json"
PREDICTIONS_FILE = "predictions.parquet"

#: Figures are rounded to this many digits.
_DIGITS = 6
_TITLES = {"top1": "top-1", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1"}
_LARGEST = "largest class"


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


def write_probing(probing: Probing, output_dir: Path) -> dict[str, Any]:
    """Write both files, print the table, and give the content of ``probe.json``."""
    report = _report(probing)
    with atomic_path(output_dir / PREDICTIONS_FILE) as path:
        pq.write_table(predictions_table(probing), path)
    with atomic_path(output_dir / PROBE_FILE) as path:
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print("\n".join(_lines(report)))
    print(f"-> {output_dir / PROBE_FILE}, {output_dir / PREDICTIONS_FILE}")
    return report


def predictions_of(result: ProbeResult) -> np.ndarray:
    """The class index of the largest score ``(V,)``; -1 without scores."""
    has_scores = ~np.isnan(result.scores[:, 0])
    return np.where(has_scores, np.nan_to_num(result.scores).argmax(1), -1)


def predictions_table(probing: Probing) -> pa.Table:
    """A row per tested video and probe, in the order of probes and then of the manifest: ``path``,
    ``probe``, ``fold`` (from 0), ``label``, ``prediction`` and ``scores`` in the order of the
    classes; the last two are null of a video without features."""
    pool, tested = probing.pool, probing.tested
    names, paths = pa.array(pool.classes, pa.string()), pool.paths
    tables = []
    for result in probing.results:
        predictions = predictions_of(result)[tested]
        scores = [None if np.isnan(row[0]) else row for row in result.scores[tested]]
        columns = {
            "path": pa.array([paths[video] for video in tested], pa.string()),
            "probe": pa.array([result.name] * len(tested), pa.string()),
            "fold": pa.array(probing.folds[tested], pa.int64()),
            "label": names.take(pa.array(pool.labels[tested])),
            "prediction": names.take(pa.array(predictions, mask=predictions < 0)),
            "scores": pa.array(scores, pa.list_(pa.float32())),
        }
        tables.append(pa.table(columns))
    return pa.concat_tables(tables)


def _report(probing: Probing) -> dict[str, Any]:
    pool, tested = probing.pool, probing.tested
    learned, reasons, paths = pool.parts[0], pool.reasons, pool.paths
    labels, num_classes = pool.labels[tested], len(pool.classes)
    units = pool.units[tested]
    resamples = Resamples(units, probing.settings.num_resamples, probing.settings.seed)
    baseline = np.full(len(labels), np.bincount(labels, minlength=num_classes).argmax())
    predictions = {result.name: predictions_of(result)[tested] for result in probing.results}
    figures = {
        name: (
            class_figures(labels, found, num_classes),
            resampled_figures(labels, found, num_classes, resamples),
        )
        for name, found in {**predictions, _LARGEST: baseline}.items()
    }
    has_intervals = len(resamples.names) > 1
    probes = {}
    for result in probing.results:
        (own, drawn), (least, drawn_least) = figures[result.name], figures[_LARGEST]
        probes[result.name] = {
            **_with_intervals(own, drawn, has_intervals),
            "top1_above_largest_class": _with_interval(
                own.top1 - least.top1, drawn[:, 0] - drawn_least[:, 0], has_intervals
            ),
            **_chosen(result),
        }
    return {
        "probes": probes,
        "largest_class": {
            "class": pool.classes[baseline[0]],
            **_with_intervals(*figures[_LARGEST], has_intervals),
        },
        "chance": round(1 / num_classes, _DIGITS),
        "classes": pool.classes,
        "num_videos": len(tested),
        "num_failed": int((~pool.readable[tested]).sum()),
        "num_groups": len(resamples.names) if probing.is_grouped else None,
        "num_folds": len(probing.splits) if len(pool.parts) == 1 else None,
        "num_learned_from": [len(split.train) for split in probing.splits],
        "never_learned": _never_learned(probing),
        "checkpoint": learned.checkpoint,
        "weights": learned.origin.weights,
        "layer": learned.origin.layer,
        "failed": [
            {"path": paths[video], "reason": reasons[video]}
            for video in range(len(paths))
            if reasons[video] is not None
        ],
        "settings": {
            "features": str(learned.folder),
            "val_features": str(pool.parts[1].folder) if len(pool.parts) > 1 else None,
            **probing.settings.model_dump(mode="json"),
        },
    }


def _with_intervals(
    figures: ClassFigures, drawn: np.ndarray, has_intervals: bool
) -> dict[str, dict[str, float | None]]:
    return {
        name: _with_interval(value, drawn[:, number], has_intervals)
        for number, (name, value) in enumerate(figures._asdict().items())
    }


def _with_interval(value: float, drawn: np.ndarray, has_interval: bool) -> dict[str, float | None]:
    """A figure, and its interval where more than one unit could be drawn."""
    low, high = interval(drawn)
    return {
        "value": round(value, _DIGITS),
        "low": round(low, _DIGITS) if has_interval else None,
        "high": round(high, _DIGITS) if has_interval else None,
    }


def _chosen(result: ProbeResult) -> dict[str, Any]:
    if result.chosen is None:
        return {}
    values = [choice.value for choice in result.choices]
    return {result.chosen: values, "held_out": [choice.tried for choice in result.choices]}


def _never_learned(probing: Probing) -> dict[str, int]:
    """How many tested videos of a class there are in splits that have none to learn from."""
    missed: dict[str, int] = {}
    for train, test in probing.splits:
        known = set(probing.pool.labels[train].tolist())
        for label in probing.pool.labels[test].tolist():
            if label not in known:
                name = probing.pool.classes[label]
                missed[name] = missed.get(name, 0) + 1
    return missed


def _lines(report: dict[str, Any]) -> list[str]:
    """The printed table."""
    count = f"{report['num_videos']} videos"
    groups, folds = report["num_groups"], report["num_folds"]
    unit = f"{groups} groups" if groups else count
    lines = [
        count
        + (f" in {groups} groups" if groups else "")
        + f", {len(report['classes'])} classes, "
        + (f"{folds} folds" if folds else f"learned from {report['num_learned_from'][0]} others")
        + f"; layer {report['layer']} of {report['checkpoint'] or 'a checkpoint'}",
        _line("", list(_TITLES.values())),
    ]
    for name, figures in [*report["probes"].items(), (_LARGEST, report["largest_class"])]:
        lines.append(_line(name, [_text(figures[figure]) for figure in _TITLES]))
    lines.append(_line("chance", [f"{report['chance']:.3f}"] * 2))
    lines.append(
        f"in brackets: 95 % intervals, bootstrap over {unit}"
        if report["largest_class"]["top1"]["low"] is not None
        else f"no intervals: there is nothing to draw from {unit}"
    )
    if report["num_failed"]:
        lines.append(f"{report['num_failed']} videos have no features, and count as wrong")
    if missed := report["never_learned"]:
        lines.append(
            f"{sum(missed.values())} videos are of classes that their fold cannot learn: "
            + ", ".join(f"{name} ({count})" for name, count in missed.items())
        )
    return lines


def _line(name: str, columns: Sequence[str]) -> str:
    return f"{name:15}{''.join(f'{column:22}' for column in columns)}".rstrip()


def _text(figure: dict[str, float | None]) -> str:
    between = f" [{figure['low']:.3f}, {figure['high']:.3f}]" if figure["low"] is not None else ""
    return f"{figure['value']:.3f}{between}"
