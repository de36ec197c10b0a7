"""What readers read: a file, or the bytes of one that lies elsewhere."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias


@dataclass(frozen=True)
class FileBytes:
    """The bytes of a whole file, and the name that errors call it by."""

    name: str
    data: bytes

    def __str__(self) -> str:
        return self.name


Source: TypeAlias = Path | FileBytes


class _NamedBytes(io.BytesIO):
    """FFmpeg looks at a file's name, too, to find out what it is."""

    name: str


def open_source(source: Source) -> BinaryIO:
    """The bytes of a source, to read and to seek in; a new position each time it is opened."""
    if isinstance(source, Path):
        return source.open("rb")
    file = _NamedBytes(source.data)
    file.name = source.name
    return file


def num_bytes(source: Source) -> int:
    """How long a source is.

    Raises:
        OSError: if it is a file that is not there.
    """
    return source.stat().st_size if isinstance(source, Path) else len(source.data)
