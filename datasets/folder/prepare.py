"""Turn a tree of class folders into manifests.

    python datasets/folder/prepare.py VIDEOS OUTPUT_DIR [--images] [--val-share 0.2] [--seed 0]
        [--group REGEX]

``VIDEOS/<class name>/.../<any name>.mp4`` becomes ``OUTPUT_DIR/{train,val}.csv`` and
``OUTPUT_DIR/classes.txt``. The split is stratified: each class gives its share of videos to
validation, at least one where it has two or more. Videos whose names agree in what ``--group``
matches stay together. ``VIDEOS`` may be a manifest, too, such as the clean one of an inspection.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hiera_video.command import run_command
from hiera_video.config.machinery import CommandLine
from hiera_video.data.class_labels import ClassLabels
from hiera_video.data.manifest import Manifest
from hiera_video.decoding.source import IMAGE_SUFFIXES
from hiera_video.errors import ConfigError, UserError
from hiera_video.labels import normalize_label, order_classes
from hiera_video.preparation.lists import (
    VIDEO_SUFFIXES,
    Entry,
    describe_passed_over,
    search_files,
    write_dataset,
)


def find_classes(root: Path, suffixes: Iterable[str]) -> dict[str, list[Path]]:
    """Files below each class folder of ``root``; folders without any are left out.

    Prints what else there is.

    Raises:
        UserError: if no class folder has such a file.
    """
    classes: dict[str, list[Path]] = {}
    found = search_files(root, suffixes)
    num_beside = 0
    for path in found.files:
        folder, *below = path.relative_to(root.absolute()).parts
        if below:
            classes.setdefault(normalize_label(folder), []).append(path)
        else:
            num_beside += 1
    told = [describe_passed_over(found.passed_over)] if found.passed_over else []
    if num_beside:
        told.append(f"{num_beside} beside the class folders")
    passed_over = f"passed over: {', '.join(told)}" if told else ""
    if not classes:
        kind = "image" if ".png" in suffixes else "video"
        raise UserError(
            f"{root}: wanted one folder per class with {kind} files in it, found none"
            + (f" ({passed_over})" if told else "")
        )
    if told:
        print(passed_over)
    return {name: classes[name] for name in order_classes(classes)}


def read_manifest(path: Path) -> dict[str, list[Path]]:
    """The files of each class of a manifest of whole videos."""
    labels = ClassLabels()
    manifest = Manifest(path, targets=labels)
    classes: dict[str, list[Path]] = {name: [] for name in labels.classes}
    for row in (manifest[index] for index in range(len(manifest))):
        if row.start_seconds or row.end_seconds:
            raise UserError(f"{path}: has rows with seconds, and only whole videos can be split")
        classes[labels.classes[row.targets["labels"]]].append(row.local_file.absolute())
    return classes


def split_classes(
    classes: Mapping[str, Sequence[Path]],
    val_share: float,
    seed: int,
    group: re.Pattern[str] | None,
) -> list[Entry]:
    """The entries of all classes; a function of all names, ``val_share`` and ``seed``.

    Each class is split in the same proportion, and a group is on one side only, whatever the
    classes of its videos.

    Raises:
        ConfigError: if ``group`` matches no name, or leaves nothing to validate on.
    """
    groups = {name: _grouped(videos, group) for name, videos in classes.items()}
    sides: dict[str, str] = {}
    for name in sorted(groups, key=lambda name: len(groups[name])):  # those with least choice first
        _draw(name, groups[name], val_share, seed, sides)
    entries = [
        Entry(sides[key], str(video), name)
        for name, videos in classes.items()
        for video, key in ((video, _group_of(video, group)) for video in videos)
    ]
    if group:
        _check_groups(entries, sides, val_share, group)
    return entries


def _group_of(video: Path, group: re.Pattern[str] | None) -> str:
    match = group.search(video.name) if group else None
    return match[0] if match else str(video)


def _grouped(videos: Sequence[Path], group: re.Pattern[str] | None) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = {}
    for video in videos:
        groups.setdefault(_group_of(video, group), []).append(video)
    return groups


def _draw(
    name: str,
    groups: Mapping[str, Sequence[Path]],
    val_share: float,
    seed: int,
    sides: dict[str, str],
) -> None:
    """Put the groups of a class on ``sides``, those that are on none yet."""
    shuffled = random.Random(f"{seed}/{name}").sample(list(groups), len(groups))
    wanted = round(sum(map(len, groups.values())) * val_share)
    if len(groups) > 1 and val_share > 0:
        wanted = max(wanted, 1)
    num_val = sum(len(groups[key]) for key in shuffled if sides.get(key) == "val")
    open_keys = [key for key in shuffled if key not in sides]
    has_train = any(sides.get(key) == "train" for key in shuffled)
    for place, key in enumerate(open_keys):
        is_last = place == len(open_keys) - 1  # one group at least is left to train on
        if num_val < wanted and (has_train or not is_last):
            sides[key] = "val"
            num_val += len(groups[key])
        else:
            sides[key] = "train"
            has_train = True


def _check_groups(
    entries: Sequence[Entry], sides: Mapping[str, str], val_share: float, group: re.Pattern[str]
) -> None:
    unmatched = sum(group.search(Path(entry.key).name) is None for entry in entries)
    if unmatched == len(entries):
        raise ConfigError(f"--group={group.pattern}: matches none of the {unmatched} names")
    if val_share > 0 and all(entry.split == "train" for entry in entries):
        raise ConfigError(
            f"--group={group.pattern}: leaves nothing to validate on, since each class has one "
            "group only"
        )
    alone = f", {unmatched} of them names without a match" if unmatched else ""
    print(f"{len(sides)} groups{alone}: none is on both sides")


def main() -> None:
    parser = CommandLine(description="Turn a tree of class folders into manifests.")
    parser.add_argument("videos", type=Path, help="folder with one folder per class, or a manifest")
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("--images", action="store_true", help="take images rather than videos")
    parser.add_argument("--val-share", type=float, default=0.2, help="default 0.2")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--group", help="regular expression: videos whose names agree in it are not split apart"
    )
    options = parser.parse_args()
    if not 0 <= options.val_share < 1:
        raise ConfigError(
            f"--val-share={options.val_share}: wanted a share of at least 0 and under 1"
        )
    try:
        group = re.compile(options.group) if options.group else None
    except re.error as error:
        raise ConfigError(f"--group={options.group}: is no regular expression ({error})") from None
    if options.videos.is_file():
        classes = read_manifest(options.videos)
    else:
        classes = find_classes(options.videos, IMAGE_SUFFIXES if options.images else VIDEO_SUFFIXES)
    entries = split_classes(classes, options.val_share, options.seed, group)
    files = {entry.key: Path(entry.key) for entry in entries}
    write_dataset(options.output_dir, list(classes), entries, files, [options.videos])


if __name__ == "__main__":
    run_command(main)
