"""Images and clips in turns through one encoder, by the real scripts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import Tensor, nn

from hiera_video import HieraForImageClassification, HieraForVideoClassification
from hiera_video.batch import ClipBatch, Failure
from hiera_video.commands.evaluate import EvaluateRun
from hiera_video.commands.evaluate import start as evaluate
from hiera_video.config.clip_groups import ClipSettings
from hiera_video.config.machinery import load_yaml, parse_settings
from hiera_video.data.paired_loader import PairedBatch
from hiera_video.errors import ConfigError
from hiera_video.models.preprocessor import load_preprocessor
from hiera_video.tasks.joint import JointTask
from hiera_video.tasks.step_shares import StepShares
from hiera_video.tasks.task import BatchLoss, Task
from hiera_video.training.run import pretrain, train
from hiera_video.training.saving import Checkpoints
from hiera_video.training.settings import PretrainRun, TrainRun
from hiera_video.training.sides import image_run
from tests.forked import run_forked, start_forked
from tests.support import (
    TINY_ARGUMENTS,
    TINY_IMAGE,
    TinyDataset,
    copy_dataset,
    forget_accelerator,
    logged,
    read_manifest,
    succeed,
    weights,
)


def arguments(videos: TinyDataset, images: TinyDataset, output_dir: Path, *more: str) -> list[str]:
    return [
        *TINY_ARGUMENTS,
        f"data.train.manifest={videos.train}",
        f"images.train.manifest={images.train}",
        f"images.clip.crop_size={TINY_IMAGE['crop_size']}",
        f"output_dir={output_dir}",
        "images.batch_size=4",
        "data.num_workers=0",
        "train.batch_size=6",
        "train.log_steps=3",
        "optimizer.lr=3e-3",
        *more,
    ]


@pytest.fixture(scope="module")
def joint(
    tiny_dataset: TinyDataset, tiny_images: TinyDataset, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Four epochs of clips, with two thirds as many images."""
    output_dir = tmp_path_factory.mktemp("joint") / "run"
    validation = [
        f"data.val.manifest={tiny_dataset.val}",
        f"images.val.manifest={tiny_images.val}",
    ]
    result = run_forked(
        "train",
        *arguments(tiny_dataset, tiny_images, output_dir, *validation),
        "train.epochs=4",
        "data.num_workers=1",
    )
    assert "images     36 images, 3 classes; 4 with each of the 1 batches" in succeed(result)
    assert "image_top1" in result.stdout
    return output_dir


def test_both_losses_fall(joint: Path) -> None:
    for name in ("train/loss", "train/image_loss"):
        losses = logged(joint, name)
        assert len(losses) == 8
        assert losses[-1] < 0.7 * losses[0]
    assert logged(joint, "val/top1")[-1] >= 0.9
    assert logged(joint, "val/image_top1")[-1] >= 0.9


def test_the_encoder_is_shared_and_embeddings_are_not(joint: Path) -> None:
    of_clips, of_images = weights(joint), weights(joint, "images")
    encoder = [name for name in of_clips if name.startswith(("hiera.encoder.", "hiera.norm."))]
    assert len(encoder) > 40
    assert all(of_clips[name].equal(of_images[name]) for name in encoder)
    for name in ("hiera.patch_embedding.projection.weight", "classifier.weight"):
        one, other = of_clips[name], of_images[name]
        assert one.shape != other.shape or not one.equal(other)


def test_the_best_checkpoint_is_a_model_of_clips_with_one_of_images_in_it(
    joint: Path, tiny_dataset: TinyDataset, tiny_images: TinyDataset, tmp_path: Path
) -> None:
    for kind, folder, dataset, frames in (
        (HieraForVideoClassification, joint / "best", tiny_dataset, 4),
        (HieraForImageClassification, joint / "best" / "images", tiny_images, 1),
    ):
        model: Any = kind.from_pretrained(folder)
        assert load_preprocessor(model).num_frames == frames
        run = EvaluateRun(
            checkpoint=str(folder),
            output_dir=tmp_path / str(frames),
            data={"val": {"manifest": dataset.val}, "num_workers": 0},
        )
        assert evaluate(run)["top1"] >= 0.9
        forget_accelerator()


