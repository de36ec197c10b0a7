"""Curves drawn from logged records."""

from __future__ import annotations

from pathlib import Path

from matplotlib.image import imread

from hiera_video.visualization.curves import plot_curves


def test_curves_are_drawn_from_the_records(tmp_path: Path) -> None:
    empty, drawn = tmp_path / "empty.png", tmp_path / "drawn.png"
    plot_curves([], empty)
    records = [{"step": i, "epoch": i / 10, "train/loss": 2 - i / 10} for i in range(10)]
    plot_curves([*records, {"step": 10, "epoch": 1, "val/top1": 0.5}], drawn)
    assert imread(drawn).shape == imread(empty).shape
    assert (imread(drawn) != imread(empty)).mean() > 0.005
