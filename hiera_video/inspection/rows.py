"""The rows that an inspection examines: those of a manifest, or the videos of a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from hiera_video.config.clip_groups import ClipSettings
from hiera_video.data.file_search import describe_passed_over, search_files
from hiera_video.data.label_sets import WrittenLabels
from hiera_video.data.manifest import Manifest, has_labels
from hiera_video.errors import UserError
from hiera_video.labels import normalize_label, order_classes


@dataclass(frozen=True)
class InspectedRow:
    """A row: its path as given, its file, its class, its segment ``[start, end)`` in seconds."""

    path: str
    file: Path
    label: str | None
    start_seconds: float | None = None
    end_seconds: float | None = None


@dataclass(frozen=True)
class RowsToInspect:
    """Rows, and their class names in index order (none without labels).

    ``passed_over`` counts the other files of a folder, by suffix.
    """

    rows: Sequence[InspectedRow]
    classes: Sequence[str]
    passed_over: Counter[str] = field(default_factory=Counter)


def read_rows(
    path: Path, root: Path | None = None, frame_rate: Fraction | None = None
) -> RowsToInspect:
    """Read a manifest, with or without labels, or search a folder.

    The class of a file is the folder directly below ``path`` that contains it; a file outside such
    folders has no class.

    Raises:
        UserError: if there is nothing to inspect.
    """
    return _read_folder(path) if path.is_dir() else _read_manifest(path, root, frame_rate)


def _read_folder(folder: Path) -> RowsToInspect:
    files, passed_over = search_files(folder)
    if not files:
        others = f" (passed over: {describe_passed_over(passed_over)})" if passed_over else ""
        raise UserError(f"{folder}: no video files in it, nor in folders below{others}")
    paths = [file.relative_to(folder.absolute()) for file in files]
    rows = [
        InspectedRow(
            str(path), file, normalize_label(path.parts[0]) if len(path.parts) > 1 else None
        )
        for path, file in zip(paths, files, strict=True)
    ]
    classes = order_classes(row.label for row in rows if row.label is not None)
    return RowsToInspect(rows, classes, passed_over)


def _read_manifest(path: Path, root: Path | None, frame_rate: Fraction | None) -> RowsToInspect:
    labels = WrittenLabels() if has_labels(path) else None
    manifest = Manifest(path, targets=labels, root=root)
    manifest.check_frame_rate(frame_rate, ClipSettings())  # where rows have seconds
    rows = (manifest[index] for index in range(len(manifest)))
    return RowsToInspect(
        [
            InspectedRow(
                row.path,
                row.local_file.absolute(),
                row.targets.get("written"),
                row.start_seconds or None,
                row.end_seconds,
            )
            for row in rows
        ],
        labels.classes if labels else [],
    )
