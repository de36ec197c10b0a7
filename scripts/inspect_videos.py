"""Look at all videos of a manifest or a folder before anything is trained on them.

python scripts/inspect_videos.py SOURCE OUTPUT_DIR [--decode] [--keep-duplicates]

Writes videos.parquet (frames, size, rate, codec, duration, rotation, hash of each; what cannot be
read and why; duplicates), clean.csv (a manifest without those) and report.html. Rerun the
same command to resume where it was interrupted.
"""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

from hiera_video.command import run_command
from hiera_video.config.machinery import CommandLine
from hiera_video.errors import ConfigError
from hiera_video.inspection.run import TIMEOUT_SECONDS, inspect_videos


def main() -> None:
    parser = CommandLine(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a manifest, or a folder of (class) folders")
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("--root", type=Path, help="where relative paths start")
    parser.add_argument("--num-workers", type=int, default=os.cpu_count(), help="default: all")
    parser.add_argument("--decode", action="store_true", help="decode every frame: slow, thorough")
    parser.add_argument(
        "--keep-duplicates", action="store_true", help="list duplicates, leave them in"
    )
    parser.add_argument(
        "--timeout-seconds",
        type=float,
        default=TIMEOUT_SECONDS,
        help=f"a file that takes longer cannot be read (default {TIMEOUT_SECONDS:g})",
    )
    parser.add_argument(
        "--index-dir",
        type=Path,
        help="keep the frames of files that had to be counted by decoding: data.index_dir",
    )
    options = parser.parse_args()
    if not 0 < options.timeout_seconds < math.inf:
        raise ConfigError(
            f"--timeout-seconds={options.timeout_seconds:g}: wanted a number of seconds above 0"
        )
    if options.num_workers < 1:
        raise ConfigError(f"--num-workers={options.num_workers}: wanted at least 1")
    inspect_videos(
        options.source,
        options.output_dir,
        root=options.root,
        num_workers=options.num_workers,
        decode=options.decode,
        keep_duplicates=options.keep_duplicates,
        timeout_seconds=options.timeout_seconds,
        index_dir=options.index_dir,
    )


if __name__ == "__main__":
    run_command(main)
