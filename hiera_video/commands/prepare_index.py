"""Write a manifest of tar shards that others made, by the conventions of webdataset.

hiera-video prepare index MANIFEST SHARD [SHARD ...]

A SHARD is a path or a URL; braces stand for several: "https://host/train-{000000..000099}.tar".
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from hiera_video.config.machinery import Settings


class IndexRun(Settings):
    """Index shards."""

    positional: ClassVar[tuple[str, ...]] = ("manifest", "shards")

    manifest: Path = Field(description="the file to write")
    shards: list[str] = Field(description="paths or URLs")


SETTINGS = IndexRun


def start(run: IndexRun) -> None:
    """Write the manifest."""
    from webdataset.shardlists import expand_urls

    from hiera_video.preparation.pack_shards import index_shards
    from hiera_video.runtime import progress_bar

    shards = [url for shard in run.shards for url in expand_urls(shard)]
    num_samples = index_shards(
        shards,
        run.manifest,
        lambda shards: progress_bar(iterable=shards, desc="index", unit="shard"),
    )
    print(f"{num_samples} samples in {len(shards)} shards  -> {run.manifest}")
