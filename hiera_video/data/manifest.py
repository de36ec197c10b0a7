"""Manifests: which videos there are, and what they show.

A manifest is a CSV with a header, ``path,label[,start_seconds,end_seconds]``. ``path`` is absolute,
or relative to ``data.root`` (default: the manifest's own folder); ``label`` is a class name. A file
``classes.txt`` beside it, one name a line, fixes the order of the classes; without it they are
the labels, in the order of ``labels.order_classes``. ``datasets/`` has a script for each other
format that videos are listed in.

Where videos are in tar shards there are more columns, ``shard,member,offset_bytes,size_bytes``, and
``path`` is only their name; ``scripts/make_shards.py`` and ``scripts/index_shards.py`` write these.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Sequence
from csv import reader
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from hiera_video.config.groups import ClipSettings, ReadingSettings
from hiera_video.data.label_column import LabelColumn
from hiera_video.data.manifest_text import check_encoding, check_separator, line_not_in_utf8
from hiera_video.data.shards import SHARD_COLUMNS, check_columns, check_shards, locate
from hiera_video.data.shared_table import SharedTable
from hiera_video.decoding.source import IMAGE_SUFFIXES, ShardMember, is_image
from hiera_video.errors import ManifestError, VideoError, reason_of
from hiera_video.files import atomic_path
from hiera_video.labels import normalize_label, order_classes, similar_labels

CLASSES_FILE = "classes.txt"

_COLUMN_TYPES = {
    "path": pa.string(),
    "label": pa.string(),
    "start_seconds": pa.float64(),
    "end_seconds": pa.float64(),
}
_UP_TO_DOTS = re.compile(r".*/\.\.(?=/|$)", re.DOTALL)
_KEPT_COLUMNS = ["path", "start_seconds", "end_seconds"]


@dataclass(frozen=True)
class Row:
    """One line of a manifest.

    ``label`` is a class index, -1 where there is none; the segment of the video is
    ``[start_seconds, end_seconds)``, to its end where ``end_seconds`` is None.
    """

    index: int
    path: str
    file: Path | ShardMember
    label: int
    start_seconds: float
    end_seconds: float | None

    @property
    def local_file(self) -> Path:
        """The file, where only one on a disk will do.

        Raises:
            ManifestError: if it lies in a shard.
        """
        if isinstance(self.file, ShardMember):
            raise ManifestError(f"{self.file}: lies in a shard, and wanted are videos in files")
        return self.file


class Rows(Protocol):
    """Whatever gives rows by index: a manifest, or a list of rows."""

    def __getitem__(self, index: int, /) -> Row: ...


class Manifest:
    """The rows of a manifest: Arrow columns that loader workers share, however many rows there are.

    Args:
        path: the CSV file.
        classes: class names in index order, kept as they are written; None reads ``classes.txt`` or
            sorts the labels.
        root: folder that relative paths start from; default: the manifest's own.
        labelled: whether every row must have a label.

    Attributes:
        order_is_assumed: whether nobody gave the order of the classes, so that labels were sorted.
        warnings: labels that may have been meant to be one.

    Raises:
        ManifestError: if the file is missing, empty, not such a CSV, or a label is unknown.
    """

    def __init__(
        self,
        path: Path,
        *,
        classes: Sequence[str] | None = None,
        root: Path | None = None,
        labelled: bool = True,
    ) -> None:
        self.path = path
        self.root = path.parent if root is None else root
        table = _read_table(path, labelled)
        self.in_shards = "shard" in table.column_names
        _check_segments(path, table)
        self.order_is_assumed = False
        self.warnings: list[str] = []
        if labelled:
            written = LabelColumn(path, table["label"])
            given = _given_classes(path) if classes is None else list(classes)
            self.order_is_assumed = given is None
            self.classes = order_classes(written.counts) if given is None else given
            written.check_single(given or [])
            self.warnings = similar_labels(written.counts)
            labels = written.indices(self.classes)
        else:
            self.classes = list(classes or [])
            labels = pa.nulls(table.num_rows, pa.int32())
        # One chunk a column, so that a row is found without a search.
        kept = [*_KEPT_COLUMNS, *(SHARD_COLUMNS if self.in_shards else ())]
        self._rows = SharedTable(table.select(kept).append_column("label", labels).combine_chunks())

    def __len__(self) -> int:
        return self._rows.table.num_rows

    def __getitem__(self, index: int) -> Row:
        table = self._rows.table
        path = table["path"][index].as_py()
        label = table["label"][index].as_py()
        return Row(
            index=index,
            path=path,
            file=self._member(index) if self.in_shards else self.root / path,
            label=-1 if label is None else label,
            start_seconds=table["start_seconds"][index].as_py() or 0.0,
            end_seconds=table["end_seconds"][index].as_py(),
        )

    def _member(self, index: int) -> ShardMember:
        shard, *rest = (self._rows.table[name][index].as_py() for name in SHARD_COLUMNS)
        return ShardMember(locate(shard, self.root), *rest)

    @property
    def paths(self) -> list[str]:
        """All paths as they stand in the file."""
        return self._rows.table["path"].to_pylist()

    @property
    def labels(self) -> list[int]:
        """The class index of each row of a manifest with labels."""
        return self._rows.table["label"].to_pylist()

    @property
    def segments(self) -> list[tuple[float | None, float | None]]:
        """Where each row's segment of its video starts and ends, in seconds."""
        table = self._rows.table
        columns = (table[name].to_pylist() for name in ("start_seconds", "end_seconds"))
        return list(zip(*columns, strict=True))

    def check_files(self) -> None:
        """Make sure that every file exists, or every shard, as long as the manifest says.

        Raises:
            ManifestError: naming the first missing one, its line, and how many there are.
        """
        if self.in_shards:
            check_shards(self.path, self.root, self._rows.table)
            return
        root = str(self.root)
        missing = [
            index
            for index, path in enumerate(self.paths)
            # Paths as text take a third of the time, which shows at a million rows.
            if _is_no_file(os.path.join(root, path))  # noqa: PTH118
        ]
        if missing:
            file = self[missing[0]].file
            others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            is_folder = Path(str(file)).is_dir()
            fault = (
                f"{file}: cannot be read (is a directory)" if is_folder else f"no such file: {file}"
            )
            raise ManifestError(f"{self.path}, line {missing[0] + 2}: {fault}{others}")

    def check_kind(self, clip: ClipSettings) -> None:
        """Make sure that all files are images where a clip is one, and videos where it is not.

        Raises:
            ManifestError: naming the first row that does not fit, and its line.
        """
        paths = self._rows.table["path"]
        suffixes = "|".join(re.escape(suffix) for suffix in IMAGE_SUFFIXES)
        are_images = pc.match_substring_regex(paths, f"({suffixes})$", ignore_case=True)
        first = pc.index(are_images, not clip.is_image).as_py()
        if first >= 0:
            path = paths[first].as_py()
            raise ManifestError(f"{self.path}, line {first + 2}: {path}: {wrong_kind(path, clip)}")


