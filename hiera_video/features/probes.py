"""Frozen evaluation: what classifiers that see nothing but extracted features get right.

Axes: V videos, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hiera_video.config.probe_groups import ProbeSettings
from hiera_video.errors import UserError
from hiera_video.features.attentive_probe import AttentiveProbe
from hiera_video.features.folds import Split, held_out_parts, splits_of
from hiera_video.features.labelled import read_labelled
from hiera_video.features.linear_probe import LinearProbe
from hiera_video.features.nearest_probe import NearestProbe
from hiera_video.features.pool import VideoPool, make_pool
from hiera_video.features.probe_figures import ProbeResult, Probing
from hiera_video.features.probe_report import write_probing
from hiera_video.features.sweep import Choice
from hiera_video.runtime import open_output, progress_bar


class Probe(Protocol):
    """Learns from the videos to learn from of a split, and scores those to be tested."""

    @property
    def chosen(self) -> str | None:
        """The setting that held-out videos choose, if there is one."""

    def __call__(
        self, pool: VideoPool, split: Split, held_out: Sequence[Split]
    ) -> tuple[np.ndarray, Choice]:
        """Scores ``(V, K)``, and what was chosen."""


def run_probes(
    features: Path, val_features: Path | None, output_dir: Path, settings: ProbeSettings
) -> dict[str, Any]:
    """Probe the features of a folder, by those of another or by folds; print a table, write
    ``probe.json`` and ``predictions.parquet``, and give the content of the first.

    Raises:
        UserError: if scikit-learn is not installed, features cannot be read or do not fit, or
            settings do not fit them; nothing is written then.
    """
    if find_spec("sklearn") is None:
        raise UserError(
            'probe: scikit-learn is not installed; `pip install "hiera-video[probe]"` installs it'
        )
    val = None if val_features is None else read_labelled(val_features, "val_features")
    pool = make_pool(read_labelled(features, "features"), val)
    splits = splits_of(pool, settings.folds, settings.seed)
    with open_output(output_dir, None):
        results = _results(pool, splits, settings)
        probing = Probing(pool, splits, settings, results)
        return write_probing(probing, output_dir)


def _results(
    pool: VideoPool, splits: Sequence[Split], settings: ProbeSettings
) -> list[ProbeResult]:
    """The result of each probe, in the order of ``settings.probes``."""
    held_out = [
        held_out_parts(pool, split.train, settings.held_out_parts, settings.seed)
        for split in splits
    ]
    probes: dict[str, Probe] = {
        "knn": NearestProbe(settings.knn),
        "linear": LinearProbe(settings.linear),
        "attentive": AttentiveProbe(settings.attentive, settings.seed),
    }
    bar = progress_bar(total=len(splits) * len(settings.probes), desc="probe", unit="fold")
    results = []
    with bar:
        for name in settings.probes:
            scores = np.full((len(pool.labels), len(pool.classes)), np.nan, np.float32)
            choices = []
            for split, parts in zip(splits, held_out, strict=True):
                test = split.test[pool.readable[split.test]]
                if len(test):
                    scores[test], choice = probes[name](pool, Split(split.train, test), parts)
                    choices.append(choice)
                bar.update()
            results.append(ProbeResult(name, probes[name].chosen, scores, choices))
    return results
