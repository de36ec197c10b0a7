"""The results of an inspection: a Parquet table of all rows, and a clean manifest of good ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hiera_video.data.class_list import CLASSES_FILE, write_classes
from hiera_video.data.manifest import written_paths
from hiera_video.files import atomic_path, write_csv
from hiera_video.inspection.examine import Examined
from hiera_video.inspection.rows import InspectedRow, RowsToInspect

TABLE_FILE = "videos.parquet"
CLEAN_FILE = "clean.csv"

SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("label", pa.string()),
        ("start_seconds", pa.float64()),
        ("end_seconds", pa.float64()),
        ("file", pa.string()),
        ("num_frames", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("frames_per_second", pa.float64()),
        ("codec", pa.string()),
        ("duration_seconds", pa.float64()),
        ("rotation_degrees", pa.int32()),
        ("size_bytes", pa.int64()),
        ("sha256", pa.string()),
        ("decoded", pa.bool_()),
        ("reason", pa.string()),  # why the file cannot be read
        ("duplicate_of", pa.string()),  # the path of the first row with the same bytes and seconds
        ("left_out", pa.string()),  # why the clean manifest does not have the row
    ]
)


def inspection_table(
    source: RowsToInspect, examined: Mapping[str, Examined], *, keep_duplicates: bool
) -> pa.Table:
    """One row per row of ``source``, in the same order; ``examined`` maps files to their facts."""
    first: dict[tuple[str | None, float | None, float | None], InspectedRow] = {}
    table = []
    for row in source.rows:
        facts = examined[str(row.file)]
        original = row
        left_out = _unusable(row, facts, bool(source.classes))
        if left_out is None:
            content = (facts.sha256, row.start_seconds, row.end_seconds)
            original = first.setdefault(content, row)
            if original is not row and not keep_duplicates:
                left_out = _duplicate(row, original)
        table.append(
            {
                **asdict(facts),
                **{name: getattr(row, name) for name in SCHEMA.names[:4]},
                "duplicate_of": None if original is row else original.path,
                "left_out": left_out,
            }
        )
    return pa.Table.from_pylist(table, schema=SCHEMA)


def _unusable(row: InspectedRow, facts: Examined, labelled: bool) -> str | None:
    if facts.reason is not None:
        return facts.reason
    if labelled and row.label is None:
        return "is in no class folder"
    if facts.duration_seconds is None:  # of pictures without a rate, which have no seconds
        return None
    if (row.start_seconds or 0) >= facts.duration_seconds:
        return f"starts past the video's end ({facts.duration_seconds:.3f} s)"
    return None


def _duplicate(row: InspectedRow, original: InspectedRow) -> str:
    if row.label == original.label:
        return "duplicate"
    return f"duplicate with another label ({original.label})"


def write_table(table: pa.Table, source: RowsToInspect, output_dir: Path) -> None:
    """Write ``videos.parquet``, and the rows that are not left out as ``clean.csv`` with
    ``classes.txt``.

    :func:`written_paths` gives the form of paths in the clean manifest. Classes keep their indices,
    even if they lost all their videos.
    """
    with atomic_path(output_dir / TABLE_FILE) as path:
        pq.write_table(table, path)
    kept = table.filter(pc.is_null(table["left_out"]))
    optional = ["label", "start_seconds", "end_seconds"]
    names = [name for name in optional if table[name].null_count < table.num_rows]
    paths = written_paths(kept["file"].to_pylist(), output_dir)
    rows = zip(paths, *(kept[name].to_pylist() for name in names), strict=True)
    write_csv(output_dir / CLEAN_FILE, ["path", *names], rows)
    if source.classes:
        write_classes(output_dir / CLASSES_FILE, source.classes)
