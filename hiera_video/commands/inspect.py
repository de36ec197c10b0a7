"""Look at all videos of a manifest or a folder before anything is trained on them.

hiera-video inspect MANIFEST_OR_FOLDER OUTPUT_DIR [decode=true] [keep_duplicates=true]

Writes videos.parquet (frames, size, rate, codec, duration, rotation, hash of each; what cannot be
read and why; duplicates), clean.csv (a manifest without those) and report.html. Rerun the
same command to resume where it was interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from hiera_video.config.groups import InspectData
from hiera_video.config.machinery import Settings


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
        run.data,
        decode=run.decode,
        keep_duplicates=run.keep_duplicates,
    )
