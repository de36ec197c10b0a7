"""``scripts/train.py``: real runs in processes of their own, and what they leave behind."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)
from torch import nn

from hiera_video.batch import ClipBatch
from hiera_video.config.machinery import load_yaml, parse_settings
from hiera_video.data.failures import SKIPPED_FILE
from hiera_video.errors import CheckpointError, ConfigError, UserError, VideoError
from hiera_video.models.classification import HieraForVideoClassification
from hiera_video.models.preprocessor import load_preprocessor
from hiera_video.runtime import make_accelerator
from hiera_video.tasks.task import BatchLoss, Task
from hiera_video.training.run import train
from hiera_video.training.settings import RunSettings, TrainRun
from tests.forked import run_forked
from tests.support import (
    TINY_ARGUMENTS,
    TinyDataset,
    copy_dataset,
    cut_off,
    error_line,
    files_below,
    frame_numbers,
    read_log,
    read_manifest,
    run_script,
    succeed,
    weights,
    write_manifest,
    write_video,
)


def train_arguments(dataset: TinyDataset, output_dir: Path, *more: str) -> list[str]:
    return [
        *TINY_ARGUMENTS,
        f"data.train.manifest={dataset.train}",
        f"data.val.manifest={dataset.val}",
        f"output_dir={output_dir}",
        "data.num_workers=0",
        "train.batch_size=6",
        "optimizer.lr=3e-3",
        *more,
    ]


def train_here(dataset: TinyDataset, output_dir: Path, *more: str) -> None:
    """A run in this process, which saves the start of another one."""
    train(parse_settings(TrainRun, train_arguments(dataset, output_dir, *more)))


def read_skipped(output_dir: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (output_dir / SKIPPED_FILE).read_text().splitlines()]


def assert_same_weights(one: Path, other: Path, tolerance: float = 0.0) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        difference = (tensor - second[name]).abs().max().item()
        assert difference <= tolerance, (name, difference)


@dataclass
class TrainedRun:
    """A finished run of the script."""

    output_dir: Path
    arguments: list[str]
    output: str
    errors: str


@pytest.fixture(scope="module")
def trained(tiny_dataset: TinyDataset, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """Four epochs of six steps, by ``accelerate launch``, with a worker and a progress bar."""
    output_dir = tmp_path_factory.mktemp("trained") / "run"
    arguments = train_arguments(
        tiny_dataset,
        output_dir,
        "train.epochs=4",
        "train.log_steps=3",
        "train.checkpoint_steps=4",
        "data.num_workers=1",
        "data.decoder=decord",
    )
    result = run_script("train", *arguments, accelerate=True)
    return TrainedRun(output_dir, arguments, succeed(result), result.stderr)


def test_a_run_learns(trained: TrainedRun) -> None:
    log = read_log(trained.output_dir)
    losses = [record["train/loss"] for record in log if "train/loss" in record]
    accuracies = [record["train/accuracy"] for record in log if "train/accuracy" in record]
    validations = [record["val/top1"] for record in log if "val/top1" in record]
    assert losses[-1] < losses[0] / 2
    assert accuracies[-1] >= 0.9
    assert len(validations) == 4
    assert validations[-1] >= 0.9
    assert "epoch 4: top1" in trained.output
    assert "done: 24 steps, 4 epochs" in trained.output


def test_a_run_writes_the_files_of_the_contract_and_no_others(trained: TrainedRun) -> None:
    found = {path.relative_to(trained.output_dir).parts[0] for path in trained.output_dir.iterdir()}
    assert found == {
        "best",
        "checkpoints",
        "config.yaml",
        "curves.png",
        "last",
        "log.jsonl",
        "tensorboard",
    }
    for link in ("best", "last"):
        assert files_below(trained.output_dir / link) == [
            "config.json",
            "model.safetensors",
            "preprocessor.json",
            "preprocessor_config.json",
            "video_preprocessor_config.json",
        ]
    # The two latest, and the best one. Steps 12 and 24 end epochs.
    saved = sorted(path.name for path in (trained.output_dir / "checkpoints").iterdir())
    assert saved[-2:] == ["step-00000020", "step-00000024"]
    assert len(saved) <= 3


def test_a_checkpoint_describes_itself(trained: TrainedRun, tiny_dataset: TinyDataset) -> None:
    model = HieraForVideoClassification.from_pretrained(trained.output_dir / "best")
    assert model.config.id2label == dict(enumerate(tiny_dataset.classes))
    clip = load_preprocessor(model)
    assert (clip.num_frames, clip.stride, clip.crop_size) == (4, 2, 32)


def test_the_settings_that_were_used_can_be_used_again(trained: TrainedRun) -> None:
    path = trained.output_dir / "config.yaml"
    given = parse_settings(TrainRun, trained.arguments)
    assert parse_settings(TrainRun, ["--config", str(path)]) == given
    assert TrainRun(**load_yaml(path)) == given


def test_the_log_has_each_step_once(trained: TrainedRun) -> None:
    log = read_log(trained.output_dir)
    training = [record for record in log if "train/loss" in record]
    assert [record["step"] for record in training] == list(range(3, 25, 3))
    assert [record["step"] for record in log if "val/top1" in record] == [6, 12, 18, 24]
    for record in training:
        assert record["clips_per_second"] > 0
        assert 0 <= record["data_wait_share"] <= 1
        assert 0 < record["lr"] <= 3e-3


def test_tensorboard_reads_the_same_figures(trained: TrainedRun) -> None:
    events = EventAccumulator(str(trained.output_dir / "tensorboard"))
    events.Reload()
    for name in ("train/loss", "val/top1", "lr"):
        logged = {r["step"]: r[name] for r in read_log(trained.output_dir) if name in r}
        shown = {event.step: event.value for event in events.Scalars(name)}
        assert shown == pytest.approx(logged)


def test_the_curves_are_a_picture(trained: TrainedRun) -> None:
    with Image.open(trained.output_dir / "curves.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 200
        assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 10


def test_the_progress_bar_shows_loss_accuracy_speed_and_waiting(trained: TrainedRun) -> None:
    for text in ("epoch 4/4", "loss=", "accuracy=", "clips/s=", "data wait="):
        assert text in trained.errors


def test_a_finished_run_is_left_as_it_is(
    trained: TrainedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    log = read_log(trained.output_dir)
    before = weights(trained.output_dir)
    train(parse_settings(TrainRun, trained.arguments))
    assert "resuming from step 24" in capsys.readouterr().out
    assert read_log(trained.output_dir) == log
    assert all(torch.equal(before[name], t) for name, t in weights(trained.output_dir).items())


def test_a_finished_run_takes_no_other_settings(trained: TrainedRun) -> None:
    line = error_line(run_forked("train", *trained.arguments, "optimizer.lr=1e-2"))
    assert line.startswith(f"{trained.output_dir}: this run is finished, with other settings (opti")
    assert "optimizer.lr 0.003 -> 0.01" in line
    assert load_yaml(trained.output_dir / "config.yaml")["optimizer"]["lr"] == 0.003


def test_never_refuses_to_go_on(trained: TrainedRun) -> None:
    line = error_line(run_forked("train", *trained.arguments, "resume=never"))
    assert line.startswith(f"resume=never: {trained.output_dir} holds checkpoints of an earlier")


def test_a_run_goes_on_to_more_epochs(trained: TrainedRun, tmp_path: Path) -> None:
    """``resume=DIR`` starts in a folder of its own, at the other run's place."""
    arguments = [f"output_dir={tmp_path}", f"resume={trained.output_dir}", "train.epochs=5"]
    train(parse_settings(TrainRun, trained.arguments + arguments))
    assert [r["step"] for r in read_log(tmp_path) if "train/loss" in r] == [27, 30]
    assert (tmp_path / "last").resolve().parent.name == "step-00000030"
    assert (tmp_path / "best" / "config.json").exists()


