"""The list of odd files: every kind of video that the readers must read correctly.

``CORE`` are the kinds that PyAV can make, tested on every machine; ``KINDS`` are all, which needs
the ffmpeg program. ``python -m tests.decoding.kinds_table`` prints the table.
"""

from __future__ import annotations

from tests.decoding import (
    codec_kinds,
    container_kinds,
    core_kinds,
    h264_kinds,
    mpeg_kinds,
    wrong_kinds,
)
from tests.decoding.kind import Kind

CORE: list[Kind] = [*core_kinds.KINDS, *wrong_kinds.KINDS]
KINDS: list[Kind] = [
    *CORE,
    *h264_kinds.KINDS,
    *mpeg_kinds.KINDS,
    *codec_kinds.KINDS,
    *container_kinds.KINDS,
]
