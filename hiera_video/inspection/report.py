"""An inspection as one HTML page that needs no other file."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jinja2 import Environment, PackageLoader

from hiera_video.files import atomic_path

REPORT_FILE = "report.html"
#: The span of a clip of 16 frames at stride 4: shorter videos have their last frame repeated.
CLIP_SPAN = 64
_MOST_LISTED = 200
_MOST_VALUES = 8
_MOST_CLASSES = 60
_BINS = 32


class Bar(NamedTuple):
    """A bar of a chart: its name, the number of videos kept, and the number left out."""

    name: str
    kept: int
    left_out: int = 0


def write_report(table: pa.Table, source: Path, passed_over: str, path: Path) -> None:
    """Write the page about an inspection's table; ``passed_over`` describes the other files."""
    environment = Environment(
        loader=PackageLoader("hiera_video.inspection"), autoescape=True, trim_blocks=True
    )
    page = environment.get_template("report.html").render(
        source=source, passed_over=passed_over, **summarize(table)
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def summarize(table: pa.Table) -> dict[str, Any]:
    """The figures of the page. Charts of lengths and sizes count only videos that are kept."""
    kept = table.filter(pc.is_null(table["left_out"]))
    left_out = table.filter(pc.is_valid(table["left_out"]))
    classes = class_balance(table)
    return {
        "num_videos": table.num_rows,
        "num_kept": kept.num_rows,
        "num_left_out": left_out.num_rows,
        "minutes": (pc.sum(kept["duration_seconds"]).as_py() or 0) / 60,
        "size_bytes": pc.sum(kept["size_bytes"]).as_py() or 0,
        "num_short": pc.sum(pc.less(kept["num_frames"], CLIP_SPAN)).as_py() or 0,
        "clip_span": CLIP_SPAN,
        "durations": histogram(kept["duration_seconds"].drop_null().to_numpy()),
        "sizes": {
            "width x height": most_common(_sizes(kept)),
            "frames per second": most_common(
                [
                    "unknown" if rate is None else f"{rate:.4g}"
                    for rate in _values(kept, "frames_per_second")
                ]
            ),
            "codec": most_common(_values(kept, "codec")),
            "rotation, degrees": most_common([str(v) for v in _values(kept, "rotation_degrees")]),
        },
        "num_classes": len(classes),
        "classes": classes if len(classes) <= _MOST_CLASSES else _ends(classes),
        "most_in_class": max((bar.kept + bar.left_out for bar in classes), default=0),
        "reasons": Counter(_kind(reason) for reason in _values(left_out, "left_out")).most_common(),
        "listed": left_out.slice(0, _MOST_LISTED).to_pylist(),
    }


def histogram(values: np.ndarray) -> list[Bar]:
    """The number of ``values`` in each of 32 equal ranges; the last one includes longer ones."""
    if not len(values):
        return []
    # A few very long videos would squeeze all others into one bar.
    top = max(float(np.quantile(values, 0.99)), 1e-6)
    counts, edges = np.histogram(np.minimum(values, top), bins=_BINS, range=(0, top))
    names = [f"{low:.3g} to {high:.3g} s" for low, high in pairwise(edges)]
    names[-1] = f"{edges[-2]:.3g} s and more"
    return [Bar(name, int(count)) for name, count in zip(names, counts, strict=True)]


def most_common(values: list[str]) -> list[Bar]:
    """The most frequent values, and the number of videos with other values."""
    counts = Counter(values).most_common()
    bars = [Bar(name, count) for name, count in counts[:_MOST_VALUES]]
    others = sum(count for _, count in counts[_MOST_VALUES:])
    return [*bars, Bar(f"{len(counts) - _MOST_VALUES} others", others)] if others else bars


def class_balance(table: pa.Table) -> list[Bar]:
    """Videos of each class, the most frequent class first; empty without labels."""
    labelled = table.filter(pc.is_valid(table["label"]))
    total = Counter(labelled["label"].to_pylist())
    kept = Counter(labelled.filter(pc.is_null(labelled["left_out"]))["label"].to_pylist())
    bars = [Bar(name, kept[name], count - kept[name]) for name, count in total.items()]
    return sorted(bars, key=lambda bar: (-bar.kept, bar.name))


def _ends(bars: list[Bar]) -> list[Bar]:
    half = _MOST_CLASSES // 2
    return bars[:half] + bars[-half:]


def _kind(reason: str) -> str:
    """A reason without the details of one video: numbers, and text in parentheses."""
    words = reason.partition(" (")[0].split()
    return " ".join("N" if word.isdecimal() else word for word in words)


def _sizes(table: pa.Table) -> list[str]:
    pairs = zip(_values(table, "width"), _values(table, "height"), strict=True)
    return [f"{width} x {height}" for width, height in pairs]


def _values(table: pa.Table, name: str) -> list[Any]:
    return table[name].to_pylist()
