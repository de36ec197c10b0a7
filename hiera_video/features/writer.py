"""The files of an extraction: one ``.safetensors`` per video, and ``index.parquet``.

Axes: N windows, D width; maps are ``(N, T, H, W, D)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hiera_video.data.manifest import Manifest, Row
from hiera_video.errors import ManifestError, UserError
from hiera_video.files import atomic_path

INDEX_FILE = "index.parquet"

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


class FeatureWriter:
    """Writes and finds the features of a video at its path below ``output_dir``.

    ``settings`` and the row's segment are stored with the features: a file counts as finished only
    if it was made with the same ones.
    """

    def __init__(self, output_dir: Path, settings: dict[str, str]) -> None:
        self.output_dir = output_dir
        self.settings = settings

    def location(self, path: str) -> Path:
        """Where the features of a manifest's ``path`` go, relative to ``output_dir``.

        An absolute path keeps its folders, without the root; ``..`` may not leave ``output_dir``.
        """
        pure = Path(path)
        relative = pure.relative_to(pure.anchor)
        if ".." in relative.parts:
            raise UserError(f"{path}: features cannot be placed above output_dir; set data.root")
        return relative.with_name(relative.name + ".safetensors")

    def check_locations(self, manifest: Manifest) -> None:
        """Make sure that every row has a place of its own.

        Raises:
            UserError: naming the first row that has none.
        """
        lines: dict[Path, int] = {}
        for line, row in enumerate((manifest[index] for index in range(len(manifest))), start=2):
            first = lines.setdefault(self.location(row.path), line)
            if first != line:
                raise ManifestError(
                    f"{manifest.path}, line {line}: {row.path} stands in line {first} already, and "
                    "features have one file per video"
                )

    def finished(self, row: Row) -> IndexEntry | None:
        """The entry of a video whose features are there already, whole and made alike."""
        location = self.location(row.path)
        try:
            with safe_open(self.output_dir / location, framework="pt") as file:
                if file.metadata() != self._metadata(row):
                    return None
                shape = list(file.get_slice("features").get_shape())
        except (OSError, SafetensorError):
            return None
        return IndexEntry(row.index, row.path, location.as_posix(), shape[0], shape[1:])

    def write(self, row: Row, features: Tensor, starts: Tensor, ends: Tensor) -> IndexEntry:
        """Write the features ``(N, ...)`` of the windows ``[starts, ends)`` in seconds ``(N,)``."""
        location = self.location(row.path)
        target = self.output_dir / location
        target.parent.mkdir(parents=True, exist_ok=True)
        tensors = {
            "features": features.contiguous(),
            "start_seconds": starts.to(torch.float64),
            "end_seconds": ends.to(torch.float64),
        }
        with atomic_path(target) as temporary:
            save_file(tensors, temporary, metadata=self._metadata(row))
        shape = list(features.shape[1:])
        return IndexEntry(row.index, row.path, location.as_posix(), len(features), shape)

    def _metadata(self, row: Row) -> dict[str, str]:
        segment = {"start_seconds": str(row.start_seconds), "end_seconds": str(row.end_seconds)}
        return {**self.settings, **segment}

    def write_index(self, entries: Sequence[IndexEntry]) -> None:
        """Write ``index.parquet``: one row per manifest row, in order."""
        columns = [asdict(entry) for entry in sorted(entries, key=lambda entry: entry.row)]
        table = pa.Table.from_pylist(columns, schema=_INDEX_SCHEMA)
        with atomic_path(self.output_dir / INDEX_FILE) as path:
            pq.write_table(table, path)
