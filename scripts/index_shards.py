"""Write a manifest of tar shards that others made, by the conventions of webdataset.

python scripts/index_shards.py MANIFEST SHARD [SHARD ...]

A SHARD is a path or a URL; braces stand for several: "https://host/train-{000000..000099}.tar".
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hiera_video.command import run_command
from hiera_video.compat import expand_braces
from hiera_video.config.machinery import CommandLine
from hiera_video.preparation.pack_shards import index_shards
from hiera_video.runtime import progress_bar


def main() -> None:
    parser = CommandLine(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, help="the file to write")
    parser.add_argument("shards", nargs="+", metavar="SHARD")
    options = parser.parse_args()
    shards = [url for shard in options.shards for url in expand_braces(shard)]
    num_samples = index_shards(
        shards,
        options.manifest,
        lambda shards: progress_bar(iterable=shards, desc="index", unit="shard"),
    )
    print(f"{num_samples} samples in {len(shards)} shards  -> {options.manifest}")


if __name__ == "__main__":
    run_command(main)
