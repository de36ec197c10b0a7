"""How fast a run trains, and how long it waits for data."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


class Stopwatch:
    """Clips per second, and the share of time spent waiting for data, since the last reading.

    ``pass_wait_share`` is that share over the last whole iteration of :meth:`waiting`.
    """

    pass_wait_share = 0.0

    def __init__(self) -> None:
        self._restart()

    def _restart(self) -> None:
        self._begin = time.perf_counter()
        self._waited = 0.0
        self._clips = 0

    def waiting(self, batches: Iterable[T]) -> Iterator[T]:
        """Iterate over ``batches`` and measure the wait for each one."""
        iterator = iter(batches)
        start, waited = time.perf_counter(), 0.0
        while True:
            begin = time.perf_counter()
            try:
                batch = next(iterator)
            except StopIteration:
                self.pass_wait_share = waited / (begin - start)
                return
            seconds = time.perf_counter() - begin
            waited += seconds
            self._waited += seconds
            yield batch

    def count(self, num_clips: int) -> None:
        """Count clips that were trained on."""
        self._clips += num_clips

    def read(self, num_processes: int) -> dict[str, float]:
        """Figures since the last reading; rates are for all processes together."""
        elapsed = time.perf_counter() - self._begin
        figures = {
            "clips_per_second": self._clips * num_processes / elapsed,
            "data_wait_share": self._waited / elapsed,
        }
        self._restart()
        return figures
