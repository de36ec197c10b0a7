"""A time limit for reading a video, so that one bad file does not block a run."""

from __future__ import annotations

import time


class TimeLimit:
    """The time a reader may take to open a video, and then for each frame.

    Readers call :meth:`check` between packets. The limit cannot interrupt a decoder that hangs in
    native code; only the process that supervises the worker can, by killing it.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = float("inf")

    def start(self) -> None:
        """Start, or restart, the clock."""
        self._end = time.monotonic() + self.seconds

    def check(self) -> None:
        """Raises:
        TimeoutError: past the limit.
        """
        if time.monotonic() > self._end:
            raise TimeoutError(self.reason)

    @property
    def reason(self) -> str:
        return f"no frame came within {self.seconds:g} s"