def test_an_interrupted_run_goes_on_to_the_same_weights(
    tiny_dataset: TinyDataset,
    tiny_images: TinyDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    more = ["train.epochs=2", "train.checkpoint_steps=4", "train.ema_decay=0.9"]
    save = Checkpoints.save

    def save_and_stop(self: Checkpoints, *values: Any) -> None:
        save(self, *values)
        self.wait()
        raise KeyboardInterrupt

    def run(name: str) -> TrainRun:
        folder = tmp_path / name
        return parse_settings(TrainRun, arguments(tiny_dataset, tiny_images, folder, *more))

    monkeypatch.setattr(Checkpoints, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        train(run("broken"))
    monkeypatch.undo()
    for name in ("broken", "whole"):
        forget_accelerator()
        train(run(name))
    for part in (".", "images"):
        one, other = weights(tmp_path / "broken", part), weights(tmp_path / "whole", part)
        assert all(one[name].equal(other[name]) for name in one)


def test_two_processes_come_to_the_weights_of_one(
    tiny_dataset: TinyDataset, tiny_images: TinyDataset, tmp_path: Path
) -> None:
    def values(name: str, *more: str) -> list[str]:
        slow = ["train.epochs=1", "optimizer.lr=1e-4", *more]
        return arguments(tiny_dataset, tiny_images, tmp_path / name, *slow)

    share = ["train.batch_size=3", "images.batch_size=2"]
    both = start_forked("train", values("two", *share), tmp_path / "log", num_processes=2)
    assert both.wait() == [0, 0], both.output
    train(parse_settings(TrainRun, values("one")))
    for part in (".", "images"):
        one, two = weights(tmp_path / "one", part), weights(tmp_path / "two", part)
        assert max((one[name] - two[name]).abs().max() for name in one) < 2e-5


class FixedLoss(Task):
    """A task whose loss is the same for every batch of its own kind."""

    def __init__(self, value: float, batch: ClipBatch, batch_size: int) -> None:
        super().__init__(ClipSettings(), batch_size)
        self.value = value
        self.batch = batch

    def losses(self, *_: object) -> dict[str, Tensor]:
        raise NotImplementedError

    def batch_loss(self, _: nn.Module, batch: ClipBatch) -> BatchLoss:
        assert batch is self.batch
        value = torch.tensor(self.value)
        return BatchLoss(value, {"loss": (value, 2)})


def test_the_loss_of_images_is_weighted() -> None:
    images = ClipBatch.of_failure(Failure(0, "0.jpg", ""), (3, 1, 32, 32))
    clips = ClipBatch.of_failure(Failure(0, "0.mp4", ""), (3, 4, 32, 32))
    shares = StepShares(Accelerator(cpu=True), "skip")
    task = JointTask(FixedLoss(3.0, clips, 3), FixedLoss(8.0, images, 2), 0.25, 2, shares)
    loss = task.batch_loss(nn.Identity(), PairedBatch(clips, images, None))
    assert loss.total.item() == 3.0 + 0.25 * 8.0
    assert task.logged == tuple(loss.means) == ("loss", "image_loss")
    # The gradient will be divided by 3 / 6: images make up for that.
    loss = task.batch_loss(nn.Identity(), PairedBatch(clips, images, (3, 1)))
    assert loss.total.item() == 3.0 + 0.25 * 8.0 * (3 / 6) / (1 / 4)


def test_the_weight_is_that_of_the_settings(
    tiny_dataset: TinyDataset,
    tiny_images: TinyDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights_given = []

    def end(task: JointTask, *_: object) -> Tensor:
        weights_given.append(task.image_loss_weight)
        raise KeyboardInterrupt

    monkeypatch.setattr(JointTask, "batch_loss", end)
    weighted = arguments(tiny_dataset, tiny_images, tmp_path, "images.loss_weight=0.25")
    with pytest.raises(KeyboardInterrupt):
        train(parse_settings(TrainRun, weighted))
    assert weights_given == [0.25]


def test_clips_train_on_where_images_fail(
    tiny_dataset: TinyDataset, tiny_images: TinyDataset, tmp_path: Path
) -> None:
    """With one image per batch, a bad one is all of them."""
    images = copy_dataset(tiny_images, tmp_path / "images")
    bad = images.folder / read_manifest(images.train)[0][0]
    bad.write_bytes(b"")
    more = ["train.epochs=6", "data.on_error=skip", "images.batch_size=1", "train.log_steps=1"]
    train(parse_settings(TrainRun, arguments(tiny_dataset, images, tmp_path / "run", *more)))
    (line,) = (tmp_path / "run" / "skipped.jsonl").read_text().splitlines()
    assert json.loads(line)["path"] == str(bad)
    assert len(logged(tmp_path / "run", "train/loss")) == 36
    assert len(logged(tmp_path / "run", "train/image_loss")) == 35


def test_joint_pretraining(
    tiny_dataset: TinyDataset, tiny_images: TinyDataset, tmp_path: Path
) -> None:
    decoder = {"hidden_size": 16, "depth": 1, "num_heads": 2}
    more = [
        *(f"model.decoder_{key}={value}" for key, value in decoder.items()),
        "clip.crop_size=64",
        "images.clip.crop_size=64",
        "model.mask_ratio=0.5",
        "images.model.mask_ratio=0.25",
        "train.epochs=6",
    ]
    run = parse_settings(PretrainRun, arguments(tiny_dataset, tiny_images, tmp_path, *more))
    pretrain(run)
    for name in ("train/loss", "train/image_loss"):
        assert logged(tmp_path, name)[-1] < logged(tmp_path, name)[0]
    of_clips, of_images = weights(tmp_path), weights(tmp_path, "images")
    name = "hiera.encoder.stages.0.0.mlp.fc1.weight"
    assert of_clips[name].equal(of_images[name])
    config = json.loads((tmp_path / "last" / "images" / "config.json").read_text())
    assert (config["mask_ratio"], config["image_size"]) == (0.25, [64, 64])


def test_joint_training_from_a_model_of_images(
    joint: Path, tiny_dataset: TinyDataset, tiny_images: TinyDataset, tmp_path: Path
) -> None:
    """The clips get it inflated, the images as it is, classifier and all."""
    start = [f"init_from={joint / 'best' / 'images'}", "train.epochs=1"]
    slow = ["optimizer.lr=1e-12", "optimizer.min_lr=0"]
    values = arguments(tiny_dataset, tiny_images, tmp_path, *start, *slow)
    train(parse_settings(TrainRun, values))
    before = load_file(joint / "best" / "images" / "model.safetensors")
    for name, tensor in weights(tmp_path, "images").items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=1e-6)


def test_the_model_of_images_is_the_twin_of_that_of_clips(
    tiny_dataset: TinyDataset, tiny_images: TinyDataset, tmp_path: Path
) -> None:
    fields = ["model.drop_path_rate=0.1", "model.patch_size=[1,5,5]", "model.patch_padding=[0,2,2]"]
    own = ["images.model.head_dropout=0.2", "evaluate.num_clips=2"]
    values = arguments(tiny_dataset, tiny_images, tmp_path, *fields, *own)
    run = image_run(parse_settings(TrainRun, values), init_from=None)
    assert run.model.name == "hiera_base_224"
    assert run.model.overrides["patch_size"] == [5, 5]
    assert (run.model.overrides["drop_path_rate"], run.model.overrides["embed_dim"]) == (0.1, 8)
    assert run.model.overrides["head_dropout"] == 0.2
    assert (run.clip.num_frames, run.clip.mean) == (1, (0.485, 0.456, 0.406))
    assert (run.evaluate.num_clips, run.train.repeated_sampling) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["images.train.manifest=null"], r"images: train\.manifest is required"),
        (["images.val.manifest=x.csv"], r"images\.val\.manifest: needs data\.val\.manifest"),
        (
            ["model.name=hiera_base_224", "clip.num_frames=1", "data.train.manifest={images}"],
            r"model\.name=hiera_base_224 takes images: give them as data\.train\.manifest",
        ),
        (["images.clip.num_frames=2"], r"images\.clip\.num_frames: input should be 1"),
        (["images.model.depths=[1,1,2,1]"], r"depths is \[1, 1, 2, 1\] for images and \[1, 1, 1"),
    ],
)
def test_what_does_not_fit_is_named(
    tiny_dataset: TinyDataset,
    tiny_images: TinyDataset,
    tmp_path: Path,
    changes: list[str],
    message: str,
) -> None:
    more = [change.format(images=tiny_images.train) for change in changes]
    values = arguments(tiny_dataset, tiny_images, tmp_path / "run", *more)
    with pytest.raises(ConfigError, match=message):
        train(parse_settings(TrainRun, values))
    assert not (tmp_path / "run").exists()


def test_a_joint_run_resumes_when_the_weights_it_began_with_are_gone(
    joint: Path, tiny_dataset: TinyDataset, tiny_images: TinyDataset, tmp_path: Path
) -> None:
    """With the clips and images of these weights, which the checkpoint has as well."""
    source = tmp_path / "source"
    shutil.copytree(joint / "best" / "images", source)
    clip = json.loads((source / "preprocessor.json").read_text()) | {"mean": [0.1, 0.2, 0.3]}
    (source / "preprocessor.json").write_text(json.dumps(clip))
    start = [f"init_from={source}", "train.epochs=1"]
    values = arguments(tiny_dataset, tiny_images, tmp_path / "run", *start)
    train(parse_settings(TrainRun, values))
    began = load_yaml(tmp_path / "run" / "config.yaml")
    assert began["clip"]["mean"] == began["images"]["clip"]["mean"] == [0.1, 0.2, 0.3]
    shutil.rmtree(source)
    forget_accelerator()
    train(parse_settings(TrainRun, [*values, "train.epochs=2"]))
    resumed = load_yaml(tmp_path / "run" / "config.yaml")
    assert resumed["train"].pop("epochs") == 2
    del began["train"]["epochs"]
    assert resumed == began
