"""Gradients of whole optimizer steps are means over clips, against gradients computed by hand.

Real runs of plain gradient descent: weights after two steps tell the gradient of each.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiera_video.batch import ClipBatch
from hiera_video.config.machinery import parse_settings
from hiera_video.data.dataset import TrainClips
from hiera_video.data.loader import TrainingOrder
from hiera_video.data.paired_loader import ImageOrder
from hiera_video.decoding.options import DecodingOptions
from hiera_video.models.classification import HieraForVideoClassification
from hiera_video.models.joint import HieraForJointTraining
from hiera_video.models.mae import HieraForPreTraining
from hiera_video.seeding import derive_seed
from hiera_video.training.run import pretrain, train
from hiera_video.training.settings import PretrainRun, TrainingRun, TrainRun
from hiera_video.training.sides import build_classifier, build_pretraining_model, image_run
from tests.forked import start_forked
from tests.support import (
    TINY_ARGUMENTS,
    TINY_CLIP,
    TINY_PRETRAINING_ARGUMENTS,
    TinyDataset,
    forget_accelerator,
    open_labelled,
    read_manifest,
    write_manifest,
)

#: Videos of a step, and of a pass: two steps, and one video that fills no third.
STEP, PASS = 8, 17
RATE = 0.02
#: Rows that cannot be read. The steps are 3 0 15 12 11 4 9 5 and 14 8 6 13 16 2 7 10: of the first,
#: two neighbours and one more fail; of images, others.
UNREADABLE = (3, 0, 12, 16)
UNREADABLE_IMAGES = (15, 14, 8)


@dataclass
class Damaged:
    """A manifest of videos, or images, some of which cannot be read."""

    path: Path

    def clips(self, run: TrainingRun, keys: Sequence[tuple[int, ...]]) -> ClipBatch:
        """The clips that can be read of those that ``keys`` name."""
        dataset = TrainClips(
            open_labelled(self.path)[0],
            run.clip,
            run.augment,
            DecodingOptions(),
            0,
            run.train.repeated_sampling,
        )
        return ClipBatch.concatenate([dataset[key] for key in keys])


def damage(dataset: TinyDataset, unreadable: Container[int], folder: Path) -> Damaged:
    rows = []
    for row, (path, label) in enumerate(read_manifest(dataset.train)[:PASS]):
        file = dataset.folder / path
        if row in unreadable:
            file = folder / f"bad{file.suffix}"
            file.write_bytes(b"nothing that can be read")
        rows.append((file, label))
    (folder / "classes.txt").write_text((dataset.folder / "classes.txt").read_text())
    return Damaged(write_manifest(folder / f"{dataset.folder.name}.csv", rows))


@pytest.fixture
def videos(tiny_dataset: TinyDataset, tmp_path: Path) -> Damaged:
    return damage(tiny_dataset, UNREADABLE, tmp_path)


def settings(videos: Damaged, output_dir: Path, *more: str) -> list[str]:
    return [
        f"data.train.manifest={videos.path}",
        f"output_dir={output_dir}",
        "data.num_workers=0",
        "data.on_error=skip",
        "data.max_failed_share=1",
        "optimizer.name=sgd",
        "optimizer.momentum=0",
        "optimizer.weight_decay=0",
        f"optimizer.lr={RATE}",
        f"optimizer.min_lr={RATE}",
        "trackers=[]",
        *more,
    ]


def step_rows(number: int) -> list[int]:
    """The rows of a step of the first pass, whatever the batches."""
    generator = torch.Generator().manual_seed(derive_seed(0, 0))
    return torch.randperm(PASS, generator=generator).tolist()[number * STEP : (number + 1) * STEP]


def descend(model: nn.Module, loss: Callable[[int], Tensor]) -> None:
    """Two steps of plain gradient descent."""
    for number in range(2):
        model.zero_grad()
        loss(number).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.sub_(parameter.grad, alpha=RATE)


def assert_same(trained: nn.Module, expected: nn.Module, start: nn.Module) -> None:
    before, now = start.state_dict(), trained.state_dict()
    moved = 0.0
    for name, tensor in expected.state_dict().items():
        difference = (now[name] - tensor).abs().max().item()
        assert difference <= 1e-7, (name, difference)
        moved = max(moved, (tensor - before[name]).abs().max().item())
    assert moved > 5e-4


@pytest.mark.parametrize(
    ("num_processes", "videos_per_batch", "accumulate_steps", "repeats"),
    [(1, 8, 1, 1), (1, 4, 2, 2), (1, 1, 8, 1), (2, 4, 1, 1), (2, 2, 2, 2), (2, 1, 4, 1)],
)
def test_a_step_is_the_mean_over_its_clips(
    videos: Damaged,
    tmp_path: Path,
    num_processes: int,
    videos_per_batch: int,
    accumulate_steps: int,
    repeats: int,
) -> None:
    """Some batches have no clip at all, and processes have different numbers of clips."""
    arguments = settings(
        videos,
        tmp_path / "run",
        *TINY_ARGUMENTS,
        f"train.epochs={repeats}",
        f"train.repeated_sampling={repeats}",
        f"train.batch_size={videos_per_batch * repeats}",
        f"train.accumulate_steps={accumulate_steps}",
    )
    process = start_forked("train", arguments, tmp_path / "log", num_processes)
    assert process.wait() == [0] * num_processes, process.output

    run = parse_settings(TrainRun, arguments)
    classes = open_labelled(videos.path)[1].classes
    expected = build_classifier(run, classes, None).train()

    def loss(number: int) -> Tensor:
        batch = videos.clips(run, [(0, row) for row in step_rows(number)])
        num_readable = STEP - sum(row in UNREADABLE for row in step_rows(number))
        assert 0 < len(batch) == num_readable * repeats < STEP * repeats
        pixels = batch.normalized(torch.device("cpu"), run.clip.mean, run.clip.std)
        return F.cross_entropy(expected(pixels).logits, batch.targets["labels"])

    descend(expected, loss)
    trained = HieraForVideoClassification.from_pretrained(tmp_path / "run" / "last")
    assert_same(trained, expected, build_classifier(run, classes, None))


def test_clipping_sees_the_gradient_of_the_mean(
    videos: Damaged, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """Each of the two steps moves the weights by the norm that is left."""
    common = [*TINY_ARGUMENTS, f"init_from={tiny_checkpoint}", "train.epochs=1"]
    common += ["train.clip_grad_norm=0.1", "train.log_steps=1"]
    models = []
    for batch_size in (8, 2):
        folder = tmp_path / f"{batch_size}"
        batches = [f"train.batch_size={batch_size}", f"train.accumulate_steps={8 // batch_size}"]
        forget_accelerator()
        train(parse_settings(TrainRun, settings(videos, folder, *common, *batches)))
        models.append(HieraForVideoClassification.from_pretrained(folder / "last"))
    start = HieraForVideoClassification.from_pretrained(tiny_checkpoint)
    assert_same(models[1], models[0], start)


def test_pretraining(videos: Damaged, tmp_path: Path) -> None:
    """Masks are drawn batch by batch: what a batch adds counts by its clips."""
    small = [*TINY_PRETRAINING_ARGUMENTS, "train.epochs=1", "train.batch_size=2"]
    arguments = settings(videos, tmp_path / "run", *small, "train.accumulate_steps=4")
    run = parse_settings(PretrainRun, arguments)
    expected = build_pretraining_model(run, None).train()
    pretrain(run)

    def loss(number: int) -> Tensor:
        sums, num_clips = torch.zeros(()), 0
        for place in range(4):
            rows = step_rows(number)[2 * place : 2 * place + 2]
            batch = videos.clips(run, [(0, row) for row in rows])
            torch.manual_seed(derive_seed(0, 0, 4 * number + place, 0))
            if len(batch):
                pixels = batch.normalized(torch.device("cpu"), run.clip.mean, run.clip.std)
                sums = sums + expected(pixels).loss * len(batch)
                num_clips += len(batch)
        return sums / num_clips

    descend(expected, loss)
    trained = HieraForPreTraining.from_pretrained(tmp_path / "run" / "last")
    assert_same(trained, expected, build_pretraining_model(run, None))


@pytest.mark.parametrize("num_processes", [1, 2])
def test_clips_and_images_are_means_of_their_own(
    videos: Damaged,
    tiny_images: TinyDataset,
    tmp_path: Path,
    num_processes: int,
) -> None:
    images = damage(tiny_images, UNREADABLE_IMAGES, tmp_path)
    arguments = settings(
        videos,
        tmp_path / "run",
        *TINY_ARGUMENTS,
        f"images.train.manifest={images.path}",
        f"images.clip.crop_size={TINY_CLIP['crop_size']}",
        f"images.batch_size={4 // num_processes}",
        "images.loss_weight=0.5",
        "train.epochs=1",
        f"train.batch_size={4 // num_processes}",
        "train.accumulate_steps=2",
        "optimizer.lr=1e-30",
        "optimizer.min_lr=0",
    )
    # The start, as the run itself has it: at that rate nothing moves.
    train(parse_settings(TrainRun, [*arguments, f"output_dir={tmp_path / 'start'}", *ALONE]))
    expected = load_joint(tmp_path / "start")
    arguments += [f"optimizer.lr={RATE}", f"optimizer.min_lr={RATE}"]
    process = start_forked("train", arguments, tmp_path / "log", num_processes)
    assert process.wait() == [0] * num_processes, process.output

    run = parse_settings(TrainRun, [*arguments, *ALONE])
    of_images = image_run(run, None)
    order = TrainingOrder(
        PASS, rows_per_batch=4, accumulate_steps=2, num_processes=1, process_index=0, seed=0
    )
    image_keys = list(ImageOrder(PASS, 4, order).batches(0, order.num_batches()))

    def mean(data: Damaged, of: TrainingRun, keys: Sequence[tuple[int, ...]]) -> Tensor:
        batch = data.clips(of, keys)
        assert len(batch) > 0
        pixels = batch.normalized(torch.device("cpu"), of.clip.mean, of.clip.std)
        return F.cross_entropy(expected(pixels).logits, batch.targets["labels"])

    def loss(number: int) -> Tensor:
        clips = mean(videos, run, [(0, row) for row in step_rows(number)])
        keys = image_keys[2 * number] + image_keys[2 * number + 1]
        return clips + 0.5 * mean(images, of_images, keys)

    descend(expected, loss)
    assert_same(load_joint(tmp_path / "run"), expected, load_joint(tmp_path / "start"))


#: The batches of a single process.
ALONE = ["images.batch_size=4", "train.batch_size=4"]


def load_joint(output_dir: Path) -> HieraForJointTraining:
    return HieraForJointTraining.from_pretrained(output_dir / "last")