def copy_run(trained: TrainedRun, folder: Path) -> list[str]:
    """A copy of a run, and arguments to go on with it."""
    shutil.copytree(trained.output_dir, folder, symlinks=True)
    return [*trained.arguments, f"output_dir={folder}"]


def test_a_run_says_which_of_its_settings_are_others_now(
    trained: TrainedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*copy_run(trained, tmp_path / "copy"), "train.epochs=5", "optimizer.lr=1e-3"]
    train(parse_settings(TrainRun, arguments))
    output = capsys.readouterr().out
    assert "changed    train.epochs 4 -> 5\n" in output
    assert "changed    optimizer.lr 0.003 -> 0.001\n" in output
    assert load_yaml(tmp_path / "copy" / "config.yaml")["train"]["epochs"] == 5


@pytest.mark.parametrize("file", ["training_state.pt", "model/model.safetensors"])
def test_a_damaged_newest_checkpoint_is_passed_over_and_made_again(
    trained: TrainedRun, tmp_path: Path, caplog: pytest.LogCaptureFixture, file: str
) -> None:
    arguments = copy_run(trained, tmp_path / "copy")
    newest = tmp_path / "copy" / "checkpoints" / "step-00000024"
    cut_off(newest / file, newest / file, 0.5)
    with caplog.at_level(logging.WARNING):
        train(parse_settings(TrainRun, arguments))
    assert "checkpoint skipped" in caplog.text
    assert str(newest) in caplog.text
    log = read_log(tmp_path / "copy")
    assert [r["step"] for r in log if "train/loss" in r] == list(range(3, 25, 3))
    # One process or another thread count may round differently; damage would be far off.
    assert_same_weights(trained.output_dir, tmp_path / "copy", tolerance=1e-4)
    HieraForVideoClassification.from_pretrained(tmp_path / "copy" / "last")


