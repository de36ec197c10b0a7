"""The loop's stopwatch."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from hiera_video.training.trackers import Stopwatch


def slow_batches() -> Iterator[int]:
    for number in range(3):
        time.sleep(0.03)
        yield number


def test_the_share_of_waiting_over_a_whole_pass() -> None:
    stopwatch = Stopwatch()
    for _ in stopwatch.waiting(slow_batches()):
        stopwatch.read(num_processes=1)  # a line of the log does not begin the pass anew
        time.sleep(0.09)
    assert stopwatch.pass_wait_share == pytest.approx(0.25, abs=0.15)
    for _ in stopwatch.waiting(range(3)):
        time.sleep(0.01)
    assert stopwatch.pass_wait_share < 0.1
