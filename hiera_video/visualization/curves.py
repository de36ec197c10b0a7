"""Training curves as a picture."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hiera_video.files import atomic_path

#: Panels side by side, at most.
_MOST_COLUMNS = 3
_RATE = "lr"

#: Epochs and values of a figure.
Points = list[tuple[float, float]]


def plot_curves(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the figures of logged records over epochs, and the learning rate, as a PNG.

    All figures of training and validation (``train/…``, ``val/…``) are drawn, but for counts
    (``num_…``), whatever they are. Those that are called alike share a panel; ``image_loss`` stands
    beside ``loss``, if there is one.
    """
    panels = _panels(records)
    num_columns = min(len(panels), _MOST_COLUMNS)
    num_rows = ceil(len(panels) / num_columns)
    figure = Figure(figsize=(4.5 * num_columns, 3.5 * num_rows), layout="constrained")
    FigureCanvasAgg(figure)  # draws to memory: no display is needed, and pyplot keeps no state
    places = figure.subplots(num_rows, num_columns, squeeze=False, sharex=True).flatten().tolist()
    for axes, (title, lines) in zip(places, panels.items(), strict=False):
        _draw(axes, title, lines)
    for axes in places[len(panels) :]:
        axes.remove()
    with atomic_path(path, durable=False) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def _draw(axes: Axes, title: str, lines: dict[str, Points]) -> None:
    """One panel. Training and validation have the same colours in all of them."""
    colours = {True: itertools.count(1, 2), False: itertools.count(0, 2)}
    for name, points in lines.items():
        is_validated = name.startswith("val/")
        axes.plot(
            *zip(*points, strict=True),
            label=name,
            color=f"C{next(colours[is_validated])}",
            # A figure of its own for each epoch, or a single point, would be no line to be seen.
            marker="o" if is_validated or len(points) == 1 else None,
            markersize=3,
        )
    axes.set_xlabel("epoch")
    axes.tick_params(labelbottom=True)
    axes.set_title(title)
    axes.grid(alpha=0.3)
    if lines and list(lines) != [_RATE]:
        axes.legend()


def _panels(records: Sequence[dict[str, Any]]) -> dict[str, dict[str, Points]]:
    """What stands in one coordinate system: title -> name of a figure -> its points.

    In the order in which figures are logged first, and the learning rate last.
    """
    names = dict.fromkeys(name for record in records for name in record)
    found = {name: points for name in names if (points := _points(records, name))}
    # By what they are called without train/ or val/.
    called = {
        name: bare
        for name in found
        if name.startswith(("train/", "val/"))
        and not (bare := name.partition("/")[2]).startswith("num_")
    }
    panels: dict[str, dict[str, Points]] = {}
    for name, bare in called.items():
        ends = [other for other in called.values() if bare.endswith(f"_{other}")]
        title = min(ends, key=len, default=bare).replace("_", " ")
        panels.setdefault(title, {})[name] = found[name]
    panels["learning rate"] = {_RATE: found[_RATE]} if _RATE in found else {}
    return panels


def _points(records: Sequence[dict[str, Any]], name: str) -> Points:
    """Epoch and value of a figure, wherever it is defined."""
    return [(r["epoch"], r[name]) for r in records if r.get(name) is not None]
