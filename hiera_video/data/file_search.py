"""Videos or images below a folder, found by their suffixes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from hiera_video.errors import UserError
from hiera_video.files import reading

#: What files are taken for videos by: the names of what FFmpeg reads pictures from, old and new.
# fmt: off
VIDEO_SUFFIXES = frozenset([
    ".264", ".265", ".3g2", ".3gp", ".asf", ".avc", ".avi", ".dav", ".divx", ".dv", ".dvr-ms",
    ".evo", ".f4v", ".flv", ".gif", ".h264", ".h265", ".hevc", ".ismv", ".ivf", ".m1v", ".m2p",
    ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mk3d", ".mkv", ".mod", ".mov", ".mp4",
    ".mp4v", ".mpe", ".mpeg", ".mpg", ".mpv", ".mts", ".mxf", ".nut", ".ogm", ".ogv", ".qt",
    ".rm", ".rmvb", ".tod", ".ts", ".vob", ".vro", ".webm", ".wmv", ".wtv", ".xvid", ".y4m",
])
# fmt: on
#: Kinds of files that were passed over, named one by one.
_MOST_KINDS = 8


class Found(NamedTuple):
    """Files that were searched for, and how many others there are of each suffix."""

    files: list[Path]
    passed_over: Counter[str]


def find_files(root: Path, suffixes: Iterable[str] = VIDEO_SUFFIXES) -> list[Path]:
    """The files of :func:`search_files`."""
    return search_files(root, suffixes).files


def search_files(root: Path, suffixes: Iterable[str] = VIDEO_SUFFIXES) -> Found:
    """Files below ``root`` with these suffixes, as sorted absolute paths, and a count of others.

    Links are followed; a folder that is reached by several ways is searched once. What is hidden,
    with a dot before its name, is passed over and not counted.

    Raises:
        UserError: if there is no such folder, one cannot be read, or a name is not in UTF-8, as
            manifests are.
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
    return Found(sorted(files), passed_over)


def describe_passed_over(passed_over: Counter[str]) -> str:
    """Such as ``12 .txt, 3 .jpg``, the most frequent suffix first; empty if there is nothing."""
    kinds = sorted(passed_over.items(), key=lambda kind: (-kind[1], kind[0]))
    told = [f"{count} {suffix or 'without a suffix'}" for suffix, count in kinds[:_MOST_KINDS]]
    if others := kinds[_MOST_KINDS:]:
        told.append(f"{sum(count for _, count in others)} of {len(others)} other kinds")
    return ", ".join(told)


def _check_names(files: Iterable[Path]) -> None:
    for file in files:
        try:
            str(file).encode()
        except UnicodeEncodeError:
            raise UserError(
                f"{str(file)!a}: its name is not in UTF-8, as manifests are; rename it"
            ) from None


def _walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Folders with the names of their files. Links may lead back to a folder above them."""

    def complain(error: OSError) -> None:
        with reading(error.filename):
            raise error

    searched = set()
    for folder, folders, names in os.walk(root, onerror=complain, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in searched:
            folders.clear()
            continue
        searched.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in folders if name[0] != "."]  # bins, thumbnails
        # The folder itself goes before links to it that stand beside it.
        folders.sort(key=lambda name: (Path(folder, name).is_symlink(), name))
        yield folder, names
