"""Turn the split lists of HMDB51 into manifests.

    python datasets/hmdb51/prepare.py VIDEOS SPLITS OUTPUT_DIR [--split 1]

``SPLITS`` is the folder with ``brush_hair_test_split1.txt`` and its siblings. Videos are in one
folder per class. The test videos become ``val.csv``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hiera_video.command import run_command
from hiera_video.config.machinery import CommandLine
from hiera_video.data.file_search import find_files
from hiera_video.errors import UserError
from hiera_video.labels import order_classes
from hiera_video.preparation.lists import Entry, read_lines, write_dataset

#: What the number after a video's name means; 0 is in neither.
SPLITS = {"1": "train", "2": "val"}


def read_entries(path: Path, label: str) -> Iterator[Entry]:
    """``NAME.avi 1`` on each line. The class is in the key: others may have a file of that name."""
    for number, line in enumerate(read_lines(path), start=1):
        name, _, use = line.rpartition(" ")
        if use not in ("0", *SPLITS):
            raise UserError(f"{path}, line {number}: wanted NAME 0, 1 or 2, got {line}")
        if use in SPLITS:
            yield Entry(SPLITS[use], f"{label}/{Path(name.strip()).stem}", label)


def main() -> None:
    parser = CommandLine(description="Turn the split lists of HMDB51 into manifests.")
    parser.add_argument("videos", type=Path, help="folder with one folder per class")
    parser.add_argument("splits", type=Path, help="folder with CLASS_test_split1.txt and so on")
    parser.add_argument("output_dir", type=Path, help="such as data/hmdb51")
    parser.add_argument("--split", type=int, choices=[1, 2, 3], default=1)
    options = parser.parse_args()
    suffix = f"_test_split{options.split}.txt"
    lists = {path.name.removesuffix(suffix): path for path in options.splits.glob(f"*{suffix}")}
    if not lists:
        raise UserError(f"{options.splits}: wanted files named CLASS{suffix}, found none")
    classes = order_classes(lists)
    entries = [entry for label in sorted(lists) for entry in read_entries(lists[label], label)]
    files = {f"{path.parent.name}/{path.stem}": path for path in find_files(options.videos)}
    write_dataset(options.output_dir, classes, entries, files)


if __name__ == "__main__":
    run_command(main)