def wrong_kind(path: str, clip: ClipSettings) -> str | None:
    """Why a file is not what such clips are made of, if it is not."""
    if is_image(path) == clip.is_image:
        return None
    if clip.is_image:
        return f"wanted an image ({' '.join(IMAGE_SUFFIXES)}), since the model takes images"
    return "is an image, and the model takes clips of videos"


def rows_of_files(paths: Sequence[Path], clip: ClipSettings) -> list[Row]:
    """Rows for files that are in no manifest, whole and without labels.

    Raises:
        VideoError: for the first video where a clip is an image, or image where it is not.
    """
    for path in paths:
        if reason := wrong_kind(str(path), clip):
            raise VideoError(str(path), reason)
    return [Row(index, str(path), path, -1, 0.0, None) for index, path in enumerate(paths)]


def open_manifest(
    data: ReadingSettings,
    key: str,
    clip: ClipSettings,
    *,
    classes: Sequence[str] | None = None,
    labelled: bool = True,
) -> Manifest:
    """The manifest that the setting ``key`` names, with its files checked where that ends a run.

    Raises:
        ManifestError: if it was not given, cannot be read, names images where clips are wanted (or
            videos where images are), or under ``data.on_error=raise`` a file that is not there.
    """
    path: Path | None = attrgetter(key.removeprefix("data."))(data)
    if path is None:
        raise ManifestError(f"{key}: is required and was not given")
    manifest = Manifest(path, classes=classes, root=data.root, labelled=labelled)
    manifest.check_kind(clip)
    if data.on_error == "raise":
        manifest.check_files()
    return manifest


