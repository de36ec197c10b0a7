"""Images that go with clips: which, and in which order."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from pathlib import Path

import pytest
import torch
from PIL import Image

from hiera_video.batch import ClipBatch, Failure, Notice
from hiera_video.config.clip_groups import AugmentSettings, ClipSettings, ImageSettings
from hiera_video.config.groups import ReadingSettings
from hiera_video.data.dataset import TrainClips
from hiera_video.data.loader import TrainingLoader, TrainingOrder
from hiera_video.data.manifest import Row
from hiera_video.data.paired_loader import ImageOrder, PairedBatch, PairedLoader
from hiera_video.decoding.options import DecodingOptions
from tests.support import coloured_frames, write_video

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
            images = ImageOrder(num_images, batch_size // num_processes, clips)
            first_image = (number * 3 + first_batch) * batch_size
            orders.append(list(images.batches(first_image, clips.num_batches(first_batch * 4))))
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


def rows_and_images(folder: Path) -> tuple[list[Row], list[Row]]:
    """Five videos, of which the last is none, and three images."""
    frames = {name: coloured_frames("red", seed) for seed, name in enumerate("abcd")}
    files = [
        write_video(folder / f"{name}.mp4", frames=picture, frame_rate=12)
        for name, picture in frames.items()
    ]
    (folder / "e.mp4").write_text("not a video")
    pictures = [folder / f"{number}.png" for number in range(3)]
    for number, picture in enumerate(pictures):
        Image.new("RGB", (40, 40), (80 * number, 0, 0)).save(picture)
    videos, images = (
        [Row(index, file.name, file, {"labels": index}, 0.0, None) for index, file in enumerate(of)]
        for of in ([*files, folder / "e.mp4"], pictures)
    )
    return videos, images


def paired_batches(folder: Path, num_workers: int, first_row: int = 0) -> list[PairedBatch]:
    """An epoch of one optimizer step: two batches of two clips, with three images each."""
    videos, images = rows_and_images(folder)
    order = TrainingOrder(
        5, rows_per_batch=1, accumulate_steps=2, num_processes=1, process_index=0, seed=0
    )
    data, cpu = ReadingSettings(num_workers=num_workers), torch.device("cpu")
    clips = [
        TrainClips(rows, clip, AugmentSettings(), DecodingOptions(), 0, repeats)
        for rows, clip, repeats in (
            (videos, ClipSettings(num_frames=2, crop_size=16), 2),
            (images, ImageSettings(crop_size=16), 1),
        )
    ]
    loader = PairedLoader(
        TrainingLoader(clips[0], order, data, cpu), clips[1], ImageOrder(3, 3, order), data, cpu
    )
    assert loader.order is order
    return list(loader.batches(1, first_row, first_image=3 * first_row))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_pairs_have_clips_and_images_and_what_is_said_of_both(
    tmp_path: Path, num_workers: int
) -> None:
    pairs = paired_batches(tmp_path, num_workers)
    assert [len(pair) for pair in pairs] == [len(pair.clips) for pair in pairs]
    assert len(pairs) == 4
    assert [len(pair.images) for pair in pairs] == [3] * 4
    num_clips = [len(pair) for pair in pairs]
    of_steps = [(sum(num_clips[:2]), 6), None, (sum(num_clips[2:]), 6), None]
    assert [pair.of_step for pair in pairs] == of_steps
    for pair in pairs:
        assert pair.rows is pair.clips.rows
        assert pair.failures == pair.clips.failures
        assert pair.clips.targets.get("labels", pair.rows).equal(pair.rows)
        assert pair.images.targets["labels"].equal(pair.images.rows)
        assert sorted(pair.images.rows.tolist()) == [0, 1, 2]
    seen = {row for pair in pairs for row in pair.rows.tolist()}
    assert len(seen) + sum(len(pair.failures) for pair in pairs) == 4
    for whole, rest in zip(pairs[2:], paired_batches(tmp_path, num_workers, 2), strict=True):
        assert rest.clips.pixel_values.equal(whole.clips.pixel_values)
        assert rest.images.pixel_values.equal(whole.images.pixel_values)
        assert rest.of_step == whole.of_step


def test_a_pair_tells_of_images_that_cannot_be_read() -> None:
    failures = [Failure(0, "a.mp4", "broken"), Failure(0, "a.png", "cut off")]
    clips, images = (ClipBatch.of_failure(failure, (3, 1, 8, 8)) for failure in failures)
    notice = Notice(0, "a.mp4", "counted by decoding", "no index")
    clips.notices.append(notice)
    pair = PairedBatch(clips, images)
    assert (len(pair), pair.failures, pair.notices) == (0, failures, [notice])
