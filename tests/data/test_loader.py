"""Order and division over processes."""

from __future__ import annotations

import os

import pytest

from hiera_video.config.groups import ReadingSettings
from hiera_video.data.loader import (
    TrainingOrder,
    evaluation_order,
    extraction_order,
    faster_loading,
)
from hiera_video.errors import ConfigError


def make_order(
    num_rows: int,
    *,
    batch: int = 2,
    process: int = 0,
    processes: int = 1,
    accumulate_steps: int = 1,
) -> TrainingOrder:
    return TrainingOrder(
        num_rows,
        rows_per_batch=batch,
        accumulate_steps=accumulate_steps,
        num_processes=processes,
        process_index=process,
        seed=0,
    )


def test_an_epoch_is_a_permutation_and_each_epoch_another() -> None:
    order = make_order(10)
    rows = []
    for epoch in range(2):
        order.epoch = epoch
        keys = [key for batch in order for key in batch]
        assert {key[0] for key in keys} == {epoch}
        rows.append([key[1] for key in keys])
        assert sorted(rows[-1]) == list(range(10))
    assert rows[0] != rows[1]


def test_rows_that_do_not_fill_a_step_are_left_out() -> None:
    assert len(list(make_order(11, batch=2, accumulate_steps=2))) == 4
    assert make_order(11, batch=2, accumulate_steps=2).steps_per_epoch == 2


def test_processes_share_the_same_steps() -> None:
    alone = [{key[1] for key in batch} for batch in make_order(12, batch=4)]
    pairs = zip(
        *(make_order(12, batch=2, processes=2, process=process) for process in (0, 1)), strict=True
    )
    assert alone == [{key[1] for key in first + second} for first, second in pairs]


def test_going_on_gives_the_rest_of_the_epoch() -> None:
    whole = list(make_order(10))
    order = make_order(10)
    order.first_row = 6
    assert order.first_batch == 3
    assert list(order) == whole[3:]
    assert len(order) == 2


def test_other_batches_and_processes_go_on_with_the_same_video() -> None:
    """After 6 of 20 rows: two processes with batches of 3 take rows 6 to 18; 2 fill no step."""
    rows = [key[1] for batch in make_order(20) for key in batch]
    shares = []
    for process in (0, 1):
        order = make_order(20, batch=3, processes=2, process=process)
        order.first_row = 6
        assert len(order) == 2
        shares.append([[key[1] for key in batch] for batch in order])
    together = [row for step in zip(*shares, strict=True) for batch in step for row in batch]
    assert together == rows[6:18]


def test_too_few_videos_are_refused_with_the_sum() -> None:
    with pytest.raises(ConfigError, match="7 training videos do not fill one step of 8"):
        make_order(7, batch=2, processes=2, accumulate_steps=2)


@pytest.mark.parametrize("num_processes", [1, 2, 3])
def test_every_row_is_evaluated_once_in_the_same_batches(num_processes: int) -> None:
    shares = [evaluation_order(11, 4, num_processes, index) for index in range(num_processes)]
    batches = sorted(batch for share in shares for batch in share)
    assert batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]


@pytest.mark.parametrize(
    ("num_rows", "group_size"), [(1, 1), (511, 1), (512, 2), (600, 2), (2048, 8), (100_000, 8)]
)
def test_rows_are_extracted_once_in_groups_that_do_not_depend_on_processes(
    num_rows: int, group_size: int
) -> None:
    rows = list(range(0, 2 * num_rows, 2))
    whole = extraction_order(rows, 8, 1, 0)
    assert [row for group in whole for row in group] == rows
    assert max(len(group) for group in whole) == group_size
    shares = [extraction_order(rows, 8, 3, index) for index in range(3)]
    assert sorted(group for share in shares for group in share) == whole
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_advice_where_training_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    assert faster_loading(ReadingSettings(num_workers=2), repeats=1, num_processes=2) == (
        "raise data.num_workers (2 x 2 processes, on 16 cores) or train.repeated_sampling "
        "(1 of each decoded video)"
    )
    assert faster_loading(ReadingSettings(num_workers=8), repeats=2, num_processes=2) == (
        "all 16 cores read; raise train.repeated_sampling (2 of each decoded video), or store "
        "smaller videos"
    )
