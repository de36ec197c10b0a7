"""Splitting a tree of class folders, or a manifest, into train and val manifests, and into folds.

``VIDEOS/<class name>/.../<any name>.mp4`` goes to ``train.csv`` or ``val.csv``. The split is
stratified: each class gives its share of videos to validation, at least one if it has two or more.
Videos form a group, which stays together, if a pattern matches the same text in their names.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hiera_video.data.class_labels import ClassLabels
from hiera_video.data.file_search import SearchResult, describe_passed_over, search_files
from hiera_video.data.manifest import Manifest
from hiera_video.decoding.source import IMAGE_SUFFIXES
from hiera_video.errors import ConfigError, UserError
from hiera_video.labels import normalize_label, order_classes
from hiera_video.preparation.lists import (
    Entry,
    write_dataset,
)
from hiera_video.preparation.picture_folders import search_picture_folders


class Split(NamedTuple):
    """How to split: the share of each class for validation, the seed of the random choice, the
    pattern whose match is the name of a video's group, and the number of folds (0: none)."""

    val_share: float = 0.2
    seed: int = 0
    group: re.Pattern[str] | None = None
    folds: int = 0


#: What is looked for in class folders, and how: videos, images, or folders of pictures.
KINDS: dict[str, Callable[[Path], SearchResult]] = {
    "video files": search_files,
    "image files": partial(search_files, suffixes=IMAGE_SUFFIXES),
    "folders of pictures": search_picture_folders,
}


def prepare_folder(videos: Path, output_dir: Path, split: Split, kind: str = "video files") -> None:
    """Write the manifests of a tree of class folders, or of the videos of a manifest.

    ``kind``: which of ``KINDS`` is looked for in the folders.

    With folds, ``fold_0/train.csv``, ``fold_0/val.csv`` and so on are written too, each pair with
    its ``classes.txt``: every video is in the validation part of exactly one fold.

    Raises:
        UserError: if there is nothing to split, the split cannot be made, or files of the
            user's own would be replaced.
    """
    classes = read_manifest(videos) if videos.is_file() else find_classes(videos, kind)
    datasets = {output_dir: split_classes(classes, split.val_share, split.seed, split.group)}
    if split.folds:
        parts = split_into_folds(classes, split.folds, split.seed, split.group)
        datasets |= {output_dir / f"fold_{number}": part for number, part in enumerate(parts)}
    for folder, entries in datasets.items():
        files = {entry.key: Path(entry.key) for entry in entries}
        write_dataset(folder, list(classes), entries, files, [videos])


def find_classes(root: Path, kind: str = "video files") -> dict[str, list[Path]]:
    """The files of each class folder of ``root``; folders without files are left out. Of pictures,
    the folders that they are in are the files.

    Prints what other files there are.

    Raises:
        UserError: if no class folder has such a file.
    """
    classes: dict[str, list[Path]] = {}
    files, others = KINDS[kind](root)
    num_outside = 0
    for path in files:
        folder, *below = path.relative_to(root.absolute()).parts
        if below:
            classes.setdefault(normalize_label(folder), []).append(path)
        else:
            num_outside += 1
    counts = [describe_passed_over(others)] if others else []
    if num_outside:
        counts.append(f"{num_outside} beside the class folders")
    passed_over = f"passed over: {', '.join(counts)}" if counts else ""
    if not classes:
        raise UserError(
            f"{root}: wanted one folder per class with {kind} in it, found none"
            + (f" ({passed_over})" if counts else "")
        )
    if counts:
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

    Each class is split in the same proportion. A group is on one side only, even if its videos have
    several classes.

    Raises:
        ConfigError: if ``group`` matches no name, or leaves nothing to validate on.
    """
    groups = {name: _grouped(videos, group) for name, videos in classes.items()}
    sides: dict[str, str] = {}
    for name in sorted(groups, key=lambda name: len(groups[name])):  # least choice goes first
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
    """Choose the side of each group of a class that has none in ``sides`` yet."""
    shuffled = random.Random(f"{seed}/{name}").sample(list(groups), len(groups))
    most_val = round(sum(map(len, groups.values())) * val_share)
    if len(groups) > 1 and val_share > 0:
        most_val = max(most_val, 1)
    num_val = sum(len(groups[key]) for key in shuffled if sides.get(key) == "val")
    open_keys = [key for key in shuffled if key not in sides]
    has_train = any(sides.get(key) == "train" for key in shuffled)
    for number, key in enumerate(open_keys, start=1):
        is_last = number == len(open_keys)  # at least one group is left to train on
        if num_val < most_val and (has_train or not is_last):
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
        raise ConfigError(f"group={group.pattern}: matches none of the {unmatched} names")
    if val_share > 0 and all(entry.split == "train" for entry in entries):
        raise ConfigError(
            f"group={group.pattern}: leaves nothing to validate on, since each class has one "
            "group only"
        )
    alone = f", {unmatched} of them names without a match" if unmatched else ""
    print(f"{len(sides)} groups{alone}: none is on both sides")


def split_into_folds(
    classes: Mapping[str, Sequence[Path]], folds: int, seed: int, group: re.Pattern[str] | None
) -> list[list[Entry]]:
    """The entries of each fold, a function of all names and ``seed``.

    Each group is in the validation part of one fold, and in the training part of all others. The
    largest groups go first, each to the fold that has the least of its classes so far: so the folds
    share each class as evenly as the groups allow.

    Raises:
        ConfigError: if there are more folds than groups.
    """
    members: dict[str, Counter[str]] = {}
    for name, videos in classes.items():
        for video in videos:
            members.setdefault(_group_of(video, group), Counter())[name] += 1
    if len(members) < folds:
        raise ConfigError(
            f"folds={folds}: wanted at most as many as there are groups, {len(members)}"
        )
    totals = {name: len(videos) for name, videos in classes.items()}
    sums = [Counter[str]() for _ in range(folds)]
    fold_of: dict[str, int] = {}
    shuffled = random.Random(f"{seed}/folds").sample(sorted(members), len(members))
    for key in sorted(shuffled, key=lambda key: -members[key].total()):
        counts = members[key]
        # The increase of the sum of squares of the folds' shares of each class.
        costs = [
            (sum(fold[n] * count / totals[n] ** 2 for n, count in counts.items()), fold.total())
            for fold in sums
        ]
        fold_of[key] = costs.index(min(costs))
        sums[fold_of[key]] += counts
    _warn_of_lone_groups(classes, group)
    return [
        [
            Entry("val" if fold_of[_group_of(video, group)] == fold else "train", str(video), name)
            for name, videos in classes.items()
            for video in videos
        ]
        for fold in range(folds)
    ]


def _warn_of_lone_groups(
    classes: Mapping[str, Sequence[Path]], group: re.Pattern[str] | None
) -> None:
    alone = [name for name, videos in classes.items() if len(_grouped(videos, group)) == 1]
    if alone:
        print(
            f"warning: one group only, so that one fold validates on it and does not train on it: "
            f"{', '.join(alone)}"
        )
