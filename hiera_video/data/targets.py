"""How a task gets its targets from a manifest: all that ``data`` knows about tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pyarrow as pa


class TargetEncoder(Protocol):
    """Encodes columns of a manifest as targets, once, when the manifest is opened."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the manifest must have besides ``path``; ``encode`` gets them as text."""

    def encode(self, path: Path, table: pa.Table) -> dict[str, pa.Array]:
        """Targets by name, one value per row; ``path`` of the manifest is for messages.

        Values are numbers or lists of numbers. A batch carries ``torch.as_tensor`` of each, so they
        must have the same shape in all rows.

        Raises:
            ManifestError: if a row cannot be encoded; the message names its line.
        """
