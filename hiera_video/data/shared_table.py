"""An Arrow table that the processes of a machine share instead of copying."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa


class SharedTable:
    """A table whose bytes are in memory once, for any number of loader workers.

    Forked workers share the memory: reading Arrow writes nothing, not even reference counts. For
    spawned workers, the first pickling writes the table to a temporary file, which they map. The
    file is removed with the original table.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self._file: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        if self._file is None:
            file = tempfile.NamedTemporaryFile(prefix="hiera_video_", suffix=".arrow")  # noqa: SIM115
            with pa.ipc.new_file(file, self.table.schema) as writer:
                writer.write_table(self.table)
            file.flush()
            self._file = file
        return _map_table, (Path(self._file.name),)


def _map_table(path: Path) -> SharedTable:
    return SharedTable(pa.ipc.open_file(pa.memory_map(str(path))).read_all())
