"""A limit on the time that a video may take, so that one bad file does not stop a run."""

from __future__ import annotations

import time


class TimeLimit:
    """How long a reader may take to open a video, and then for each frame.

    Readers ask :meth:`check` between packets. It cannot stop a decoder that never comes back from
    its own code: whoever waits for a worker process has to, by ending the process.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = float("inf")

    def start(self) -> None:
        """Count from here on."""
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