def test_another_model_cannot_go_on(trained: TrainedRun, tmp_path: Path) -> None:
    arguments = [*copy_run(trained, tmp_path / "copy"), "model.depths=[1,1,2,1]"]
    with pytest.raises(CheckpointError, match=r"cannot go on with another model \(depths="):
        train(parse_settings(TrainRun, arguments))
    assert (tmp_path / "copy" / "checkpoints" / "step-00000024").exists()


def test_many_settings_get_along(tiny_dataset: TinyDataset, tmp_path: Path) -> None:
    """bf16, accumulation, clipping, repeated sampling and every regularisation in one run."""
    train_here(
        tiny_dataset,
        tmp_path,
        "precision=bf16",
        "train.epochs=2",
        "train.batch_size=4",
        "train.accumulate_steps=2",
        "train.repeated_sampling=2",
        "train.clip_grad_norm=1.0",
        "train.label_smoothing=0.1",
        "train.log_steps=1",
        "model.drop_path_rate=0.2",
        "model.head_dropout=0.1",
        "augment.mixup_alpha=0.8",
        "augment.cutmix_alpha=1.0",
        "augment.rand_augment_num_ops=2",
    )
    log = read_log(tmp_path)
    losses = [record["train/loss"] for record in log if "train/loss" in record]
    assert len(losses) >= 9
    assert all(0 < loss < 3 for loss in losses)
    norms = [record["train/gradient_norm"] for record in log if "train/loss" in record]
    assert min(norms) > 0
    assert max(norms) > 1.0  # before they are clipped
    assert all(tensor.dtype == torch.float32 for tensor in weights(tmp_path).values())


def test_accumulated_batches_equal_one_large_batch(
    tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    common = ["train.epochs=1", "train.clip_grad_norm=0.05", "train.log_steps=1"]
    train_here(tiny_dataset, tmp_path / "one", *common)
    accumulated = [*common, "train.batch_size=3", "train.accumulate_steps=2"]
    train_here(tiny_dataset, tmp_path / "two", *accumulated)
    assert_same_weights(tmp_path / "one", tmp_path / "two", tolerance=1e-5)
    for one, two in zip(read_log(tmp_path / "one"), read_log(tmp_path / "two"), strict=True):
        assert one["step"] == two["step"]
        assert one.get("train/loss") == pytest.approx(two.get("train/loss"), abs=1e-4)


def test_a_run_without_validation_videos(tiny_dataset: TinyDataset, tmp_path: Path) -> None:
    train_here(tiny_dataset, tmp_path, "train.epochs=1", "data.val.manifest=null")
    assert (tmp_path / "last" / "model.safetensors").exists()
    assert not (tmp_path / "best").exists()


def test_a_run_starts_from_given_weights(
    tiny_dataset: TinyDataset, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """At a learning rate of almost nothing, they come out again."""
    arguments = ["train.epochs=1", f"init_from={tiny_checkpoint}", "optimizer.lr=1e-9"]
    train_here(tiny_dataset, tmp_path, *arguments, "optimizer.min_lr=0")
    before = load_file(tiny_checkpoint / "model.safetensors")
    for name, tensor in weights(tmp_path).items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=1e-6)


def test_fp16_needs_a_gpu(
    tiny_dataset: TinyDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="precision=fp16: needs a GPU; use bf16 or fp32"):
        train_here(tiny_dataset, tmp_path / "run", "precision=fp16")


def test_bf16_on_a_processor_without_it_is_said_to_be_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    for capability, warnings in (("AVX512", 0), ("AVX2", 1)):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda it=capability: it)
        make_accelerator(RunSettings(output_dir=tmp_path, precision="bf16"))
        assert len(caplog.records) == warnings
    assert "hundreds of times faster with fp32" in caplog.text


# Bad videos.
Damage = Callable[[int, int], TinyDataset]


@pytest.fixture
def damaged(tiny_dataset: TinyDataset, tmp_path: Path) -> Damage:
    """Copies a dataset and turns its first training and validation videos into texts."""

    def damage(num_train: int, num_val: int) -> TinyDataset:
        dataset = copy_dataset(tiny_dataset, tmp_path / "dataset")
        bad = read_manifest(dataset.train)[:num_train] + read_manifest(dataset.val)[:num_val]
        for path, _ in bad:
            (dataset.folder / path).write_text("this is a text\n" * 100)
        return dataset

    return damage


