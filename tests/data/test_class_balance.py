"""The orders in which classes have shares of their own."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from hiera_video.data.class_balance import ClassBalance, Sampler
from hiera_video.data.loader import TrainingOrder
from hiera_video.seeding import generator

#: 100 rows of class 0, 9 of class 1 and one of class 2.
LABELS = np.repeat([0, 1, 2], [100, 9, 1])


def balance_of(labels: np.ndarray, sampler: Sampler = "balanced") -> ClassBalance:
    balance = ClassBalance.of(labels, sampler)
    assert balance is not None
    return balance


def rows_of(labels: np.ndarray, sampler: Sampler, epoch: int = 0) -> list[int]:
    return [row for row, _ in balance_of(labels, sampler).order(generator(0, epoch))]


@pytest.mark.parametrize(("sampler", "shares"), [("balanced", (1, 1, 1)), ("sqrt", (10, 3, 1))])
def test_a_pass_is_as_long_as_ever_and_classes_have_their_shares(
    sampler: Sampler, shares: tuple[int, ...]
) -> None:
    counts = np.zeros(3)
    for epoch in range(200):
        rows = rows_of(LABELS, sampler, epoch)
        assert len(rows) == 110
        of_class = np.bincount(LABELS[rows], minlength=3)
        wanted = 110 * np.array(shares) / sum(shares)
        assert np.all(np.abs(of_class - wanted) < 1)
        counts += of_class
        of_row = Counter(rows)
        for number in range(3):
            times = [of_row[row] for row in np.flatnonzero(number == LABELS).tolist()]
            assert max(times) - min(times) <= 1
    assert counts / 200 == pytest.approx(wanted, abs=0.2)


def test_an_order_is_a_function_of_seed_and_epoch() -> None:
    assert rows_of(LABELS, "balanced", 1) == rows_of(LABELS, "balanced", 1)
    assert rows_of(LABELS, "balanced", 1) != rows_of(LABELS, "balanced", 2)
    assert ClassBalance.of(LABELS, "uniform") is None


def test_a_row_that_comes_again_is_numbered() -> None:
    order = balance_of(LABELS).order(torch.Generator())
    assert len(set(order)) == len(order)
    last = [before for row, before in order if row == 109]
    assert last == [*range(len(last))]
    assert len(last) in (36, 37)


def test_a_set_counts_for_its_rarest_label_and_nothing_is_a_class() -> None:
    labels = np.zeros((40, 3), bool)
    labels[:30, 0] = True
    labels[20:30, 1] = True
    labels[29:31, 2] = True
    balance = balance_of(labels)
    groups = [range(20), range(20, 29), range(29, 31), range(31, 40)]
    for group in groups:
        assert len({balance.classes[row] for row in group}) == 1
    rows = [row for row, _ in balance.order(torch.Generator())]
    assert [sum(row in group for row in rows) for group in groups] == [10, 10, 10, 10]


@pytest.mark.parametrize("first_row", [0, 12])
def test_processes_share_an_order_and_resume_within_it(first_row: int) -> None:
    def make(processes: int, process: int, batch: int) -> TrainingOrder:
        return TrainingOrder(
            len(LABELS),
            rows_per_batch=batch,
            accumulate_steps=1,
            num_processes=processes,
            process_index=process,
            seed=0,
            balance=balance_of(LABELS),
        )

    whole = [key for batch in make(1, 0, 6).batches(3) for key in batch]
    one, two = (list(make(2, process, 3).batches(3, first_row)) for process in (0, 1))
    shared = [key for pair in zip(one, two, strict=True) for batch in pair for key in batch]
    assert shared == whole[first_row:]
    assert {key[0] for key in whole} == {3}
