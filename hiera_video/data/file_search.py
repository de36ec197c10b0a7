"""Videos or images below a folder, found by their suffixes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from hiera_video.errors import UserError
from hiera_video.files import reading

#: A file with one of these suffixes counts as a video: formats with pictures that FFmpeg reads.
# fmt: off
VIDEO_SUFFIXES = frozenset([
    ".264", ".265", ".3g2", ".3gp", ".asf", ".avc", ".avi", ".dav", ".divx", ".dv", ".dvr-ms",
    ".evo", ".f4v", ".flv", ".gif", ".h264", ".h265", ".hevc", ".ismv", ".ivf", ".m1v", ".m2p",
    ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mk3d", ".mkv", ".mod", ".mov", ".mp4",
    ".mp4v", ".mpe", ".mpeg", ".mpg", ".mpv", ".mts", ".mxf", ".nut", ".ogm", ".ogv", ".qt",
    ".rm", ".rmvb", ".tod", ".ts", ".vob", ".vro", ".webm", ".wmv", ".wtv", ".xvid", ".y4m",
])
# fmt: on
#: Messages name at most this many suffixes of other files.
_MOST_KINDS = 8


class SearchResult(NamedTuple):
    """Files with the suffixes that were searched for, and the number of other files by suffix."""

    files: list[Path]
    passed_over: Counter[str]


def find_files(root: Path, suffixes: Iterable[str] = VIDEO_SUFFIXES) -> list[Path]:
    """The files that :func:`search_files` finds, without the count of others."""
    return search_files(root, suffixes).files


def search_files(root: Path, suffixes: Iterable[str] = VIDEO_SUFFIXES) -> SearchResult:
    """Files below ``root`` with these suffixes, as sorted absolute paths, and a count of others.

    The search follows links, but visits a folder once even if several links lead to it. It skips
    hidden files and folders (``.NAME``) and does not count them.

    Raises:
        UserError: if ``root`` is no folder, a folder cannot be read, or a name is not in UTF-8,
            which manifests use.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    suffixes, files, passed_over = frozenset(suffixes), [], Counter[str]()
    for folder, names in _walk(root.absolute()):
        for name in names:
            suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - speed
            if name[0] == ".":
                continue
            if suffix in suffixes:
                files.append(Path(folder, name))
            else:
                passed_over[suffix] += 1
    _check_names(files)
    return SearchResult(sorted(files), passed_over)


def describe_passed_over(passed_over: Counter[str]) -> str:
    """Text such as ``12 .txt, 3 .jpg``, the most frequent suffix first; empty if there are none."""
    kinds = sorted(passed_over.items(), key=lambda kind: (-kind[1], kind[0]))
    counts = [f"{count} {suffix or 'without a suffix'}" for suffix, count in kinds[:_MOST_KINDS]]
    if others := kinds[_MOST_KINDS:]:
        counts.append(f"{sum(count for _, count in others)} of {len(others)} other kinds")
    return ", ".join(counts)


def _check_names(files: Iterable[Path]) -> None:
    for file in files:
        try:
            str(file).encode()
        except UnicodeEncodeError:
            raise UserError(
                f"{str(file)!a}: its name is not in UTF-8, as manifests are; rename it"
            ) from None


def _walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Folders with the names of their files. A link may lead back to a folder above it."""

    def fail(error: OSError) -> None:
        with reading(error.filename):
            raise error

    searched = set()
    for folder, folders, names in os.walk(root, onerror=fail, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in searched:
            folders.clear()
            continue
        searched.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in folders if name[0] != "."]  # bins, thumbnails
        # A folder goes before the links to it in the same folder.
        folders.sort(key=lambda name: (Path(folder, name).is_symlink(), name))
        yield folder, names
