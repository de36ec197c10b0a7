"""Options of reading videos."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

#: The default time limit.
TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True)
class DecodingOptions:
    """Options of reading videos.

    ``decoder``: pyav, decord or torchcodec. ``timeout_seconds``: the time limit for opening a file,
    and then for each frame. ``index_dir``: the folder that stores the indexes of long files and of
    files whose frames were counted by decoding, so that no file is counted twice; None stores none.
    ``square_pixels``: whether frames whose pixels are not square are stretched in width.
    ``frame_rate``: frames per second of folders and archives of pictures; None if nobody said.
    """

    decoder: str = "pyav"
    timeout_seconds: float = TIMEOUT_SECONDS
    index_dir: Path | None = None
    square_pixels: bool = False
    frame_rate: Fraction | None = None
