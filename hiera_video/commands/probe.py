"""Measure what frozen features tell: nearest neighbours, a linear and an attentive probe.

hiera-video probe features=DIR [val_features=DIR] [output_dir=OUT] [folds=5]

DIR is what `hiera-video features` wrote, of a manifest with labels. The probes learn from features
and are tested on val_features; without those, on each of the folds in turn: by the column group of
the manifest where it has one, else by video. Writes probe.json and predictions.parquet. Needs
scikit-learn: pip install "hiera-video[probe]".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from hiera_video.config.probe_groups import ProbeSettings


class ProbeRun(ProbeSettings):
    """Measure what frozen features tell."""

    features: Path = Field(description="folder of extracted features to learn from")
    val_features: Path | None = Field(
        None, description="folder of features to test on; default: folds of features"
    )
    output_dir: Path | None = Field(
        None, description="folder that everything is written to; default: features/probe"
    )


SETTINGS = ProbeRun


def start(run: ProbeRun) -> dict[str, Any]:
    """Print the table; write figures and predictions; give the figures."""
    from hiera_video.features.probes import run_probes

    output_dir = run.output_dir or run.features / "probe"
    return run_probes(run.features, run.val_features, output_dir, run.plain)
