"""Put the videos of a manifest into tar shards, for object stores and busy file systems.

hiera-video prepare shards MANIFEST OUTPUT_DIR [url=URL] [shard_megabytes=512]

Writes 000000.tar, ..., manifest.csv (give it where manifests are wanted) and classes.txt. Rerun
the same command to resume where it was interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from hiera_video.config.limits import at_least
from hiera_video.config.machinery import Settings


class ShardsRun(Settings):
    """Pack shards."""

    positional: ClassVar[tuple[str, ...]] = ("manifest", "output_dir")
    flags: ClassVar[Mapping[str, str]] = {
        "--root": "root",
        "--url": "url",
        "--shard-megabytes": "shard_megabytes",
        "--shard-videos": "shard_videos",
    }

    manifest: Path = Field(description="a manifest of files")
    output_dir: Path = Field(description="folder that everything is written to")
    root: Path | None = Field(None, description="folder that relative paths start from")
    url: str | None = Field(None, description="where the shards will be, for the manifest")
    shard_megabytes: Annotated[int, at_least(1)] = Field(512, description="at most")
    shard_videos: Annotated[int, at_least(1)] | None = Field(
        None, description="at most; default: as many as fit"
    )


SETTINGS = ShardsRun


def start(run: ShardsRun) -> None:
    """Write the shards that are not there yet, and a manifest of all."""
    from hiera_video.preparation.pack_shards import MANIFEST_FILE, ShardLayout, make_shards
    from hiera_video.runtime import progress_bar

    max_videos = run.shard_videos or sys.maxsize
    num_videos, num_shards = make_shards(
        run.manifest,
        run.output_dir,
        ShardLayout(run.shard_megabytes * 1_000_000, max_videos, run.url),
        root=run.root,
        progress=lambda shards: progress_bar(iterable=shards, desc="pack", unit="shard"),
    )
    print(f"{num_videos} videos in {num_shards} shards  -> {run.output_dir / MANIFEST_FILE}")
