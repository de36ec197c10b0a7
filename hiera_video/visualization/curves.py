"""Training curves as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hiera_video.files import atomic_path


def plot_curves(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw loss and accuracies over epochs from logged records, as a PNG."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    FigureCanvasAgg(figure)  # draws to memory: no display is needed, and pyplot keeps no state
    left, right = figure.subplots(1, 2)
    for axes, names, title in (
        (left, ["train/loss", "train/image_loss"], "loss"),
        (
            right,
            ["train/accuracy", "val/top1", "train/image_accuracy", "val/image_top1"],
            "accuracy",
        ),
    ):
        for name in names:
            points = [(record["epoch"], record[name]) for record in records if name in record]
            if points:
                marker = "o" if name.startswith("val/") else None
                axes.plot(*zip(*points, strict=True), label=name, marker=marker, markersize=3)
        axes.set_xlabel("epoch")
        axes.set_title(title)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    right.set_ylim(0, 1)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