def has_labels(path: Path) -> bool:
    """Whether a manifest has a column of labels.

    Raises:
        ManifestError: if it cannot be read.
    """
    try:
        check_encoding(path)
        check_separator(path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            return "label" in next(reader(file), [])
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read ({reason_of(error)})") from None


def read_classes(path: Path) -> list[str]:
    """Class names, one a line, in index order.

    Raises:
        ManifestError: if it cannot be read, a name stands there twice, or there is none.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read ({reason_of(error)})") from None
    names = [name for line in lines if (name := normalize_label(line))]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated or not names:
        raise ManifestError(
            f"{path}: " + (f"{repeated[0]!r} is there twice" if names else "is empty")
        )
    return names


def written_paths(files: Iterable[str | Path], folder: Path) -> list[str]:
    """How a manifest in ``folder`` names files: relative to ``folder`` those that lie below it,
    absolute all others, and none with ``..``.

    So a manifest can be moved together with the videos below its folder, and away from all others.
    """
    resolve = cache(os.path.realpath)  # which asks the file system, mostly about one folder

    def without_dots(path: str | Path) -> str:
        # Paths as text take a tenth of the time, which shows at a million rows.
        absolute = os.path.join(os.getcwd(), path)  # noqa: PTH109, PTH118
        if dots := _UP_TO_DOTS.match(absolute):  # behind a link, they lead elsewhere than they say
            absolute = f"{resolve(dots[0]).rstrip('/')}{absolute[dots.end() :]}"
        return os.path.normpath(absolute)

    below = without_dots(folder).rstrip("/") + "/"
    return [without_dots(file).removeprefix(below) for file in files]


def write_classes(path: Path, classes: Iterable[str]) -> None:
    """Class names in index order, one a line; the whole file or none."""
    with atomic_path(path) as temporary:
        lines = "".join(f"{normalize_label(name)}\n" for name in classes)
        temporary.write_text(lines, encoding="utf-8")


def _is_no_file(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)  # noqa: PTH116
    except (OSError, ValueError):
        return True


def _read_table(path: Path, labelled: bool) -> pa.Table:
    try:
        check_encoding(path)
        check_separator(path)
        options = csv.ConvertOptions(
            column_types=_COLUMN_TYPES | SHARD_COLUMNS,
            strings_can_be_null=False,
            null_values=[""],
        )
        table = csv.read_csv(path, convert_options=options)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ManifestError(f"{path}: manifest cannot be read ({reason})") from None
    except pa.ArrowInvalid as error:
        reason = "it is empty" if path.stat().st_size == 0 else str(error).partition("\n")[0]
        if line := line_not_in_utf8(path):
            raise ManifestError(f"{path}, line {line}: is not in UTF-8, as manifests are") from None
        raise ManifestError(f"{path}: is not a manifest ({reason})") from None
    wanted = ["path", "label"] if labelled else ["path"]
    missing = [name for name in wanted if name not in table.column_names]
    if missing:
        raise ManifestError(
            f"{path}: wanted a header with {','.join(wanted)}, got {','.join(table.column_names)} "
            "(other kinds of lists: see datasets/lists)"
        )
    repeated = [name for name, count in Counter(table.column_names).items() if count > 1]
    if repeated:
        raise ManifestError(f"{path}: the column {repeated[0]} is there twice")
    if table.num_rows == 0:
        raise ManifestError(f"{path}: the manifest has a header and no rows")
    line = pc.index(pc.equal(pc.utf8_trim_whitespace(table["path"]), ""), True).as_py()
    if line >= 0:
        raise ManifestError(f"{path}, line {line + 2}: has no path")
    if "shard" in table.column_names:
        check_columns(path, table)
    for name, column_type in _COLUMN_TYPES.items():
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows, column_type))
    return table


def _check_segments(path: Path, table: pa.Table) -> None:
    starts, ends = table["start_seconds"], table["end_seconds"]
    from_zero = pc.fill_null(starts, 0.0)
    starts_right = pc.and_(pc.is_finite(from_zero), pc.greater_equal(from_zero, 0.0))
    ends_right = pc.and_(pc.is_finite(ends), pc.greater(ends, from_zero))
    line = pc.index(pc.and_(starts_right, pc.fill_null(ends_right, True)), False).as_py()
    if line >= 0:
        raise ManifestError(
            f"{path}, line {line + 2}: wanted 0 <= start_seconds < end_seconds, got "
            f"{starts[line]} and {ends[line]}"
        )


def _given_classes(path: Path) -> list[str] | None:
    """The names in the ``classes.txt`` beside a manifest, if there is one."""
    beside = path.parent / CLASSES_FILE
    return read_classes(beside) if beside.exists() else None
