"""When the frames of a video are shown."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Timeline:
    """Seconds after the first frame, and positions: frame numbers, with the part of a frame's time
    that has passed as their fraction.

    ``ticks``: when frames 0, 1, ... are shown, and when the last one no longer is, in units of
    ``tick_seconds``: two at least, strictly ascending from 0. After the last two of them, frames
    follow each other as these do, so that two are enough where the rate is constant.
    """

    ticks: tuple[int, ...]
    tick_seconds: Fraction

    @classmethod
    def constant(cls, frames_per_second: Fraction) -> Timeline:
        """Evenly spaced frames."""
        return cls((0, 1), 1 / frames_per_second)

    def seconds(self, position: Fraction | int) -> Fraction:
        """When a position is reached."""
        frame = min(int(position), len(self.ticks) - 2)
        begin, end = self.ticks[frame : frame + 2]
        return (begin + (position - frame) * (end - begin)) * self.tick_seconds

    def position(self, seconds: Fraction) -> Fraction:
        """Which frame is shown then, and how much of its time has passed."""
        tick = seconds / self.tick_seconds
        frame = min(bisect_right(self.ticks, tick) - 1, len(self.ticks) - 2)
        begin, end = self.ticks[frame : frame + 2]
        return frame + (tick - begin) / (end - begin)
