"""The files and the table of a probing: ``probe.json``, ``predictions.parquet``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hiera_video.features.probe_figures import Probing, figures_of, never_learned, predictions_of
from hiera_video.files import atomic_path

PROBE_FILE = "probe.json"
PREDICTIONS_FILE = "predictions.parquet"

_TITLES = {"top1": "top-1", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1"}


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
    """The content of ``probe.json``."""
    pool, tested = probing.pool, probing.tested
    learned = pool.parts[0]
    return {
        **figures_of(probing),
        "classes": pool.classes,
        "num_videos": len(tested),
        "num_failed": int((~pool.readable[tested]).sum()),
        "num_groups": len(np.unique(pool.units[tested])) if probing.is_grouped else None,
        "num_folds": len(probing.splits) if len(pool.parts) == 1 else None,
        "num_learned_from": [len(split.train) for split in probing.splits],
        "never_learned": never_learned(probing),
        "checkpoint": learned.checkpoint,
        "weights": learned.origin.weights,
        "layer": learned.origin.layer,
        "failed": [
            {"path": path, "reason": reason}
            for path, reason in zip(pool.paths, pool.reasons, strict=True)
            if reason is not None
        ],
        "settings": {
            "features": str(learned.folder),
            "val_features": str(pool.parts[1].folder) if len(pool.parts) > 1 else None,
            **probing.settings.model_dump(mode="json"),
        },
    }


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
    for name, figures in [*report["probes"].items(), ("largest class", report["largest_class"])]:
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
