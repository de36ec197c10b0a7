"""What a task learns from the columns of a manifest: the one thing that ``data`` knows of tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pyarrow as pa


class TargetEncoder(Protocol):
    """Makes targets of a manifest's columns, once, when the manifest is opened."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the manifest must have, besides ``path``; they come as written, as text."""

    def encode(self, path: Path, table: pa.Table) -> dict[str, pa.Array]:
        """Named targets, one value a row, of the manifest at ``path`` (for messages).

        Values are numbers or lists of numbers: a batch carries ``torch.as_tensor`` of each, so that
        they have the same shape in all rows.

        Raises:
            ManifestError: naming the line that cannot be learned from.
        """
