"""The files of an extraction: one ``.safetensors`` per video, and ``index.parquet``.

Axes: N windows, D width; maps are ``(N, T, H, W, D)``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file

from hiera_video.data.manifest import Manifest, Row
from hiera_video.decoding.source import ShardMember
from hiera_video.errors import ManifestError
from hiera_video.files import atomic_path

INDEX_FILE = "index.parquet"

#: The name of a folder, below that of the features, that stands for a ``..`` of a path.
_PARENT = "__parent__"

#: The longest name on the file systems of Linux, macOS and Windows.
_LONGEST_NAME_BYTES = 255

#: Number of threads that read files: each read takes milliseconds on a network file system.
_PARALLEL_READS = 32

_INDEX_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("features", pa.string()),
        ("num_windows", pa.int64()),
        ("shape", pa.list_(pa.int64())),
        ("reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class IndexEntry:
    """A row of the index: where the features of a manifest row are, or why it has none."""

    row: int
    path: str
    features: str | None
    num_windows: int
    shape: list[int]
    reason: str | None = None


class VideoFeatures:
    """Features ``(N, ...)`` of a video's windows ``[starts, ends)``, in seconds ``(N,)``.

    They are filled in window by window, so that memory holds the maps of a long video only once.
    """

    def __init__(self, num_windows: int, shape: Sequence[int]) -> None:
        self.features = torch.empty(num_windows, *shape)
        self.starts = torch.empty(num_windows, dtype=torch.float64)
        self.ends = torch.empty(num_windows, dtype=torch.float64)


class FeatureWriter:
    """Writes and finds the features of a video at its path below ``output_dir``.

    A file also stores ``settings``, the row's segment, and size and time of the video: it counts as
    finished only if these are the same.
    """

    def __init__(self, output_dir: Path, settings: dict[str, str]) -> None:
        self.output_dir = output_dir
        self.settings = settings
        #: Places that several paths of the manifest would share.
        self._contested: set[str] = set()

    def location(self, path: str) -> str:
        """The file, relative to ``output_dir``, for the features of a manifest's ``path``.

        It is the path itself, or :func:`_place_inside` of a path that leads out of the data root.
        If two paths would have the same place, a folder named by a hash of the path goes before it.
        If the suffix makes a name too long for file systems, it ends in a hash of the whole path.
        """
        # Text takes a tenth of the time of Path objects, which matters at a million rows.
        path = os.path.normpath(path)
        place = _place_inside(path)
        if place in self._contested and place != path:
            place = f"{hashlib.sha256(path.encode()).hexdigest()[:16]}/{place}"
        return _short_enough(place, ".safetensors")

    def check_locations(self, manifest: Manifest) -> None:
        """Give every path a place of its own.

        Raises:
            ManifestError: if two rows have the same path; the message names the first such row.
        """
        places = Counter(map(_place_inside, set(map(os.path.normpath, manifest.paths))))
        self._contested = {place for place, count in places.items() if count > 1}
        lines: dict[str, int] = {}
        for line, path in enumerate(manifest.paths, start=2):
            first = lines.setdefault(self.location(path), line)
            if first != line:
                raise ManifestError(
                    f"{manifest.path}, line {line}: {path} stands in line {first} already, and "
                    "features have one file per video"
                )

    def find_finished(
        self, manifest: Manifest, rows: Sequence[int]
    ) -> dict[int, IndexEntry | None]:
        """The entry of each of ``rows`` whose features exist, complete and with the same settings;
        None for the others."""

        def read(share: Sequence[int]) -> list[tuple[int, IndexEntry | None]]:
            return [(row, self._finished(manifest[row])) for row in share]

        shares = (rows[first::_PARALLEL_READS] for first in range(_PARALLEL_READS))
        with ThreadPoolExecutor(_PARALLEL_READS) as pool:
            return dict(chain.from_iterable(pool.map(read, shares)))

    def _finished(self, row: Row) -> IndexEntry | None:
        location = self.location(row.path)
        try:
            header = _read_header(self.output_dir / location)
        except (OSError, ValueError):
            return None
        if header.get("__metadata__") != self._metadata(row):
            return None
        shape = header["features"]["shape"]
        return IndexEntry(row.index, row.path, location, shape[0], shape[1:])

    def write(self, row: Row, video: VideoFeatures) -> IndexEntry:
        """Write the features of a whole video."""
        location = self.location(row.path)
        target = self.output_dir / location
        target.parent.mkdir(parents=True, exist_ok=True)
        tensors = {
            "features": video.features,
            "start_seconds": video.starts,
            "end_seconds": video.ends,
        }
        # Not durable: a truncated file is detected, and made again.
        with atomic_path(target, durable=False) as temporary:
            save_file(tensors, temporary, metadata=self._metadata(row))
        num_windows, *shape = video.features.shape
        return IndexEntry(row.index, row.path, location, num_windows, shape)

    def _metadata(self, row: Row) -> dict[str, str]:
        return {
            **self.settings,
            "start_seconds": str(row.start_seconds),
            "end_seconds": str(row.end_seconds),
            "source": _identity(row.file),
        }

    def write_index(
        self,
        entries: Sequence[IndexEntry],
        checkpoint: str,
        columns: Mapping[str, Sequence[str | None]],
    ) -> None:
        """Write ``index.parquet``: one row per manifest row, in order.

        Its schema's metadata has the settings, and ``checkpoint`` as it was named. ``columns`` of
        the manifest, text by row, are added.
        """
        rows = [asdict(entry) for entry in sorted(entries, key=lambda entry: entry.row)]
        table = pa.Table.from_pylist(rows, schema=_INDEX_SCHEMA)
        for name, texts in columns.items():
            table = table.append_column(name, pa.array(texts, pa.string()))
        table = table.replace_schema_metadata({"checkpoint": checkpoint, **self.settings})
        with atomic_path(self.output_dir / INDEX_FILE) as path:
            pq.write_table(table, path)


def _place_inside(path: str) -> str:
    """A normalised path that stays inside a folder: an absolute path loses its first slash, and
    each ``..``, all of which come first, becomes a folder called ``_PARENT``."""
    depth = 0
    while path.startswith("../", 3 * depth):
        depth += 1
    return f"{_PARENT}/" * depth + path[3 * depth :].lstrip("/")


def _short_enough(path: str, suffix: str) -> str:
    """``path`` with ``suffix``. A name that would be too long is cut, and a hash of the whole path
    distinguishes it from others with the same beginning."""
    folder, slash, name = path.rpartition("/")
    if len(name.encode()) + len(suffix) <= _LONGEST_NAME_BYTES:
        return path + suffix
    ending = f"-{hashlib.sha256(path.encode()).hexdigest()[:32]}{suffix}"
    beginning = name.encode()[: _LONGEST_NAME_BYTES - len(ending)].decode(errors="ignore")
    return f"{folder}{slash}{beginning}{ending}"


def _identity(file: Path | ShardMember) -> str:
    """Text that distinguishes a video from an earlier one at the same path."""
    if isinstance(file, ShardMember):
        shard = PurePosixPath(file.shard).name
        return f"{file.size_bytes} bytes from {file.offset_bytes} of {shard}"
    try:
        status = file.stat()
    except OSError:
        return "missing"
    return f"{status.st_size} bytes, modified at {status.st_mtime_ns} ns"


def _read_header(path: Path) -> dict[str, Any]:
    """The header of a complete safetensors file.

    ``safe_open`` reads it, too, but its threads wait for each other.

    Raises:
        OSError, ValueError: if the file cannot be read, or is cut off.
    """
    with path.open("rb") as file:
        num_bytes = os.fstat(file.fileno()).st_size
        header_bytes = int.from_bytes(file.read(8), "little")
        if header_bytes > num_bytes:
            raise ValueError("no header")
        header: dict[str, Any] = json.loads(file.read(header_bytes))
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    if 8 + header_bytes + max(ends) != num_bytes:
        raise ValueError("cut off")
    return header
