"""One row of the table of odd files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.decoding.making import Make


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    ``name``: what it is, in a few words for the documentation. ``file``: what it is called here.
    ``make``: writes it. ``refused``: a part of the reason for which it is rightly refused.
    ``duration_seconds``: how long it lasts, where frames alone do not tell.
    """

    name: str
    file: str
    make: Make
    refused: str = ""
    duration_seconds: float | None = None

    def write(self, folder: Path) -> Path:
        """Make the file in a folder of its own below ``folder``, unless it is there."""
        path = folder / self.file.replace(".", "_") / self.file
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.make(path)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        return path
