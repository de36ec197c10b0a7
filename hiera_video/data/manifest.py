"""Manifests: lists of videos and of what they show.

A manifest is a CSV with a header, ``path,label[,start_seconds,end_seconds]``. ``path`` is absolute,
or relative to ``data.root`` (default: the manifest's own folder), and names a video, an image, or a
folder or archive of numbered pictures (which is a clip only where a manifest names it). Further
columns hold what is to be learned, usually ``label``, a class name; a ``TargetEncoder`` turns them
into numbers (``class_labels.py``, ``label_sets.py``, ``target_numbers.py``). Unused columns are
ignored. A file
``classes.txt`` beside the manifest, one name a line, fixes the order of the classes. ``datasets/``
has scripts that convert other formats.

If videos are in tar shards, there are more columns, ``shard,member,offset_bytes,size_bytes``, and
``path`` is only a name; ``scripts/make_shards.py`` and ``scripts/index_shards.py`` write these.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hiera_video.config.clip_groups import ClipSettings
from hiera_video.config.groups import ReadingSettings
from hiera_video.data.file_search import VIDEO_SUFFIXES
from hiera_video.data.frame_rates import NO_FRAME_RATE, rows_in_question
from hiera_video.data.manifest_files import check_files
from hiera_video.data.manifest_table import read_header, read_table
from hiera_video.data.shards import SHARD_COLUMNS, check_columns, check_shards, locate
from hiera_video.data.shared_table import SharedTable
from hiera_video.data.targets import TargetEncoder
from hiera_video.decoding.pictures import holds_pictures
from hiera_video.decoding.source import IMAGE_SUFFIXES, ShardMember, is_image
from hiera_video.errors import ManifestError, VideoError

#: The columns that give the segment of the video.
_SECONDS = {"start_seconds": pa.float64(), "end_seconds": pa.float64()}
#: Prefix of target columns in the table, which tells them from the columns of the file.
_TARGET = "target "
_UP_TO_DOTS = re.compile(r".*/\.\.(?=/|$)", re.DOTALL)


@dataclass(frozen=True)
class Row:
    """One line of a manifest.

    ``targets`` are the row's encoded targets by name: numbers or lists of numbers. The segment of
    the video is ``[start_seconds, end_seconds)``, or to its end if ``end_seconds`` is None.
    """

    index: int
    path: str
    file: Path | ShardMember
    targets: dict[str, Any]
    start_seconds: float
    end_seconds: float | None

    @property
    def local_file(self) -> Path:
        """The file, for commands that need one on a disk.

        Raises:
            ManifestError: if the video is in a shard.
        """
        if isinstance(self.file, ShardMember):
            raise ManifestError(
                f"{self.file}: is inside a tar shard; this command needs videos in plain files"
            )
        return self.file


class Rows(Protocol):
    """Rows by index: a manifest, or a list of rows."""

    def __getitem__(self, index: int, /) -> Row: ...


class Manifest:
    """The rows of a manifest, in Arrow columns that loader workers share instead of copying.

    Args:
        path: the CSV file.
        targets: encodes columns as targets; without it, rows have no targets.
        root: folder to which relative paths are relative; default: the manifest's own.

    Attributes:
        target_names: names of the targets that the encoder makes.

    Raises:
        ManifestError: if the file is missing, empty, or not such a CSV, lacks a column, or has a
            row whose targets cannot be encoded.
    """

    def __init__(
        self, path: Path, *, targets: TargetEncoder | None = None, root: Path | None = None
    ) -> None:
        self.path = path
        self.root = path.parent if root is None else root
        self.targets = targets
        table = _read_manifest(path, targets.columns if targets else ())
        self.in_shards = "shard" in table.column_names
        kept = table.select(["path", *_SECONDS, *(SHARD_COLUMNS if self.in_shards else ())])
        encoded = targets.encode(path, table) if targets else {}
        for name, values in encoded.items():
            kept = kept.append_column(_TARGET + name, values)
        self.target_names = list(encoded)
        # One chunk per column: access to a row then needs no search.
        self._rows = SharedTable(kept.combine_chunks())

    def __len__(self) -> int:
        return self._rows.table.num_rows

    def __getitem__(self, index: int) -> Row:
        table = self._rows.table
        path = table["path"][index].as_py()
        return Row(
            index=index,
            path=path,
            file=self._member(index) if self.in_shards else self.root / path,
            targets={n: table[_TARGET + n][index].as_py() for n in self.target_names},
            start_seconds=table["start_seconds"][index].as_py() or 0.0,
            end_seconds=table["end_seconds"][index].as_py(),
        )

    def _member(self, index: int) -> ShardMember:
        shard, *rest = (self._rows.table[name][index].as_py() for name in SHARD_COLUMNS)
        return ShardMember(locate(shard, self.root), *rest)

    @property
    def paths(self) -> list[str]:
        """All paths, as the file has them."""
        return self._rows.table["path"].to_pylist()

    def column(self, name: str) -> list[Any]:
        """The target ``name`` of every row.

        Raises:
            KeyError: if the encoder makes no such target.
        """
        return self._rows.table[_TARGET + name].to_pylist()

    def target_array(self, name: str) -> np.ndarray:
        """The target ``name`` of every row: ``(N,)``, or ``(N, K)`` if each has K values."""
        column = self._rows.table[_TARGET + name].combine_chunks()
        if not pa.types.is_fixed_size_list(column.type):
            return column.to_numpy(zero_copy_only=False)
        return column.flatten().to_numpy(zero_copy_only=False).reshape(len(self), -1)

    @property
    def segments(self) -> list[tuple[float | None, float | None]]:
        """Start and end of every row's segment, in seconds."""
        table = self._rows.table
        columns = (table[name].to_pylist() for name in _SECONDS)
        return list(zip(*columns, strict=True))

    def check_files(self) -> None:
        """Check that every file exists, or that every shard does and is as long as required.

        A folder of pictures is looked into when it is read; only the first one is now.

        Raises:
            ManifestError: if not; the message names the first such file or shard, its line, and
                how many there are.
        """
        if self.in_shards:
            check_shards(self.path, self.root, self._rows.table)
            return
        check_files(self.path, self.root, self.paths)

    def check_frame_rate(
        self, frame_rate: Fraction | None, clip: ClipSettings | None = None
    ) -> None:
        """Check that there is a frame rate if pictures need one: in every row, or, given ``clip``,
        where its clips depend on seconds.

        A folder with the suffix of a video says what it lacks when it is read.

        Raises:
            ManifestError: for the first such row that is a folder or archive of pictures.
        """
        if frame_rate is not None:
            return
        for index in rows_in_question(self._rows.table, clip, (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES)):
            file = self[index].file
            if holds_pictures(file):
                raise ManifestError(f"{self.path}, line {index + 2}: {file}: {NO_FRAME_RATE}")

    def check_kind(self, clip: ClipSettings) -> None:
        """Check that all files are images if a clip is an image, and videos if it is not.

        Raises:
            ManifestError: if not; the message names the first such file and its line.
        """
        paths = self._rows.table["path"]
        suffixes = "|".join(re.escape(suffix) for suffix in IMAGE_SUFFIXES)
        are_images = pc.match_substring_regex(paths, f"({suffixes})$", ignore_case=True)
        first = pc.index(are_images, not clip.is_image).as_py()
        if first >= 0:
            path = paths[first].as_py()
            raise ManifestError(f"{self.path}, line {first + 2}: {path}: {wrong_kind(path, clip)}")


