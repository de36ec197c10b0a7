"""From lists of ``path label`` lines (PySlowFast, VideoMAE, mmaction2) to manifests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from hiera_video.data.class_list import read_classes
from hiera_video.errors import UserError
from hiera_video.labels import order_classes
from hiera_video.preparation.lists import Entry, read_lines, write_dataset


def prepare_lists(
    lists: Mapping[str, Path],
    output_dir: Path,
    *,
    classes_file: Path | None = None,
    root: Path | None = None,
    separator: str | None = None,
) -> None:
    """Write the manifest of each list.

    Args:
        lists: the file of each split, ``train``, ``val`` or ``test``.
        classes_file: class names, one a line; labels that are numbers are indices into them.
            Without this file, names are sorted, and numbers are names in the order of their value.
        root: folder to which relative paths are relative; default: the working directory.
        separator: the text between path and label; default: white space.

    Raises:
        UserError: if a list cannot be read, all lists are empty, or files of the user's own would
            be replaced.
    """
    classes = read_classes(classes_file) if classes_file else None
    entries: list[Entry] = []
    for split, path in lists.items():
        entries += read_entries(path, split, separator, classes)
    if not entries:
        raise UserError("no lines to read: give train, val or test a list with some")
    root = (root or Path()).absolute()
    found = {entry.key: _find(root, entry.key, separator) for entry in entries}
    files = {key: file for key, file in found.items() if file}
    classes = classes or order_classes(e.label for e in entries if e.label is not None)
    write_dataset(output_dir, classes, entries, files, lists.values())


def _find(root: Path, key: str, separator: str | None) -> Path | None:
    """The file or the folder of pictures that a line names; lists of folders may have the number of
    pictures after the name (mmaction2)."""
    folder, *number = key.rsplit(separator, maxsplit=1)
    is_counted = len(number) == 1 and number[0].strip().isdecimal()
    for path in (root / key, root / folder.strip() if is_counted else root / key):
        if path.is_file() or path.is_dir():
            return path
    return None


def read_entries(
    path: Path, split: str, separator: str | None, classes: list[str] | None
) -> Iterator[Entry]:
    """Parse lines of path, separator and label; paths may contain the separator."""
    for number, line in enumerate(read_lines(path), start=1):
        video, *label = line.rsplit(separator, maxsplit=1)
        if not label:
            raise UserError(f"{path}, line {number}: wanted a path and a label, got {line}")
        name = label[0].strip()
        if classes is not None and name.isdecimal():
            if int(name) >= len(classes):
                raise UserError(
                    f"{path}, line {number}: label {name} is past the {len(classes)} classes"
                )
            name = classes[int(name)]
        yield Entry(split, video.strip(), name)
