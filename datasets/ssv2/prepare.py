"""Turn the annotations of Something-Something v2 into manifests.

    python datasets/ssv2/prepare.py VIDEOS ANNOTATIONS OUTPUT_DIR

``ANNOTATIONS`` is the folder with ``labels.json``, ``train.json``, ``validation.json`` and perhaps
``test.json``, or the same with ``something-something-v2-`` before each name. Videos are called
``<id>.webm`` (or ``.mp4``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hiera_video.command import run_command
from hiera_video.config.machinery import CommandLine
from hiera_video.data.file_search import find_files
from hiera_video.errors import UserError
from hiera_video.preparation.lists import Entry, read_json, write_dataset

PREFIX = "something-something-v2-"
SPLITS = {"train": "train", "validation": "val", "test": "test"}


def find_annotations(folder: Path, name: str) -> Path:
    """``NAME.json``, as the files are called now, or as they were before."""
    prefixed = folder / f"{PREFIX}{name}.json"
    return prefixed if prefixed.exists() else folder / f"{name}.json"


def read_labels(path: Path) -> list[str]:
    """``{"Approaching something with your camera": "0", ...}``: names in index order."""
    labels = read_json(path)
    try:
        return sorted(labels, key=lambda name: int(labels[name]))
    except (TypeError, ValueError):
        raise UserError(f"{path}: wanted an object of names and their indices") from None


def read_entries(path: Path, split: str) -> Iterator[Entry]:
    """A list of ``{"id": ..., "template": "Holding [something]", ...}``.

    The class is the template without its brackets; test videos have none.
    """
    items = read_json(path)
    for item in items if isinstance(items, list) else [items]:
        try:
            template = item.get("template")
            label = template and template.replace("[", "").replace("]", "")
            yield Entry(split, str(item["id"]), label)
        except (AttributeError, KeyError):
            raise UserError(f"{path}: wanted objects with id and template, got {item}") from None


def main() -> None:
    parser = CommandLine(description="Turn the annotations of SSv2 into manifests.")
    parser.add_argument("videos", type=Path, help="folder with the videos")
    parser.add_argument("annotations", type=Path, help="folder with the JSON files")
    parser.add_argument("output_dir", type=Path, help="such as data/ssv2")
    options = parser.parse_args()
    classes = read_labels(find_annotations(options.annotations, "labels"))
    entries: list[Entry] = []
    for name, split in SPLITS.items():
        path = find_annotations(options.annotations, name)
        if name != "test" or path.exists():
            entries += read_entries(path, split)
    files = {path.stem: path for path in find_files(options.videos)}
    write_dataset(options.output_dir, classes, entries, files)


if __name__ == "__main__":
    run_command(main)
