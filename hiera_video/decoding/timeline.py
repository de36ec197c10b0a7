"""When the frames of a video are shown."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Timeline:
    """Converts between seconds after the first frame and positions. A position is a frame number
    plus the fraction of that frame's display time that has passed.

    ``ticks``: when frames 0, 1, ... are first shown, and last when the final frame ends, in units
    of ``tick_seconds``; at least two, strictly ascending from 0. Beyond them, frames follow each
    other at the last interval, so two ticks are enough for a constant rate.
    """

    ticks: tuple[int, ...]
    tick_seconds: Fraction

    @classmethod
    def constant(cls, frames_per_second: Fraction) -> Timeline:
        """Evenly spaced frames."""
        return cls((0, 1), 1 / frames_per_second)

    def seconds(self, position: Fraction | int) -> Fraction:
        """The time at which a position is reached."""
        frame = min(int(position), len(self.ticks) - 2)
        begin, end = self.ticks[frame : frame + 2]
        return (begin + (position - frame) * (end - begin)) * self.tick_seconds

    def position(self, seconds: Fraction) -> Fraction:
        """The position that is reached at a time."""
        tick = seconds / self.tick_seconds
        frame = min(bisect_right(self.ticks, tick) - 1, len(self.ticks) - 2)
        begin, end = self.ticks[frame : frame + 2]
        return frame + (tick - begin) / (end - begin)
