"""The figures of an inspection's page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from hiera_video.inspection.report import Bar, histogram, most_common, summarize, write_report
from hiera_video.inspection.results import SCHEMA


def make_table(rows: list[tuple[str | None, str | None]]) -> pa.Table:
    """A table of videos of 100 frames with these labels and reasons to leave them out."""
    common = {
        "num_frames": 100,
        "width": 64,
        "height": 48,
        "frames_per_second": 25.0,
        "codec": "h264",
        "duration_seconds": 4.0,
        "rotation_degrees": 0,
        "size_bytes": 10**6,
    }
    columns = [
        {**common, "path": f"{index}.mp4", "label": label, "left_out": reason}
        for index, (label, reason) in enumerate(rows)
    ]
    return pa.Table.from_pylist(columns, schema=SCHEMA)


def test_a_histogram_counts_every_video_once() -> None:
    values = np.array([*np.linspace(0, 10, 1000), 5000.0])
    bars = histogram(values)
    assert sum(bar.kept for bar in bars) == 1001
    # One long video does not press the others together.
    assert min(bar.kept for bar in bars) > 20
    assert bars[-1].name.endswith("s and more")
    assert histogram(np.array([])) == []


def test_rare_values_are_taken_together() -> None:
    values = [str(number) for number in range(10) for _ in range(20 - number)]
    bars = most_common(values)
    assert bars[0] == Bar("0", 20)
    assert bars[-1] == Bar("2 others", 12 + 11)


def test_classes_and_reasons_are_counted() -> None:
    cut = "the file is damaged or cut off: {} whole frames of 300"
    rows: list[tuple[str | None, str | None]] = [("run", None), ("run", None), ("jump", None)]
    rows += [("jump", cut.format(1)), ("jump", cut.format(25)), ("swim", "duplicate")]
    figures = summarize(make_table(rows))
    assert figures["classes"] == [Bar("run", 2, 0), Bar("jump", 1, 2), Bar("swim", 0, 1)]
    assert figures["most_in_class"] == 3
    assert figures["reasons"] == [(cut.format("N").replace("300", "N"), 2), ("duplicate", 1)]
    assert (figures["num_kept"], figures["num_left_out"], figures["num_short"]) == (3, 3, 0)
    assert (figures["minutes"], figures["size_bytes"]) == (0.2, 3_000_000)


def test_of_many_classes_the_ends_are_shown(tmp_path: Path) -> None:
    rows: list[tuple[str | None, str | None]] = [
        (f"class {index:03d}", None) for index in range(100) for _ in range(100 - index)
    ]
    figures = summarize(make_table(rows))
    assert [bar.kept for bar in figures["classes"]] == [*range(100, 70, -1), *range(30, 0, -1)]
    write_report(make_table(rows), Path("m.csv"), "", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    for text in ("The 30 largest and the 30 smallest of 100.", "5.6 h<span>", "5.0 GB<span>"):
        assert text in page


def test_nothing_kept_makes_a_page_too(tmp_path: Path) -> None:
    table = make_table([(None, "the file is empty (0 bytes)")])
    write_report(table, Path("<folder>"), "2 .<b>", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "&lt;folder&gt;" in page
    assert "of videos: 2 .&lt;b&gt;." in page
    assert "Durations" not in page
