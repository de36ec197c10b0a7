"""Curves drawn from logged records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from hiera_video.visualization.curves import plot_curves


def test_curves_are_drawn_from_the_records(tmp_path: Path) -> None:
    empty, drawn = tmp_path / "empty.png", tmp_path / "drawn.png"
    plot_curves([], empty)
    records = [{"step": i, "epoch": i / 10, "train/loss": 2 - i / 10} for i in range(10)]
    plot_curves([*records, {"step": 10, "epoch": 1, "lr": 0.5}], drawn)
    assert imread(drawn).shape == imread(empty).shape
    assert (imread(drawn) != imread(empty)).mean() > 0.005


def test_lines_are_those_of_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each value at its epoch: losses, accuracies, and the rate."""
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, path: Path, **options: Any) -> None:
        figures.append(figure)
        save(figure, path, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    records: list[dict[str, Any]] = [
        {"step": 4, "epoch": 0.5, "train/loss": 2.0, "train/accuracy": 0.25, "lr": 0.1},
        {"step": 8, "epoch": 1.0, "train/loss": 1.5, "train/accuracy": 0.5, "lr": 0.2},
        {"step": 8, "epoch": 1.0, "val/top1": 0.75, "val/top5": 1.0, "val/loss": 1.25},
        {"step": 8, "epoch": 2.0, "val/top1": None, "val/loss": None},
        {"step": 9, "epoch": 1.1, "train/image_loss": 3.0, "train/image_accuracy": 0.1},
        {"step": 9, "epoch": 1.1, "val/image_top1": 0.2},
    ]
    plot_curves(records, tmp_path / "curves.png")
    left, middle, right = figures[0].axes
    drawn = [
        {str(line.get_label()): np.asarray(line.get_xydata()).tolist() for line in axes.lines}
        for axes in (left, middle, right)
    ]
    assert drawn[0] == {
        "train/loss": [[0.5, 2.0], [1.0, 1.5]],
        "val/loss": [[1.0, 1.25]],
        "train/image_loss": [[1.1, 3.0]],
    }
    assert drawn[1] == {
        "train/accuracy": [[0.5, 0.25], [1.0, 0.5]],
        "val/top1": [[1.0, 0.75]],
        "train/image_accuracy": [[1.1, 0.1]],
        "val/image_top1": [[1.1, 0.2]],
    }
    assert drawn[2] == {"lr": [[0.5, 0.1], [1.0, 0.2]]}
    titles = [axes.get_title() for axes in figures[0].axes]
    assert titles == ["loss", "accuracy", "learning rate"]
    assert middle.get_ylim() == (0, 1)
    plot_curves([{"step": 4, "epoch": 0.5, "train/loss": 2.0, "lr": 0.1}], tmp_path / "curves.png")
    assert [axes.get_title() for axes in figures[1].axes] == ["loss", "learning rate"]
