"""``classes.txt``: class names, one a line, in index order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from hiera_video.errors import ManifestError
from hiera_video.files import atomic_path, reading
from hiera_video.labels import normalize_label

CLASSES_FILE = "classes.txt"


def read_classes(path: Path) -> list[str]:
    """The class names in a file, in index order.

    Raises:
        ManifestError: if the file cannot be read, contains a name twice, or is empty.
    """
    with reading(path, ManifestError):
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    names = [name for line in lines if (name := normalize_label(line))]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated or not names:
        raise ManifestError(
            f"{path}: " + (f"{repeated[0]!r} is there twice" if names else "is empty")
        )
    return names


def write_classes(path: Path, classes: Iterable[str]) -> None:
    """Write class names, in index order, atomically."""
    with atomic_path(path) as temporary:
        lines = "".join(f"{normalize_label(name)}\n" for name in classes)
        temporary.write_text(lines, encoding="utf-8")
