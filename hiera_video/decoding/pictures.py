"""Where the numbered pictures of a clip are: in a folder, or in a zip or tar archive.

A folder or tar archive is listed when it is first read, and again only if it has changed: each
process keeps what it found. (A zip archive has its list in one place, and is as fast to open.)
"""

from __future__ import annotations

import os
import tarfile
import time
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

from hiera_video import compat
from hiera_video.decoding.numbering import PictureNames, is_picture, number_pictures
from hiera_video.decoding.source import FileBytes, ShardMember, Source, open_source

#: Archives of pictures, by their suffixes.
ARCHIVE_SUFFIXES = (".tar", ".zip")
#: Compressed archives, in which nothing is found without reading everything before it.
_COMPRESSED = (".tar.bz2", ".tar.gz", ".tar.xz", ".tar.zst", ".tbz2", ".tgz", ".txz")

#: What a process keeps of folders and archives, in positions of pictures; a folder whose names only
#: differ in a number counts as one.
_MOST_KEPT = 1_000_000
#: A folder that changed so recently may change again without another time of change.
_UNSETTLED_SECONDS = 2.0

T = TypeVar("T")


def holds_pictures(source: Source | ShardMember) -> bool:
    """Whether a source is a folder, or, by its suffix, an archive."""
    if str(source).lower().endswith((*ARCHIVE_SUFFIXES, *_COMPRESSED)):
        return True
    return isinstance(source, Path) and source.is_dir()


def state_of(file: Path) -> tuple[int, int]:
    """The bytes of a file, or of the pictures in a folder, and when it last changed, in ns.

    Raises:
        OSError: if it cannot be read.
    """
    status = file.stat()
    if not file.is_dir():
        return status.st_size, status.st_mtime_ns
    with os.scandir(file) as entries:
        states = [entry.stat() for entry in entries if is_picture(entry.name)]
    changes = (state.st_mtime_ns for state in states)
    return sum(state.st_size for state in states), max(status.st_mtime_ns, *changes, 0)


class _Kept(Generic[T]):
    """What was found in folders and archives, until they change; the oldest is dropped for more."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[tuple[int, int], T, int]] = {}
        self._weight = 0

    def get(self, path: Path, find: Callable[[], T], weigh: Callable[[T], int]) -> T:
        """What ``find`` finds; it is only called if ``path`` is not known, or has changed."""
        key, status = str(path.absolute()), path.stat()
        state = status.st_mtime_ns, status.st_size
        known = self._found.pop(key, None)
        if known and known[0] == state:
            self._found[key] = known
            return known[1]
        if known:
            self._weight -= known[2]
        found = find()
        if time.time() - status.st_mtime > _UNSETTLED_SECONDS:
            weight = weigh(found)
            self._found[key] = state, found, weight
            self._weight += weight
            while self._weight > _MOST_KEPT:
                self._weight -= self._found.pop(next(iter(self._found)))[2]
        return found


class Pictures(ABC):
    """The pictures of an open folder or archive; ``names`` has their names, in order.

    Raises:
        ValueError: when opened, if it is no such archive, or pictures are not numbered well.
        OSError: if it cannot be opened.
    """

    names: PictureNames

    @abstractmethod
    def open(self, frame: int) -> BinaryIO:
        """Open the picture of a frame.

        Raises:
            OSError, ValueError: if it cannot be read.
        """

    def close(self) -> None:
        """Close open files."""
        return


class _Folder(Pictures):
    """Pictures directly in a folder; those in folders below it do not count."""

    _known = _Kept[PictureNames]()

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self.names = self._known.get(
            folder,
            lambda: number_pictures(os.listdir(folder)),  # noqa: PTH208 - names, not paths
            lambda names: 1 + len(names.others),
        )

    def open(self, frame: int) -> BinaryIO:
        return open(f"{self._folder}/{self.names[frame]}", "rb")  # noqa: PTH123 - speed


class _Zip(Pictures):
    """Pictures in a zip archive."""

    def __init__(self, source: Source) -> None:
        self._file = open_source(source)
        try:
            self._archive = zipfile.ZipFile(self._file)
            self.names = number_pictures(self._archive.namelist())
        except zipfile.BadZipFile:
            self._file.close()
            raise ValueError("it is no zip archive, or is cut off") from None
        except BaseException:
            self._file.close()
            raise

    def open(self, frame: int) -> BinaryIO:
        try:
            data = self._archive.read(self.names[frame])
        except (zipfile.BadZipFile, RuntimeError) as error:  # a wrong checksum; a password
            raise ValueError(str(error)) from None
        return open_source(FileBytes(self.names[frame], data))

    def close(self) -> None:
        self._archive.close()
        self._file.close()


class _Tar(Pictures):
    """Pictures in a tar archive, which has no list: all headers are read, once per process."""

    _known = _Kept[tuple[PictureNames, list[tuple[int, int]]]]()

    def __init__(self, source: Source) -> None:
        self._file = open_source(source)
        try:
            if isinstance(source, Path):
                listed = self._known.get(source, self._list, lambda found: len(found[1]))
            else:
                listed = self._list()
            self.names, self._ranges = listed
        except BaseException:
            self._file.close()
            raise

    def _list(self) -> tuple[PictureNames, list[tuple[int, int]]]:
        """The pictures, and where each begins and how long it is, in bytes."""
        try:
            with tarfile.open(fileobj=self._file, mode="r:") as tar:
                ranges = {info.name: (info.offset_data, info.size) for info in tar if info.isreg()}
                self._file.seek(compat.end_of_members(tar))
        except tarfile.TarError:
            raise ValueError("it is no tar archive, or is cut off") from None
        if not self._file.read(1):  # an archive ends with zeros
            raise ValueError("it is cut off")
        names = number_pictures(ranges)
        return names, [ranges[names[frame]] for frame in range(names.num_frames)]

    def open(self, frame: int) -> BinaryIO:
        begin, num_bytes = self._ranges[frame]
        self._file.seek(begin)
        return open_source(FileBytes(self.names[frame], self._file.read(num_bytes)))

    def close(self) -> None:
        self._file.close()


def open_pictures(source: Source) -> Pictures:
    """Open what :func:`holds_pictures`.

    Raises:
        ValueError, OSError: as :class:`Pictures` does.
    """
    if isinstance(source, Path) and source.is_dir():
        return _Folder(source)
    name = str(source).lower()
    if name.endswith(_COMPRESSED):
        raise ValueError(
            "it is a compressed archive, in which no picture can be found without reading all "
            "before it; wanted .tar or .zip"
        )
    return _Zip(source) if name.endswith(".zip") else _Tar(source)
