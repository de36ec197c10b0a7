"""Put the videos of a manifest into tar shards, for object stores and busy file systems.

python scripts/make_shards.py MANIFEST OUTPUT_DIR [--url URL] [--shard-megabytes 512]

Writes 000000.tar, ..., manifest.csv (give it where manifests are wanted) and classes.txt. Rerun
the same command to resume where it was interrupted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hiera_video.command import run_command
from hiera_video.config.machinery import CommandLine
from hiera_video.errors import ConfigError
from hiera_video.preparation.pack_shards import MANIFEST_FILE, make_shards
from hiera_video.runtime import progress_bar


def main() -> None:
    parser = CommandLine(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, help="a manifest of files")
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("--root", type=Path, help="where relative paths start")
    parser.add_argument("--url", help="where the shards will be, for the manifest")
    parser.add_argument("--shard-megabytes", type=int, default=512, help="at most (default 512)")
    parser.add_argument("--shard-videos", type=int, default=sys.maxsize, help="at most")
    options = parser.parse_args()
    for name in ("shard_megabytes", "shard_videos"):
        if getattr(options, name) < 1:
            key = name.replace("_", "-")
            raise ConfigError(f"--{key}={getattr(options, name)}: wanted at least 1")
    num_videos, num_shards = make_shards(
        options.manifest,
        options.output_dir,
        root=options.root,
        url=options.url,
        max_bytes=options.shard_megabytes * 1_000_000,
        max_videos=options.shard_videos,
        progress=lambda shards: progress_bar(iterable=shards, desc="pack", unit="shard"),
    )
    print(f"{num_videos} videos in {num_shards} shards  -> {options.output_dir / MANIFEST_FILE}")


if __name__ == "__main__":
    run_command(main)