def wrong_kind(path: str, clip: ClipSettings) -> str | None:
    """The reason why such clips cannot come from a file, or None if they can."""
    if is_image(path) == clip.is_image:
        return None
    if clip.is_image:
        return f"wanted an image ({' '.join(IMAGE_SUFFIXES)}), since the model takes images"
    return "is an image, and the model takes clips of videos"


def rows_of_files(paths: Sequence[Path], clip: ClipSettings) -> list[Row]:
    """Rows, without targets, of whole files that are in no manifest.

    Raises:
        VideoError: for the first video if a clip is an image, or the first image if it is not.
    """
    for path in paths:
        if reason := wrong_kind(str(path), clip):
            raise VideoError(str(path), reason)
    return [Row(index, str(path), path, {}, 0.0, None) for index, path in enumerate(paths)]


def open_manifest(
    data: ReadingSettings,
    key: str,
    clip: ClipSettings,
    *,
    targets: TargetEncoder | None = None,
) -> Manifest:
    """The manifest that the setting ``key`` names; under ``data.on_error=raise`` its files are
    checked.

    Raises:
        ManifestError: if the setting has no value, the manifest cannot be read, it lists images if
            clips are videos (or the reverse), pictures need a frame rate and have none, or, under
            ``data.on_error=raise``, a file is missing.
    """
    path: Path | None = attrgetter(key.removeprefix("data."))(data)
    if path is None:
        raise ManifestError(f"{key}: is required and was not given")
    manifest = Manifest(path, targets=targets, root=data.root)
    manifest.check_kind(clip)
    manifest.check_frame_rate(data.exact_frame_rate, clip)
    if data.on_error == "raise":
        manifest.check_files()
    return manifest


def has_labels(path: Path) -> bool:
    """Whether a manifest has a column ``label``.

    Raises:
        ManifestError: if it cannot be read.
    """
    return "label" in read_header(path)


def written_paths(files: Iterable[str | Path], folder: Path) -> list[str]:
    """Paths for a manifest in ``folder``: relative to ``folder`` for files below it, absolute for
    all others, and never with ``..``.

    So a manifest can be moved together with the videos below its folder, and away from all others.
    """
    resolve = cache(os.path.realpath)  # it queries the file system, mostly for the same folder

    def without_dots(path: str | Path) -> str:
        # Text takes a tenth of the time of Path objects, which matters at a million rows.
        absolute = os.path.join(os.getcwd(), path)  # noqa: PTH109, PTH118
        if dots := _UP_TO_DOTS.match(absolute):  # after a link, `..` is not the folder before it
            absolute = f"{resolve(dots[0]).rstrip('/')}{absolute[dots.end() :]}"
        return os.path.normpath(absolute)

    below = without_dots(folder).rstrip("/") + "/"
    return [without_dots(file).removeprefix(below) for file in files]


def _read_manifest(path: Path, target_columns: Sequence[str]) -> pa.Table:
    """The columns in use: ``path``, seconds, and those of shards and of targets."""
    header = read_header(path)
    types = {name: pa.string() for name in ("path", *target_columns)} | _SECONDS
    if "shard" in header:
        types |= {name: kind for name, kind in SHARD_COLUMNS.items() if name in header}
    table = read_table(path, types, required=("path", *target_columns))
    line = pc.index(pc.equal(pc.utf8_trim_whitespace(table["path"]), ""), True).as_py()
    if line >= 0:
        raise ManifestError(f"{path}, line {line + 2}: has no path")
    if "shard" in header:
        check_columns(path, table)
    _check_segments(path, table)
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
