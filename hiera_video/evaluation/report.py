"""The files of an evaluation: ``metrics.json``, ``predictions.parquet``, ``report.html``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from jinja2 import Environment, PackageLoader

from hiera_video.data.manifest import Manifest
from hiera_video.evaluation.views import VideoScores
from hiera_video.files import atomic_path

METRICS_FILE = "metrics.json"
PREDICTIONS_FILE = "predictions.parquet"
REPORT_FILE = "report.html"


def write_evaluation(
    directory: Path,
    manifest: Manifest,
    videos: Sequence[VideoScores],
    metrics: dict[str, Any],
) -> None:
    """Write all three files into ``directory``. ``videos`` are in manifest order."""
    table = predictions_table(manifest, videos)
    with atomic_path(directory / PREDICTIONS_FILE) as path:
        pq.write_table(table, path)
    with atomic_path(directory / REPORT_FILE) as path:
        path.write_text(render_report(metrics, _confusions(table)), encoding="utf-8")
    with atomic_path(directory / METRICS_FILE) as path:
        path.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")


def predictions_table(manifest: Manifest, videos: Sequence[VideoScores]) -> pa.Table:
    """One row per manifest row: ``path``, ``label``, ``prediction``, ``scores`` in class order.

    Videos that failed have neither prediction nor scores.
    """
    classes = manifest.classes
    rows = [manifest[video.row] for video in videos]
    predictions = [
        classes[max(range(len(classes)), key=video.scores.__getitem__)] if video.scores else None
        for video in videos
    ]
    return pa.table(
        {
            "path": pa.array([row.path for row in rows], pa.string()),
            "label": pa.array([classes[row.label] for row in rows], pa.string()),
            "prediction": pa.array(predictions, pa.string()),
            "scores": pa.array([video.scores for video in videos], pa.list_(pa.float32())),
        }
    )


def render_report(metrics: dict[str, Any], confusions: list[tuple[str, str, int]]) -> str:
    """The metrics as one HTML page that needs no other file."""
    environment = Environment(loader=PackageLoader("hiera_video.evaluation"), autoescape=True)
    return environment.get_template("report.html").render(metrics=metrics, confusions=confusions)


def _confusions(table: pa.Table, most: int = 20) -> list[tuple[str, str, int]]:
    """The most frequent mistakes: label, what was predicted instead, how often."""
    pairs = zip(table["label"].to_pylist(), table["prediction"].to_pylist(), strict=True)
    mistakes = Counter(pair for pair in pairs if pair[1] is not None and pair[0] != pair[1])
    return [(label, prediction, count) for (label, prediction), count in mistakes.most_common(most)]
