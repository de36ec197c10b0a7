"""How videos are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: How long a video may keep its reader waiting, where nothing else is said.
TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True)
class DecodingOptions:
    """How videos are read.

    ``decoder``: pyav, decord or torchcodec. ``timeout_seconds``: how long opening a file may take,
    and then each frame. ``index_dir``: the folder in which the indexes of files are kept whose
    frames were counted by decoding (and of long ones), so that no file is counted twice; None keeps
    none. ``square_pixels``: whether pictures whose pixels are not square are stretched in width.
    """

    decoder: str = "pyav"
    timeout_seconds: float = TIMEOUT_SECONDS
    index_dir: Path | None = None
    square_pixels: bool = False
