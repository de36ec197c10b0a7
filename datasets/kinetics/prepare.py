"""Turn the annotations of Kinetics-400, 600 or 700 into manifests.

    python datasets/kinetics/prepare.py VIDEOS OUTPUT_DIR --annotations train.csv val.csv [test.csv]

Annotations are the dataset's own: ``label,youtube_id,time_start,time_end,split[,is_cc]``. Videos
are ``<youtube_id>_<start>_<end>.mp4`` with six digits each, anywhere below ``VIDEOS``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hiera_video.command import run_command
from hiera_video.config.machinery import CommandLine
from hiera_video.data.file_search import find_files
from hiera_video.errors import UserError
from hiera_video.labels import order_classes
from hiera_video.preparation.lists import Entry, read_rows, write_dataset

#: The splits as annotations of different years call them.
SPLITS = {"train": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}
COLUMNS = ["youtube_id", "time_start", "time_end", "split"]


def read_entries(annotations: Path) -> Iterator[Entry]:
    """The clips of an annotation file; some test files have no labels."""
    for line, row in enumerate(read_rows(annotations, COLUMNS), start=2):
        try:
            seconds = [int(float(row[name])) for name in ("time_start", "time_end")]
            split = SPLITS[row["split"]]
        except (KeyError, ValueError, TypeError):
            raise UserError(
                f"{annotations}, line {line}: wanted {','.join(COLUMNS)}, got "
                + ",".join(str(row[name]) for name in COLUMNS)
            ) from None
        key = f"{row['youtube_id']}_{seconds[0]:06d}_{seconds[1]:06d}"
        yield Entry(split, key, row.get("label") or None)


def main() -> None:
    parser = CommandLine(description="Turn the annotations of Kinetics into manifests.")
    parser.add_argument("videos", type=Path, help="folder with the clips, in folders or flat")
    parser.add_argument("output_dir", type=Path, help="such as data/kinetics400")
    parser.add_argument("--annotations", type=Path, nargs="+", required=True, metavar="CSV")
    options = parser.parse_args()
    entries = [entry for path in options.annotations for entry in read_entries(path)]
    classes = order_classes(entry.label for entry in entries if entry.label is not None)
    files = {path.stem: path for path in find_files(options.videos)}
    write_dataset(options.output_dir, classes, entries, files, options.annotations)


if __name__ == "__main__":
    run_command(main)
