"""The files of an evaluation: ``metrics.json``, ``predictions.parquet``, ``report.html``.

Axes: V videos that have scores, K classes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jinja2 import Environment, PackageLoader

from hiera_video.data.manifest import Manifest
from hiera_video.evaluation.views import class_labels
from hiera_video.files import atomic_path

METRICS_FILE = "metrics.json"
PREDICTIONS_FILE = "predictions.parquet"
REPORT_FILE = "report.html"


def write_evaluation(
    directory: Path,
    manifest: Manifest,
    rows: np.ndarray,
    scores: np.ndarray,
    metrics: dict[str, Any],
    warnings: Sequence[str] = (),
) -> None:
    """Write all three files into ``directory``. ``rows`` ``(V,)``, in ascending order, are those of
    the manifest that have ``scores`` ``(V, K)``."""
    table = predictions_table(manifest, rows, scores)
    with atomic_path(directory / PREDICTIONS_FILE) as path:
        pq.write_table(table, path)
    with atomic_path(directory / REPORT_FILE) as path:
        path.write_text(render_report(metrics, _confusions(table), warnings), encoding="utf-8")
    with atomic_path(directory / METRICS_FILE) as path:
        path.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")


def predictions_table(manifest: Manifest, rows: np.ndarray, scores: np.ndarray) -> pa.Table:
    """One row per manifest row: ``path``, ``label``, ``prediction``, ``scores`` in class order.

    Videos that failed, those not in ``rows``, have neither prediction nor scores.
    """
    classes = pa.array(class_labels(manifest).classes, pa.string())
    failed = np.ones(len(manifest), bool)
    failed[rows] = False
    predictions = np.zeros(len(manifest), np.int64)
    predictions[rows] = scores.argmax(1)
    ends = np.cumsum(~failed) * scores.shape[1]
    offsets = pa.array(np.append(0, ends), pa.int32())
    values = pa.array(scores.reshape(-1), pa.float32())
    return pa.table(
        {
            "path": pa.array(manifest.paths, pa.string()),
            "label": classes.take(pa.array(manifest.column("labels"))),
            "prediction": classes.take(pa.array(predictions, mask=failed)),
            "scores": pa.ListArray.from_arrays(offsets, values, mask=pa.array(failed)),
        }
    )


def render_report(
    metrics: dict[str, Any],
    confusions: list[tuple[str, str, int]],
    warnings: Sequence[str] = (),
) -> str:
    """The metrics as one HTML page that needs no other file."""
    environment = Environment(loader=PackageLoader("hiera_video.evaluation"), autoescape=True)
    return environment.get_template("report.html").render(
        metrics=metrics, confusions=confusions, warnings=warnings
    )


def _confusions(table: pa.Table, most: int = 20) -> list[tuple[str, str, int]]:
    """The most frequent mistakes: label, what was predicted instead, how often."""
    pairs = zip(table["label"].to_pylist(), table["prediction"].to_pylist(), strict=True)
    mistakes = Counter(pair for pair in pairs if pair[1] is not None and pair[0] != pair[1])
    return [(label, prediction, count) for (label, prediction), count in mistakes.most_common(most)]
