"""Columns of a manifest that features keep as they are: nothing is computed from them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from hiera_video.data.manifest_table import read_header, read_table
from hiera_video.labels import normalize_label

#: What the index of features has where the manifest does.
_COLUMNS = ("label", "group")


def kept_columns(path: Path) -> dict[str, list[str | None]]:
    """``label`` and ``group`` of each row, normalised as labels are; those that the manifest at
    ``path`` has. None where a row has nothing there.

    Raises:
        ManifestError: if it cannot be read, or has such a column twice.
    """
    header = read_header(path)
    types = {name: pa.string() for name in _COLUMNS if name in header}
    if not types:
        return {}
    table = read_table(path, types, required=())
    return {
        name: [normalize_label(text or "") or None for text in table[name].to_pylist()]
        for name in types
    }
