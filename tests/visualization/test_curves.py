"""Curves drawn from logged records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from hiera_video.visualization.curves import plot_curves


def draw(
    records: list[dict[str, Any]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, dict[str, list[list[float]]]]:
    """Points of each line, by title of the panel and name of the line, from left to right."""
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, path: Path, **options: Any) -> None:
        figures.append(figure)
        save(figure, path, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    plot_curves(records, folder / "curves.png")
    return {
        axes.get_title(): {
            str(line.get_label()): np.asarray(line.get_xydata()).tolist() for line in axes.lines
        }
        for axes in figures[0].axes
    }


def test_curves_are_drawn_from_the_records(tmp_path: Path) -> None:
    flat, drawn = tmp_path / "flat.png", tmp_path / "drawn.png"
    records = [{"step": i, "epoch": i / 10, "train/loss": 2 - i / 10} for i in range(10)]
    plot_curves([*records, {"step": 10, "epoch": 1, "lr": 0.5}], drawn)
    plot_curves(records[:1], flat)
    assert imread(drawn).shape == imread(flat).shape
    assert (imread(drawn) != imread(flat)).mean() > 0.005
    plot_curves([], tmp_path / "empty.png")
    assert imread(tmp_path / "empty.png").shape[1] < imread(drawn).shape[1]


def test_lines_are_those_of_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each value at its epoch; figures that are called alike share a panel."""
    records: list[dict[str, Any]] = [
        {"step": 4, "epoch": 0.5, "train/loss": 2.0, "train/accuracy": 0.25, "lr": 0.1},
        {"step": 8, "epoch": 1.0, "train/loss": 1.5, "train/accuracy": 0.5, "lr": 0.2},
        {"step": 8, "epoch": 1.0, "val/top1": 0.75, "val/top5": 1.0, "val/loss": 1.25},
        {"step": 8, "epoch": 2.0, "val/top1": None, "val/loss": None, "clips_per_second": 3.0},
        {"step": 9, "epoch": 1.1, "train/image_loss": 3.0, "train/image_accuracy": 0.1},
        {"step": 9, "epoch": 1.1, "val/image_top1": 0.2, "val/num_videos": 9},
    ]
    drawn = draw(records, tmp_path, monkeypatch)
    assert list(drawn) == ["loss", "accuracy", "top1", "top5", "learning rate"]
    assert drawn == {
        "loss": {
            "train/loss": [[0.5, 2.0], [1.0, 1.5]],
            "val/loss": [[1.0, 1.25]],
            "train/image_loss": [[1.1, 3.0]],
        },
        "accuracy": {
            "train/accuracy": [[0.5, 0.25], [1.0, 0.5]],
            "train/image_accuracy": [[1.1, 0.1]],
        },
        "top1": {"val/top1": [[1.0, 0.75]], "val/image_top1": [[1.1, 0.2]]},
        "top5": {"val/top5": [[1.0, 1.0]]},
        "learning rate": {"lr": [[0.5, 0.1], [1.0, 0.2]]},
    }


def test_figures_of_any_name_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task may measure whatever it likes."""
    records: list[dict[str, Any]] = [
        {"step": 4, "epoch": 0.5, "train/loss": 2.0, "train/distance": 7.0, "lr": 0.1},
        {"step": 8, "epoch": 1.0, "val/distance": 9.0, "val/rank_order": -0.5},
    ]
    drawn = draw(records, tmp_path, monkeypatch)
    assert list(drawn) == ["loss", "distance", "rank order", "learning rate"]
    assert drawn["distance"] == {"train/distance": [[0.5, 7.0]], "val/distance": [[1.0, 9.0]]}
    assert drawn["rank order"] == {"val/rank_order": [[1.0, -0.5]]}
