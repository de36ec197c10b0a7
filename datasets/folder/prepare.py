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
from collections.abc import Iterable
from pathlib import Path

from hiera_video.command import run_command
from hiera_video.data.manifest import Manifest
from hiera_video.data.preparation import (
    VIDEO_SUFFIXES,
    Entry,
    describe_passed_over,
    search_files,
    write_dataset,
)
from hiera_video.decoding.source import IMAGE_SUFFIXES
from hiera_video.errors import ConfigError, UserError
from hiera_video.labels import normalize_label, order_classes
from hiera_video.settings import CommandLine


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
    manifest = Manifest(path)
    classes: dict[str, list[Path]] = {name: [] for name in manifest.classes}
    for row in (manifest[index] for index in range(len(manifest))):
        if row.start_seconds or row.end_seconds:
            raise UserError(f"{path}: has rows with seconds, and only whole videos can be split")
        classes[manifest.classes[row.label]].append(row.local_file.absolute())
    return classes


def split_class(
    name: str, videos: list[Path], val_share: float, seed: int, group: re.Pattern[str] | None
) -> list[Entry]:
    """The entries of a class; a function of all names, ``val_share`` and ``seed``."""
    groups: dict[str, list[Path]] = {}
    for video in videos:
        match = group.search(video.name) if group else None
        groups.setdefault(match[0] if match else str(video), []).append(video)
    shuffled = random.Random(f"{seed}/{name}").sample(list(groups.values()), len(groups))
    num_val = round(len(videos) * val_share)
    if len(groups) > 1 and val_share > 0:
        num_val = max(num_val, 1)
    val: set[Path] = set()
    for together in shuffled[:-1]:  # one group at least is left to train on
        if len(val) < num_val:
            val.update(together)
    return [Entry("val" if video in val else "train", str(video), name) for video in videos]


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
    entries = [
        entry
        for name, videos in classes.items()
        for entry in split_class(name, videos, options.val_share, options.seed, group)
    ]
    files = {entry.key: Path(entry.key) for entry in entries}
    write_dataset(options.output_dir, list(classes), entries, files, [options.videos])


if __name__ == "__main__":
    run_command(main)
