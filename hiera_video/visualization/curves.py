"""Training curves as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hiera_video.files import atomic_path

#: What stands in one coordinate system: its title, and the figures that are drawn there.
_PANELS = (
    ("loss", ("train/loss", "val/loss", "train/image_loss", "val/image_loss")),
    ("accuracy", ("train/accuracy", "val/top1", "train/image_accuracy", "val/image_top1")),
    ("learning rate", ("lr",)),
)


def plot_curves(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw losses, accuracies and the learning rate over epochs from logged records, as a PNG.

    Without any accuracy, as in pre-training, there is no place for them.
    """
    panels = [
        (title, lines)
        for title, names in _PANELS
        if (lines := _lines(records, names)) or title != "accuracy"
    ]
    figure = Figure(figsize=(4.5 * len(panels), 3.5), layout="constrained")
    FigureCanvasAgg(figure)  # draws to memory: no display is needed, and pyplot keeps no state
    for axes, (title, lines) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for name, points in lines.items():
            # A figure of its own for each epoch, or a single point, would be no line to be seen.
            marker = "o" if name.startswith("val/") or len(points) == 1 else None
            axes.plot(
                *zip(*points, strict=True),
                label=name,
                marker=marker,
                markersize=3,
                clip_on=title != "accuracy",  # an accuracy of 1 lies on the edge
            )
        axes.set_xlabel("epoch")
        axes.set_title(title)
        axes.grid(alpha=0.3)
        if title == "accuracy":
            axes.set_ylim(0, 1)
        if lines and title != "learning rate":
            axes.legend()
    with atomic_path(path, durable=False) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def _lines(
    records: Sequence[dict[str, Any]], names: Sequence[str]
) -> dict[str, list[tuple[float, float]]]:
    """Epoch and value of each of these figures; of those that are undefined, none."""
    lines = {
        name: [(r["epoch"], r[name]) for r in records if r.get(name) is not None] for name in names
    }
    return {name: points for name, points in lines.items() if points}
