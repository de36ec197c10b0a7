"""Turn lists of `path label` lines, as PySlowFast, VideoMAE and mmaction2 have, into manifests.

    python datasets/lists/prepare.py OUTPUT_DIR --train LIST --val LIST [--test LIST]
        [--classes FILE] [--root FOLDER] [--separator ,]

Labels are indices into ``--classes`` (one name a line), or names. Without ``--classes``, names are
sorted, and numbers are names in the order of their value.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hiera_video.command import run_command
from hiera_video.config.machinery import CommandLine
from hiera_video.data.manifest import read_classes
from hiera_video.errors import UserError
from hiera_video.labels import order_classes
from hiera_video.preparation.lists import SPLITS, Entry, read_lines, write_dataset


def read_entries(
    path: Path, split: str, separator: str | None, classes: list[str] | None
) -> Iterator[Entry]:
    """A path, the separator, a label on each line; paths may contain the separator."""
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


def main() -> None:
    parser = CommandLine(description="Turn lists of `path label` lines into manifests.")
    parser.add_argument("output_dir", type=Path)
    for split in SPLITS:
        parser.add_argument(f"--{split}", type=Path, metavar="LIST")
    parser.add_argument("--classes", type=Path, help="class names, one a line, in index order")
    parser.add_argument("--root", type=Path, default=Path(), help="where relative paths start")
    parser.add_argument("--separator", help="default: white space")
    options = parser.parse_args()
    if options.separator == "":
        raise UserError("--separator: wanted at least one character")
    classes = read_classes(options.classes) if options.classes else None
    lists = {split: path for split in SPLITS if (path := getattr(options, split))}
    entries: list[Entry] = []
    for split, path in lists.items():
        entries += read_entries(path, split, options.separator, classes)
    if not entries:
        raise UserError("no lines to read: give --train, --val or --test a list with some")
    root = options.root.absolute()
    files = {entry.key: root / entry.key for entry in entries if (root / entry.key).is_file()}
    classes = classes or order_classes(e.label for e in entries if e.label is not None)
    write_dataset(options.output_dir, classes, entries, files, lists.values())


if __name__ == "__main__":
    run_command(main)
