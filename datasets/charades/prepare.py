"""Turn the annotations of Charades into manifests of several labels a row.

    python datasets/charades/prepare.py VIDEOS ANNOTATIONS OUTPUT_DIR

``ANNOTATIONS`` is the folder with ``Charades_v1_train.csv``, ``Charades_v1_test.csv`` and
``Charades_v1_classes.txt``; in the column ``actions``, ``c092 11.90 21.20;c147 0.00 12.60`` says
what is done from when to when. Videos are called ``<id>.mp4``.

A row for training is the segment of an action, with all actions that overlap it. A row for the test
is a whole video, with all of its actions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hiera_video.command import run_command
from hiera_video.config.machinery import CommandLine
from hiera_video.data.file_search import find_files
from hiera_video.errors import UserError
from hiera_video.preparation.lists import Entry, read_pairs, read_rows, write_dataset

#: The split in our manifests, and the name of its annotations. Papers report the test videos.
SPLITS = {"train": "Charades_v1_train.csv", "val": "Charades_v1_test.csv"}
CLASSES = "Charades_v1_classes.txt"
COLUMNS = ["id", "actions", "length"]


class Action(NamedTuple):
    """A class by its name, and the seconds from which and to which it is done."""

    name: str
    start: float
    end: float


class Video(NamedTuple):
    """A video's id and its actions, within its length."""

    key: str
    actions: list[Action]


def read_videos(path: Path, names: dict[str, str]) -> Iterator[Video]:
    """The videos of an annotation file; ``names`` are those of the classes by their codes.

    Some actions last longer than their video: they end with it. Those that begin when it is over,
    or end before they begin, are left out.
    """
    for line, row in enumerate(read_rows(path, COLUMNS), start=2):
        try:
            length = float(row["length"])
            actions = [read_action(text, names, length) for text in row["actions"].split(";")]
        except (KeyError, ValueError, AttributeError):
            raise UserError(
                f"{path}, line {line}: wanted actions such as 'c092 11.90 21.20;c147 0.00 12.60' "
                f"and a length in seconds, got {row['actions']!r} and {row['length']!r}"
            ) from None
        there = {action for action in actions if action is not None and action.start < action.end}
        yield Video(row["id"], sorted(there, key=lambda action: action[1:]))


def read_action(text: str, names: dict[str, str], length: float) -> Action | None:
    """``c092 11.90 21.20``; None of an empty text."""
    if not text.strip():
        return None
    code, start, end = text.split()
    seconds = float(start), min(float(end), length)
    if not all(map(math.isfinite, seconds)) or seconds[0] < 0:
        raise ValueError(text)
    return Action(names[code], *seconds)


def training_entries(video: Video) -> Iterator[Entry]:
    """An entry for each segment in which an action is done; of a video without any, all of it."""
    if not video.actions:
        yield Entry("train", video.key, None, [])
    for start, end in dict.fromkeys((action.start, action.end) for action in video.actions):
        overlapping = [one.name for one in video.actions if one.start < end and start < one.end]
        yield Entry("train", video.key, None, [*dict.fromkeys(overlapping)], (start, end))


def main() -> None:
    parser = CommandLine(description="Turn the annotations of Charades into manifests.")
    parser.add_argument("videos", type=Path, help="folder with the videos")
    parser.add_argument("annotations", type=Path, help="folder with the CSV files")
    parser.add_argument("output_dir", type=Path, help="such as data/charades")
    options = parser.parse_args()
    classes = options.annotations / CLASSES
    names = dict(read_pairs(classes, "c000 Holding some clothes"))
    paths = {split: options.annotations / name for split, name in SPLITS.items()}
    videos = {split: list(read_videos(path, names)) for split, path in paths.items()}
    entries = [entry for video in videos["train"] for entry in training_entries(video)]
    without = [video.key for video in videos["val"] if not video.actions]
    for video in videos["val"]:
        if video.actions:
            found = dict.fromkeys(action.name for action in video.actions)
            entries.append(Entry("val", video.key, None, [*found]))
    files = {path.stem: path for path in find_files(options.videos)}
    inputs = [classes, *paths.values()]
    write_dataset(options.output_dir, list(names.values()), entries, files, inputs)
    if without:
        print(
            f"{len(without)} videos of the test have no action, and are left out, as the official "
            "evaluation leaves them out"
        )


if __name__ == "__main__":
    run_command(main)
