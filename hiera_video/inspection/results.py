"""The result of an inspection: what is left out and why, as Parquet and as a clean manifest."""

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
from hiera_video.inspection.source import Source, Video

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
        ("duplicate_of", pa.string()),  # path of the first row with the same bytes and seconds
        ("left_out", pa.string()),  # why the row is not in the clean manifest
    ]
)


def inspection_table(
    source: Source, examined: Mapping[str, Examined], *, keep_duplicates: bool
) -> pa.Table:
    """One row per row of the source, in its order; ``examined`` is by file."""
    first: dict[tuple[str | None, float | None, float | None], Video] = {}
    rows = []
    for video in source.videos:
        found = examined[str(video.file)]
        original = video
        left_out = _unusable(video, found, bool(source.classes))
        if left_out is None:
            content = (found.sha256, video.start_seconds, video.end_seconds)
            original = first.setdefault(content, video)
            if original is not video and not keep_duplicates:
                left_out = _duplicate(video, original)
        rows.append(
            {
                **asdict(found),
                **{name: getattr(video, name) for name in SCHEMA.names[:4]},
                "duplicate_of": None if original is video else original.path,
                "left_out": left_out,
            }
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _unusable(video: Video, found: Examined, labelled: bool) -> str | None:
    if found.reason is not None:
        return found.reason
    if labelled and video.label is None:
        return "is in no class folder"
    if (video.start_seconds or 0) >= (found.duration_seconds or 0):
        return f"starts past the video's end ({found.duration_seconds:.3f} s)"
    return None


def _duplicate(video: Video, original: Video) -> str:
    if video.label == original.label:
        return "duplicate"
    return f"duplicate with another label ({original.label})"


def write_table(table: pa.Table, source: Source, output_dir: Path) -> None:
    """Write ``videos.parquet``, and ``clean.csv`` with ``classes.txt``: what is not left out.

    Paths in the clean manifest are as :func:`written_paths` says. Classes keep their indices, also
    those that lost all their videos.
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