def test_raise_stops_at_the_first_bad_video(damaged: Damage, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"dataset/train/.*\.mp4: invalid data found"):
        train_here(damaged(2, 0), tmp_path / "run", "train.epochs=1", "data.num_workers=1")
    assert not (tmp_path / "run" / "last").exists()


def test_the_error_has_a_line_of_its_own_under_a_progress_bar(
    damaged: Damage, tmp_path: Path
) -> None:
    arguments = train_arguments(damaged(6, 0), tmp_path / "run", "train.epochs=1")
    result = run_script("train", *arguments)
    assert re.search(r"epoch 1/1: .*batch", result.stderr)
    assert re.search(r"dataset/train/.*\.mp4: invalid data found", error_line(result))


def test_skip_trains_past_bad_videos_and_lists_each_once(damaged: Damage, tmp_path: Path) -> None:
    """With one video per batch, a bad one is a whole batch, and a whole step between two logs."""
    dataset = damaged(3, 2)
    arguments = ["data.on_error=skip", "train.batch_size=1", "train.log_steps=1", "train.epochs=2"]
    train_here(dataset, tmp_path / "run", *arguments)
    listed = read_skipped(tmp_path / "run")
    bad = [path for path, _ in read_manifest(dataset.train)[:3] + read_manifest(dataset.val)[:2]]
    assert sorted(entry["path"] for entry in listed) == sorted(
        str(dataset.folder / path) for path in bad
    )
    assert {entry["reason"] for entry in listed} == {"invalid data found when processing input"}
    log = read_log(tmp_path / "run")
    assert sum("lr" in record for record in log) == 72
    assert sum("train/loss" in record for record in log) == 72 - 2 * 3
    # Seven of nine validation videos can be right, and the bad ones count as wrong.
    accuracies = [record["val/top1"] for record in log if "val/top1" in record]
    assert accuracies[-1] <= 7 / 9 + 1e-6
    assert all(torch.isfinite(tensor).all() for tensor in weights(tmp_path / "run").values())


def test_too_many_bad_videos_stop_a_run(damaged: Damage, tmp_path: Path) -> None:
    arguments = ["data.on_error=skip", "train.epochs=2", "data.max_failed_share=0.05"]
    with pytest.raises(UserError, match=r"2 of 36 videos could not be read, more than data.max"):
        train_here(damaged(2, 0), tmp_path / "run", *arguments)


def test_segments_of_one_video_are_rows_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step has a clip of each, which shows no frame of the other one."""
    video = write_video(tmp_path / "video.mp4", num_frames=24, frame_rate=24)
    rows = [(video, "start", 0.0, 0.5), (video, "end", 0.5, 1.0)]
    manifest = write_manifest(
        tmp_path / "segments.csv", rows, "path,label,start_seconds,end_seconds"
    )
    loss = Task.batch_loss
    seen: dict[int, list[int]] = {}

    def watched(self: Task, model: nn.Module, batch: ClipBatch) -> BatchLoss:
        for row, clip in zip(batch.rows.tolist(), batch.pixel_values, strict=True):
            seen[row] = frame_numbers(clip.transpose(0, 1))
        return loss(self, model, batch)

    monkeypatch.setattr(Task, "batch_loss", watched)
    whole = ["augment.scale=[1,1]", "augment.ratio=[1,1]", "augment.horizontal_flip=0"]
    arguments = [*TINY_ARGUMENTS, f"data.train.manifest={manifest}", "data.num_workers=0", *whole]
    more = ["train.batch_size=2", "train.epochs=1", f"output_dir={tmp_path / 'run'}"]
    train(parse_settings(TrainRun, [*arguments, *more]))
    first, second = seen[0], seen[1]
    assert first == list(range(first[0], first[0] + 8, 2))
    assert second == list(range(second[0], second[0] + 8, 2))
    assert first[-1] < 12 <= second[0]


def test_a_config_file_with_overrides(tiny_dataset: TinyDataset, tmp_path: Path) -> None:
    """The classes come from the labels where no ``classes.txt`` lies beside the manifest."""
    rows = [
        (tiny_dataset.folder / path, label) for path, label in read_manifest(tiny_dataset.train)
    ]
    manifest = write_manifest(tmp_path / "own.csv", rows)
    config = tmp_path / "config.yaml"
    values = {"data": {"train": {"manifest": str(manifest)}}, "train": {"epochs": 7}}
    config.write_text(yaml.safe_dump(values))
    arguments = train_arguments(tiny_dataset, tmp_path / "run", "train.epochs=1")
    arguments = [text for text in arguments if not text.startswith("data.train")]
    train(parse_settings(TrainRun, ["--config", str(config), *arguments]))
    model = HieraForVideoClassification.from_pretrained(tmp_path / "run" / "last")
    assert list((model.config.id2label or {}).values()) == ["blue", "green", "red"]
