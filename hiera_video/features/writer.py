"""The files of an extraction: one ``.safetensors`` per video, and ``index.parquet``.

Axes: N windows, D width; maps are ``(N, T, H, W, D)``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
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

#: What a folder is called, below that of the features, that stands for a ``..`` of a path.
_PARENT = "__parent__"

#: As long as a name may be on the file systems of Linux, macOS and Windows.
_LONGEST_NAME_BYTES = 255

#: Files that are looked at side by side: each takes milliseconds on a network's file system.
_PARALLEL_LOOKS = 32

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
    """What became of a manifest row: where its features are, or why there are none."""

    row: int
    path: str
    features: str | None
    num_windows: int
    shape: list[int]
    reason: str | None = None


class VideoFeatures:
    """Features ``(N, ...)`` of a video's windows ``[starts, ends)``, in seconds ``(N,)``.

    They are filled in window by window, so that maps of a long video are in memory once.
    """

    def __init__(self, num_windows: int, shape: Sequence[int]) -> None:
        self.features = torch.empty(num_windows, *shape)
        self.starts = torch.empty(num_windows, dtype=torch.float64)
        self.ends = torch.empty(num_windows, dtype=torch.float64)


class FeatureWriter:
    """Writes and finds the features of a video at its path below ``output_dir``.

    ``settings``, the row's segment, and size and time of the video are stored with the features: a
    file counts as finished only if it was made with the same ones.
    """

    def __init__(self, output_dir: Path, settings: dict[str, str]) -> None:
        self.output_dir = output_dir
        self.settings = settings
        #: What several paths of the manifest would be placed at.
        self._contested: set[str] = set()

    def location(self, path: str) -> str:
        """Where the features of a manifest's ``path`` go, relative to ``output_dir``.

        It is the path itself; of one that leads out of the data root, :func:`_place_inside`. Where
        such a place is that of another path, too, a hash of its own path goes before it. A name
        that the suffix would make too long for file systems ends in a hash of the whole path.
        """
        # Paths as text take a tenth of the time, which shows at a million rows.
        path = os.path.normpath(path)
        place = _place_inside(path)
        if place in self._contested and place != path:
            place = f"{hashlib.sha256(path.encode()).hexdigest()[:16]}/{place}"
        return _short_enough(place, ".safetensors")

    def check_locations(self, manifest: Manifest) -> None:
        """Give every path a place of its own.

        Raises:
            ManifestError: naming the first row that has none, since its path stands there twice.
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
        """The entries of ``rows`` whose features are there already, whole and made alike."""

        def look(share: Sequence[int]) -> list[tuple[int, IndexEntry | None]]:
            return [(row, self._finished(manifest[row])) for row in share]

        shares = (rows[first::_PARALLEL_LOOKS] for first in range(_PARALLEL_LOOKS))
        with ThreadPoolExecutor(_PARALLEL_LOOKS) as pool:
            return dict(chain.from_iterable(pool.map(look, shares)))

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
        # A file that was cut off is noticed, and made again.
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

    def write_index(self, entries: Sequence[IndexEntry]) -> None:
        """Write ``index.parquet``: one row per manifest row, in order."""
        columns = [asdict(entry) for entry in sorted(entries, key=lambda entry: entry.row)]
        table = pa.Table.from_pylist(columns, schema=_INDEX_SCHEMA)
        with atomic_path(self.output_dir / INDEX_FILE) as path:
            pq.write_table(table, path)


def _place_inside(path: str) -> str:
    """A normalised path without what leads out of a folder: an absolute one loses its first slash,
    and each ``..``, all of which stand first, becomes a folder called ``_PARENT``."""
    depth = 0
    while path.startswith("../", 3 * depth):
        depth += 1
    return f"{_PARENT}/" * depth + path[3 * depth :].lstrip("/")


def _short_enough(path: str, suffix: str) -> str:
    """``path`` with ``suffix``; its name is cut where it would be too long with it, and a hash of
    the whole path then tells it from others that begin alike."""
    folder, slash, name = path.rpartition("/")
    if len(name.encode()) + len(suffix) <= _LONGEST_NAME_BYTES:
        return path + suffix
    ending = f"-{hashlib.sha256(path.encode()).hexdigest()[:32]}{suffix}"
    beginning = name.encode()[: _LONGEST_NAME_BYTES - len(ending)].decode(errors="ignore")
    return f"{folder}{slash}{beginning}{ending}"


def _identity(file: Path | ShardMember) -> str:
    """What tells a video from another one at its path."""
    if isinstance(file, ShardMember):
        shard = PurePosixPath(file.shard).name
        return f"{file.size_bytes} bytes from {file.offset_bytes} of {shard}"
    try:
        status = file.stat()
    except OSError:
        return "missing"
    return f"{status.st_size} bytes, modified at {status.st_mtime_ns} ns"


def _read_header(path: Path) -> dict[str, Any]:
    """The header of a whole file of safetensors.

    ``safe_open`` reads it, too, but threads that call it wait for each other's files.

    Raises:
        OSError, ValueError: if it cannot be read, or is cut off.
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
