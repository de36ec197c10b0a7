"""What readers read: a file, or the bytes of one that lies elsewhere."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
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


def ffmpeg_input(source: Source) -> str | BinaryIO:
    """What FFmpeg is to open: in a relative path it takes what stands before a colon for a
    protocol, as in ``12:30.mp4``."""
    return str(source.absolute()) if isinstance(source, Path) else open_source(source)


def is_empty(source: Source) -> bool:
    """Whether a source has no bytes; of pipes and devices that is not known beforehand.

    Raises:
        OSError: if it is a file that is not there.
    """
    if isinstance(source, FileBytes):
        return not source.data
    status = source.stat()
    return S_ISREG(status.st_mode) and status.st_size == 0


def num_bytes(source: Source) -> int:
    """How long a source is.

    Raises:
        OSError: if it is a file that is not there.
    """
    return source.stat().st_size if isinstance(source, Path) else len(source.data)
