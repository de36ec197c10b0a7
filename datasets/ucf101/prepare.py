"""Turn the split lists of UCF101 into manifests.

    python datasets/ucf101/prepare.py VIDEOS SPLITS OUTPUT_DIR [--split 1]

``SPLITS`` is the folder with ``classInd.txt``, ``trainlist01.txt`` and ``testlist01.txt``. The test
list becomes ``val.csv``.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from hiera_video.command import run_command
from hiera_video.config.machinery import CommandLine
from hiera_video.data.file_search import find_files
from hiera_video.preparation.lists import Entry, read_lines, read_pairs, write_dataset


def read_entries(path: Path, split: str) -> list[Entry]:
    """``ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi [1]`` on each line: the folder is the class."""
    videos = [PurePosixPath(line.split()[0]) for line in read_lines(path)]
    return [Entry(split, video.stem, video.parent.name) for video in videos]


def main() -> None:
    parser = CommandLine(description="Turn the split lists of UCF101 into manifests.")
    parser.add_argument("videos", type=Path, help="folder with the videos, in folders or flat")
    parser.add_argument("splits", type=Path, help="folder with classInd.txt and the lists")
    parser.add_argument("output_dir", type=Path, help="such as data/ucf101")
    parser.add_argument("--split", type=int, choices=[1, 2, 3], default=1)
    options = parser.parse_args()
    classes = [name for _, name in read_pairs(options.splits / "classInd.txt", "1 ApplyEyeMakeup")]
    entries = [
        *read_entries(options.splits / f"trainlist{options.split:02d}.txt", "train"),
        *read_entries(options.splits / f"testlist{options.split:02d}.txt", "val"),
    ]
    files = {path.stem: path for path in find_files(options.videos)}
    write_dataset(options.output_dir, classes, entries, files)


if __name__ == "__main__":
    run_command(main)
