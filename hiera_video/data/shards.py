"""Videos inside tar shards, on a disk or behind a URL.

A shard is a tar file by the conventions of ``webdataset``. A manifest of shards gives the shard and
position of each video, so that a video is a range of bytes: one request to an object store. Order,
division over processes and workers, and resuming then work as they do for plain files.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from fsspec.core import url_to_fs

from hiera_video.errors import ManifestError, reason_of

#: The columns of a manifest that locate a video. ``offset_bytes`` is where the tar header of
#: ``member`` begins; ``size_bytes`` counts from there to the end of the data.
SHARD_COLUMNS = {
    "shard": pa.string(),
    "member": pa.string(),
    "offset_bytes": pa.int64(),
    "size_bytes": pa.int64(),
}

_PARALLEL_REQUESTS = 32


def locate(shard: str, root: Path) -> str:
    """The URL or path of a shard that a manifest names; paths are relative to ``root``."""
    return shard if "://" in shard else str(root / shard)


def check_columns(manifest: Path, table: pa.Table) -> None:
    """Check that every row locates its video.

    Raises:
        ManifestError: if not; the message names the missing column or value.
    """
    missing = [name for name in SHARD_COLUMNS if name not in table.column_names]
    if missing:
        columns = ",".join(SHARD_COLUMNS)
        raise ManifestError(f"{manifest}: wanted columns {columns}; {missing[0]} is missing")
    for name, column_type in SHARD_COLUMNS.items():
        is_text = pa.types.is_string(column_type)
        empty = pc.equal(table[name], "") if is_text else pc.is_null(table[name])
        line = pc.index(empty, True).as_py()
        if line >= 0:
            raise ManifestError(f"{manifest}, line {line + 2}: has no {name}")


def check_shards(manifest: Path, root: Path, table: pa.Table) -> None:
    """Check that the shards of a manifest exist, and are not cut off.

    Raises:
        ManifestError: if not; the message names the first such shard, a line that needs it, and
            how many there are.
    """
    rows = table.select(["shard"]).append_column(
        "end", pc.add(table["offset_bytes"], table["size_bytes"])
    )
    last = rows.group_by("shard", use_threads=False).aggregate([("end", "max")])
    shards = [locate(shard, root) for shard in last["shard"].to_pylist()]
    with ThreadPoolExecutor(_PARALLEL_REQUESTS) as pool:
        faults = list(pool.map(_fault, shards, last["end_max"].to_pylist()))
    bad = [number for number, fault in enumerate(faults) if fault]
    if bad:
        line = pc.index(table["shard"], last["shard"][bad[0]]).as_py() + 2
        others = f" (and {len(bad) - 1} more shards)" if len(bad) > 1 else ""
        raise ManifestError(f"{manifest}, line {line}: {shards[bad[0]]}: {faults[bad[0]]}{others}")


def _fault(shard: str, end: int) -> str | None:
    try:
        files, path = url_to_fs(shard)
        num_bytes = files.info(path)["size"]
    except FileNotFoundError:
        return "no such shard"
    except Exception as error:  # each storage library has exceptions of its own
        return f"cannot be opened ({reason_of(error)})"
    if num_bytes is not None and num_bytes < end:  # some servers do not report the size
        return f"is cut off: {num_bytes} bytes of at least {end}"
    return None
