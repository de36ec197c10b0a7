"""Images that go with clips: which, and in which order."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import pytest

from hiera_video.data.loader import TrainingOrder
from hiera_video.data.paired_loader import ImageOrder

Key = tuple[int, int]


def keys(
    passes: int, num_images: int, batch_size: int, num_processes: int = 1, first_batch: int = 0
) -> list[list[Key]]:
    """Batches of all processes over some passes of 12 clips, 3 batches of 4 each."""
    batches: list[list[Key]] = []
    for number in range(passes):
        orders = []
        for index in range(num_processes):
            clips = TrainingOrder(
                12,
                rows_per_batch=4 // num_processes,
                accumulate_steps=1,
                num_processes=num_processes,
                process_index=index,
                seed=0,
            )
            clips.epoch, clips.first_row = number, first_batch * 4
            clips.first_image = (number * 3 + first_batch) * batch_size
            orders.append(list(ImageOrder(num_images, clips, batch_size // num_processes)))
        batches += [[*chain(*shares)] for shares in zip(*orders, strict=True)]
    return batches


def test_every_batch_of_clips_has_one_of_images() -> None:
    assert [len(batch) for batch in keys(2, num_images=50, batch_size=8)] == [8] * 6


@pytest.mark.parametrize("num_images", [3, 20, 50])
def test_images_come_in_turn_pass_after_pass(num_images: int) -> None:
    """Each once, in an order of its own, before any comes again."""
    flat = [key for batch in keys(5, num_images, batch_size=10) for key in batch]
    assert [epoch for epoch, _ in flat] == [n // num_images for n in range(len(flat))]
    whole = flat[: len(flat) // num_images * num_images]
    assert set(Counter(row for _, row in whole).values()) == {len(flat) // num_images}
    if num_images < 50:
        first, second = ([row for e, row in whole if e == epoch] for epoch in (0, 1))
        assert first != second or num_images == 3


def test_a_resumed_run_and_two_processes_see_the_same_images() -> None:
    assert keys(1, 50, 8, first_batch=2) == keys(1, 50, 8)[2:]
    assert keys(3, 50, 8, num_processes=2) == keys(3, 50, 8)
