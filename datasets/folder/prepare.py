"""Turn a tree of class folders into manifests.

    python datasets/folder/prepare.py VIDEOS OUTPUT_DIR [--val-share 0.2] [--seed 0]

``VIDEOS/<class name>/.../<any name>.mp4`` becomes ``OUTPUT_DIR/{train,val}.csv`` (absolute
paths) and ``OUTPUT_DIR/classes.txt``. The split is stratified: each class gives its share of videos
to validation, at least one where it has two or more.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
from pathlib import Path
from typing import NoReturn

SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"}


def find_videos(root: Path) -> dict[str, list[Path]]:
    """Video files below each class folder of ``root``, sorted; classes without one are left out."""
    found = {
        folder.name: sorted(
            path
            for path in folder.rglob("*")
            if path.suffix.lower() in SUFFIXES and path.is_file() and path.name[0] != "."
        )
        for folder in sorted(root.iterdir())
        if folder.is_dir()
    }
    return {name: videos for name, videos in found.items() if videos}


def split(
    classes: dict[str, list[Path]], val_share: float, seed: int
) -> dict[str, list[tuple[Path, str]]]:
    """Training and validation rows; a function of the file names, ``val_share`` and ``seed``."""
    rows: dict[str, list[tuple[Path, str]]] = {"train": [], "val": []}
    for name, videos in classes.items():
        shuffled = random.Random(f"{seed}/{name}").sample(videos, len(videos))
        num_val = round(len(videos) * val_share)
        if len(videos) > 1 and val_share > 0:
            num_val = min(max(num_val, 1), len(videos) - 1)
        rows["val"] += [(path, name) for path in sorted(shuffled[:num_val])]
        rows["train"] += [(path, name) for path in sorted(shuffled[num_val:])]
    return rows


def write_manifests(
    rows: dict[str, list[tuple[Path, str]]], classes: list[str], output_dir: Path
) -> None:
    """``train.csv``, ``val.csv`` and ``classes.txt``, each written beside and renamed."""
    output_dir.mkdir(parents=True, exist_ok=True)
    texts = {"classes.txt": "".join(f"{name}\n" for name in classes)}
    for name, text in texts.items():
        (output_dir / f".{name}.part").write_text(text, encoding="utf-8")
        (output_dir / f".{name}.part").replace(output_dir / name)
    for part, videos in rows.items():
        temporary = output_dir / f".{part}.csv.part"
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["path", "label"])
            writer.writerows((path.resolve(), label) for path, label in videos)
        temporary.replace(output_dir / f"{part}.csv")


def fail(message: str) -> NoReturn:
    """End with one line on standard error."""
    print(f"prepare.py: error: {message}", file=sys.stderr)
    sys.exit(2)


def main() -> None:
    parser = argparse.ArgumentParser(description="Turn a tree of class folders into manifests.")
    parser.add_argument("videos", type=Path, help="folder with one folder per class")
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("--val-share", type=float, default=0.2, help="default 0.2")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not options.videos.is_dir():
        fail(f"{options.videos}: no such folder")
    if not 0 <= options.val_share < 1:
        fail(f"--val-share={options.val_share}: wanted a share of at least 0 and under 1")
    classes = find_videos(options.videos)
    if not classes:
        fail(f"{options.videos}: wanted one folder per class with video files in it, found none")
    rows = split(classes, options.val_share, options.seed)
    write_manifests(rows, list(classes), options.output_dir)
    print(
        f"{len(classes)} classes, {len(rows['train'])} training and {len(rows['val'])} validation "
        f"videos -> {options.output_dir}"
    )


if __name__ == "__main__":
    main()
