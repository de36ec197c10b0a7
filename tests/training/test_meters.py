"""Means over clips, whatever the batches."""

from __future__ import annotations

import math

import pytest
import torch

from hiera_video.training.meters import ClipMean, Meters


def test_batches_count_by_their_clips_and_a_reading_starts_anew() -> None:
    mean = ClipMean(torch.device("cpu"))
    mean.update(torch.tensor(1.0), 3)
    mean.update(torch.tensor(5.0), 1)
    assert mean.read() == pytest.approx(2.0)
    mean.update(torch.tensor(7.0), 2)
    assert mean.read() == pytest.approx(7.0)


@pytest.mark.filterwarnings("error")
def test_without_clips_there_is_no_mean() -> None:
    assert ClipMean(torch.device("cpu")).read() is None


def test_a_value_that_is_no_number_is_not_hidden() -> None:
    mean = ClipMean(torch.device("cpu"))
    mean.update(torch.tensor(1.0), 1)
    mean.update(torch.tensor(math.nan), 1)
    assert math.isnan(mean.read() or 0.0)


CPU = torch.device("cpu")


def test_what_was_counted_goes_on_in_the_next_run() -> None:
    meters, others = (Meters(["loss", "accuracy"], CPU) for _ in range(2))
    meters.update({"loss": (torch.tensor(0.1), 3), "accuracy": (torch.tensor(0.7), 3)})
    tallies = meters.read_tallies(5)
    assert others.restore_tallies(tallies, num_processes=1, process_index=0) == 5
    assert others.read() == meters.read() == pytest.approx({"loss": 0.1, "accuracy": 0.7})
    assert meters.read() == {}


def test_the_first_of_other_processes_takes_over_what_was_counted() -> None:
    tallies = [[1.0, 2.0, 1.0], [3.0, 2.0, 0.0]]
    counted, failed = [], []
    for process in range(3):
        meters = Meters(["loss"], CPU)
        failed.append(meters.restore_tallies(tallies, num_processes=3, process_index=process))
        counted.append(meters.read_tallies(0))
    assert counted == [[[4, 4, 0]], [[0, 0, 0]], [[0, 0, 0]]]
    assert failed == [1, 0, 0]
