"""One row of the table of odd files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.decoding.making import Make


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    ``name``: a short description for the documentation. ``file``: the file's name in the tests.
    ``make``: the function that writes it. ``refused``: part of the reason for which the package
    must refuse it. ``duration_seconds``: its length, where the frames alone do not determine it.
    """

    name: str
    file: str
    make: Make
    refused: str = ""
    duration_seconds: float | None = None

    def write(self, folder: Path) -> Path:
        """Make the file in its own folder below ``folder``, unless it exists."""
        path = folder / self.file.replace(".", "_") / self.file
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.make(path)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        return path
