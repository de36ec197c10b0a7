"""The table of odd files: every kind of video that the readers are held to.

``CORE`` is what PyAV can make, so that it is tested wherever the package is; ``KINDS`` is all, for
which the ffmpeg program must be there. ``python -m tests.decoding.kinds_table`` prints the table.
"""

from __future__ import annotations

from tests.decoding import core_kinds, program_kinds
from tests.decoding.kind import Kind

CORE: list[Kind] = core_kinds.KINDS
KINDS: list[Kind] = [*CORE, *program_kinds.KINDS]
