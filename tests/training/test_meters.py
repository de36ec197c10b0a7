"""Means over clips, whatever the batches."""

from __future__ import annotations

import math

import pytest
import torch

from hiera_video.training.meters import ClipMean


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
