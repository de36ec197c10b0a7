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
    plot_curves([*records, {"step": 10, "epoch": 1, "val/top1": 0.5}], drawn)
    assert imread(drawn).shape == imread(empty).shape
    assert (imread(drawn) != imread(empty)).mean() > 0.005


def test_lines_are_those_of_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each value at its epoch, losses on the left and accuracies on the right."""
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, path: Path, **options: Any) -> None:
        figures.append(figure)
        save(figure, path, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    records = [
        {"step": 4, "epoch": 0.5, "train/loss": 2.0, "train/accuracy": 0.25, "lr": 0.1},
        {"step": 8, "epoch": 1.0, "train/loss": 1.5, "train/accuracy": 0.5, "lr": 0.2},
        {"step": 8, "epoch": 1.0, "val/top1": 0.75, "val/top5": 1.0},
        {"step": 9, "epoch": 1.1, "train/image_loss": 3.0, "train/image_accuracy": 0.1},
        {"step": 9, "epoch": 1.1, "val/image_top1": 0.2},
    ]
    plot_curves(records, tmp_path / "curves.png")
    left, right = figures[0].axes
    drawn = [
        {str(line.get_label()): np.asarray(line.get_xydata()).tolist() for line in axes.lines}
        for axes in (left, right)
    ]
    assert drawn[0] == {
        "train/loss": [[0.5, 2.0], [1.0, 1.5]],
        "train/image_loss": [[1.1, 3.0]],
    }
    assert drawn[1] == {
        "train/accuracy": [[0.5, 0.25], [1.0, 0.5]],
        "val/top1": [[1.0, 0.75]],
        "train/image_accuracy": [[1.1, 0.1]],
        "val/image_top1": [[1.1, 0.2]],
    }
    assert (left.get_title(), right.get_title()) == ("loss", "accuracy")
    assert right.get_ylim() == (0, 1)
