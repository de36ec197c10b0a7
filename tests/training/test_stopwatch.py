"""The loop's stopwatch, by a clock that the test turns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hiera_video.training import stopwatch
from hiera_video.training.stopwatch import Stopwatch


class Clock:
    """Stands for the module ``time``."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def perf_counter(self) -> float:
        return self.seconds

    def batches(self, number: int, wait_seconds: float) -> Iterator[int]:
        """Batches that each take this long to come."""
        for batch in range(number):
            self.seconds += wait_seconds
            yield batch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(stopwatch, "time", clock)
    return clock


def test_the_share_of_waiting_over_a_whole_pass(clock: Clock) -> None:
    stopwatch = Stopwatch()
    clock.seconds += 50  # between passes nothing counts
    for _ in stopwatch.waiting(clock.batches(3, wait_seconds=1)):
        stopwatch.read(num_processes=1)  # a line of the log does not begin the pass anew
        clock.seconds += 3
    assert stopwatch.pass_wait_share == 0.25
    for _ in stopwatch.waiting(clock.batches(3, wait_seconds=2)):
        clock.seconds += 2
    assert stopwatch.pass_wait_share == 0.5


def test_figures_since_the_last_reading(clock: Clock) -> None:
    stopwatch = Stopwatch()
    figures = []
    for batch in stopwatch.waiting(clock.batches(4, wait_seconds=1)):
        stopwatch.count(6)
        clock.seconds += 3
        if batch % 2:
            figures.append(stopwatch.read(num_processes=1))
            clock.seconds += 4
    assert figures == [
        {"clips_per_second": 12 / 8, "data_wait_share": 2 / 8},
        {"clips_per_second": 12 / 12, "data_wait_share": 2 / 12},
    ]


def test_clips_of_all_processes_count(clock: Clock) -> None:
    stopwatch = Stopwatch()
    stopwatch.count(6)
    clock.seconds += 4
    assert stopwatch.read(num_processes=2) == {"clips_per_second": 3.0, "data_wait_share": 0.0}
