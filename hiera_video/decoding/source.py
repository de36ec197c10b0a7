"""Sources of videos and images: a file, bytes in memory, or a member of a tar shard."""

from __future__ import annotations

import io
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import BinaryIO, TypeAlias

from fsspec.core import url_to_fs

from hiera_video.errors import VideoError, reason_of

#: Files with these suffixes are images; all others are videos.
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

#: Why pipes and devices are not read: opening one may never end.
NO_REGULAR_FILE = "is a pipe or a device, and wanted is a file"

#: How often a read from a shard is tried. The pause before the n-th retry is n times this long.
_ATTEMPTS = 3
_PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class FileBytes:
    """The bytes of a whole file; error messages call it ``name``."""

    name: str
    data: bytes

    def __str__(self) -> str:
        return self.name


Source: TypeAlias = Path | FileBytes


class _NamedBytes(io.BytesIO):
    """Bytes with a file name, which FFmpeg also uses to detect the format."""

    name: str


def open_source(source: Source) -> BinaryIO:
    """Open a source for reading and seeking. Each call returns a new file object."""
    if isinstance(source, Path):
        return source.open("rb")
    file = _NamedBytes(source.data)
    file.name = source.name
    return file


def ffmpeg_input(source: Source) -> str | BinaryIO:
    """The argument that makes FFmpeg open a source. Paths are made absolute: in a relative one,
    such as ``12:30.mp4``, FFmpeg takes the part before a colon for a protocol."""
    return str(source.absolute()) if isinstance(source, Path) else open_source(source)


def is_empty(source: Source) -> bool:
    """Whether a source has no bytes; False for pipes and devices, whose length is unknown.

    Raises:
        OSError: if the file does not exist.
    """
    if isinstance(source, FileBytes):
        return not source.data
    status = source.stat()
    return S_ISREG(status.st_mode) and status.st_size == 0


def check_regular(file: Path) -> None:
    """Make sure that opening a file comes to an end, as it may not of a pipe or a device.

    What cannot be opened at all says so when it is.

    Raises:
        VideoError: if it is one.
    """
    try:
        mode = file.stat().st_mode
    except (OSError, ValueError):
        return
    if not (S_ISREG(mode) or S_ISDIR(mode)):
        raise VideoError(str(file), NO_REGULAR_FILE)


def num_bytes(source: Source) -> int:
    """The length of a source.

    Raises:
        OSError: if the file does not exist.
    """
    return source.stat().st_size if isinstance(source, Path) else len(source.data)


def is_image(path: str | Path) -> bool:
    """Whether a path names an image, by its suffix."""
    return str(path).lower().endswith(IMAGE_SUFFIXES)


@dataclass(frozen=True)
class ShardMember:
    """A file inside a tar shard: the shard's bytes ``[offset_bytes, offset_bytes + size_bytes)``,
    tar header included. ``shard`` is a path or a URL that fsspec opens."""

    shard: str
    name: str
    offset_bytes: int
    size_bytes: int

    def __str__(self) -> str:
        return f"{self.shard}/{self.name}"

    def read(self) -> FileBytes:
        """Read the whole file. Reads that fail are retried, since networks fail for moments.

        Raises:
            VideoError: if the shard cannot be read, is cut off, or holds other bytes there than the
                manifest describes.
        """
        content = self._read_range()
        if len(content) < self.size_bytes:
            raise self._error(f"the shard is cut off: {len(content)} bytes of {self.size_bytes}")
        if len(content) > self.size_bytes:
            raise self._error("the server sends more than the part of the shard it was asked for")
        try:
            with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
                info = tar.next()
        except tarfile.TarError:
            info = None
        if info is None or (info.name, info.offset_data + info.size) != (self.name, len(content)):
            raise self._error("the shard has something else there than the manifest says")
        return FileBytes(str(self), content[info.offset_data :])

    def _read_range(self) -> bytes:
        end = self.offset_bytes + self.size_bytes
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                # fsspec caches file systems, one per process.
                files, path = url_to_fs(self.shard)
                return files.cat_file(path, start=self.offset_bytes, end=end)
            except FileNotFoundError:
                raise self._error("no such shard") from None
            except Exception as error:  # each storage backend raises its own types
                if attempt == _ATTEMPTS:
                    raise self._error(reason_of(error)) from None
            time.sleep(_PAUSE_SECONDS * attempt)
        raise AssertionError

    def _error(self, reason: str) -> VideoError:
        return VideoError(str(self), reason)
