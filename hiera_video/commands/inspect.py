"""Look at all videos of a manifest or a folder before anything is trained on them.

hiera-video inspect MANIFEST_OR_FOLDER OUTPUT_DIR [decode=true] [keep_duplicates=true]

Writes videos.parquet (frames, size, rate, codec, duration, rotation, hash of each; what cannot be
read and why; duplicates), clean.csv (a manifest without those) and report.html. Rerun the
same command to resume where it was interrupted.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from hiera_video.config.limits import at_least
from hiera_video.config.machinery import Settings

#: How long a file may take before it counts as one that cannot be read.
_TIMEOUT_SECONDS = 600.0


class InspectData(Settings):
    """How files are looked at."""

    root: Path | None = Field(None, description="folder that relative paths start from")
    num_workers: Annotated[int, at_least(1)] = Field(
        default_factory=lambda: os.cpu_count() or 1,
        description="processes that read; default: one per core",
    )
    timeout_seconds: float = Field(
        _TIMEOUT_SECONDS, description="a file that takes longer counts as one that cannot be read"
    )
    index_dir: Path | None = Field(
        None,
        description="folder that keeps the frames of videos that had to be counted by decoding, "
        "for training",
    )

    @field_validator("timeout_seconds")
    @classmethod
    def _check_timeout(cls, value: float) -> float:
        if not 0 < value < math.inf:
            raise ValueError("wanted a number of seconds above 0")
        return value


class InspectRun(Settings):
    """Inspect videos."""

    positional: ClassVar[tuple[str, ...]] = ("source", "output_dir")
    flags: ClassVar[Mapping[str, str]] = {
        "--root": "data.root",
        "--num-workers": "data.num_workers",
        "--decode": "decode",
        "--keep-duplicates": "keep_duplicates",
        "--timeout-seconds": "data.timeout_seconds",
        "--index-dir": "data.index_dir",
    }

    source: Path = Field(description="a manifest, or a folder of (class) folders")
    output_dir: Path = Field(description="folder that everything is written to")
    decode: bool = Field(False, description="decode every frame: slow, thorough")
    keep_duplicates: bool = Field(False, description="list duplicates, leave them in")
    data: InspectData = Field(default_factory=InspectData)


SETTINGS = InspectRun


def start(run: InspectRun) -> None:
    """Examine every file that was not examined yet; write the table, the manifest, the page."""
    from hiera_video.inspection.run import inspect_videos

    inspect_videos(
        run.source,
        run.output_dir,
        root=run.data.root,
        num_workers=run.data.num_workers,
        decode=run.decode,
        keep_duplicates=run.keep_duplicates,
        timeout_seconds=run.data.timeout_seconds,
        index_dir=run.data.index_dir,
    )
