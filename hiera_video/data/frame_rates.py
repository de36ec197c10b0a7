"""When a clip of pictures needs a frame rate, which pictures do not say.

Which frames a clip has is mostly a matter of their numbers. Seconds count where a row of the
manifest names them, where ``clip.frames_per_second`` is set, and in windows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from hiera_video.config.clip_groups import ClipSettings

#: Why pictures cannot be read where seconds count.
NO_FRAME_RATE = (
    "its frames are pictures, which do not say how many a second has; set data.frame_rate"
)


class Segment(Protocol):
    """What a row of a manifest says of seconds."""

    @property
    def start_seconds(self) -> float: ...

    @property
    def end_seconds(self) -> float | None: ...


def counts_seconds(row: Segment, clip: ClipSettings) -> bool:
    """Whether the frames of a row's clips depend on seconds."""
    return bool(row.start_seconds or row.end_seconds is not None or clip.frames_per_second)


def rows_in_question(
    table: pa.Table, clip: ClipSettings | None, suffixes: Iterable[str]
) -> list[int]:
    """The rows of a manifest's table that may be pictures that need a rate: without one of the
    ``suffixes`` of files, and, given ``clip``, with clips that depend on seconds."""
    names = table["member" if "member" in table.column_names else "path"]
    if clip is not None and not clip.frames_per_second:
        starts = pc.fill_null(pc.greater(table["start_seconds"], 0.0), False)
        timed = pc.or_(starts, pc.is_valid(table["end_seconds"]))
        if not pc.any(timed).as_py():
            return []
    else:
        timed = pc.is_valid(names)
    of_file = f"({'|'.join(map(re.escape, suffixes))})$"
    unnamed = pc.invert(pc.match_substring_regex(names, of_file, ignore_case=True))
    rows: list[int] = pc.indices_nonzero(pc.and_(timed, unnamed)).to_pylist()
    return rows
