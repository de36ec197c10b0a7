"""Write a checkpoint in another layout.

hiera-video convert CHECKPOINT TARGET_DIR [layout=transformers]
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from hiera_video.config.machinery import Settings

#: The names of the layouts, ``hiera_video.models.layouts.LAYOUTS``.
Layout = Literal["hiera_video", "transformers", "official", "timm"]


class ConvertRun(Settings):
    """Convert a checkpoint."""

    positional: ClassVar[tuple[str, ...]] = ("source", "target_dir")
    flags: ClassVar[Mapping[str, str]] = {"--layout": "layout"}

    source: str = Field(description="directory, file or hub id")
    target_dir: Path = Field(description="folder to write to; made if missing")
    layout: Layout = "hiera_video"


SETTINGS = ConvertRun


def start(run: ConvertRun) -> None:
    """Write the checkpoint; print what was written, one file a line."""
    from hiera_video.models.convert import convert

    for path in convert(run.source, run.target_dir, run.layout):
        print(f"{path} ({path.stat().st_size:,} bytes)")
