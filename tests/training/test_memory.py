"""The memory that a step needs: the estimate against real tensors, and what comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from hiera_video.config.machinery import parse_settings
from hiera_video.errors import ConfigError
from hiera_video.models.joint import HieraForJointTraining
from hiera_video.models.pretrained import PretrainedModel
from hiera_video.training import memory
from hiera_video.training.memory import (
    StepMemory,
    StepPlan,
    check_memory,
    estimate_memory,
    in_bytes,
)
from hiera_video.training.run import train
from hiera_video.training.settings import PretrainRun, TrainingRun, TrainRun
from hiera_video.training.sides import build_classifier, build_pretraining_model, image_run
from tests.support import (
    TINY_ARGUMENTS,
    TINY_PRETRAINING_ARGUMENTS,
    TinyDataset,
    files_below,
)

pytestmark = pytest.mark.usefixtures("whole_runs")

#: Large enough that what is kept for the backward pass outweighs all else.
SIZE = ["clip.num_frames=8", "clip.crop_size=64", "train.batch_size=6", "output_dir=/nonexistent"]


def training(*settings: str) -> tuple[TrainRun, PretrainedModel]:
    run = parse_settings(TrainRun, [*TINY_ARGUMENTS, *SIZE, *settings])
    return run, build_classifier(run, ["a", "b", "c"], None)


def pretraining(*settings: str) -> tuple[PretrainRun, PretrainedModel]:
    arguments = [*TINY_PRETRAINING_ARGUMENTS, *SIZE, *settings]
    run = parse_settings(PretrainRun, arguments)
    return run, build_pretraining_model(run, None)


def plan_of(*runs: TrainingRun) -> StepPlan:
    sizes = [(run.clip.num_frames, run.clip.crop_size, run.clip.crop_size) for run in runs]
    batches = [(run.train.batch_size, 3, *size) for run, size in zip(runs, sizes, strict=True)]
    run = runs[0]
    return StepPlan(batches, run.train, run.optimizer, run.precision, run.data.num_workers)


def estimate(run: TrainingRun, model: PretrainedModel) -> StepMemory:
    return estimate_memory(plan_of(run), model, Accelerator())


def kept_for_backward(run: TrainingRun, model: PretrainedModel) -> int:
    """Bytes of real tensors that a real forward pass keeps, besides the model's own."""
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    size = [run.clip.num_frames, run.clip.crop_size, run.clip.crop_size]
    clips = torch.rand(run.train.batch_size, 3, *size)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=run.precision == "bf16")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), autocast:
        output = model.train()(clips)
        assert output.logits.requires_grad
    return sum(t.untyped_storage().nbytes() for key, t in kept.items() if key not in own)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("make", [training, pretraining])
def test_the_peak_is_what_is_kept_and_little_more(make: Any, precision: str) -> None:
    run, model = make(f"precision={precision}")
    kept, peak = kept_for_backward(run, model), estimate(run, model).step
    weights = sum(weight.nbytes for weight in model.parameters())
    pixels = run.train.batch_size * 3 * 8 * 64 * 64  # a byte each, and three times as floats
    assert kept < peak < 1.15 * kept + weights + (1 + 3 * 4) * pixels


def test_what_lowers_it_and_what_adds_to_it() -> None:
    base, weights = estimate(*training()), sum(p.nbytes for p in training()[1].parameters())
    assert base.state == 3 * weights  # AdamW has two moments
    assert estimate(*training("optimizer.name=sgd")).state == 2 * weights
    assert estimate(*training("optimizer.name=sgd", "optimizer.momentum=0")).state == weights
    assert estimate(*training("train.ema_decay=0.9")).state == 4 * weights
    half = estimate(*training("train.batch_size=3"))
    assert 2 * half.step - weights <= base.step <= 2 * half.step
    accumulated = estimate(*training("train.accumulate_steps=2"))
    assert base.step <= accumulated.step <= base.step + weights
    for less in ("precision=bf16", "train.gradient_checkpointing=true"):
        assert estimate(*training(less)).step < 0.75 * base.step
    batch = 6 * 3 * 8 * 64 * 64
    assert base.read_ahead == 2 * 2 * batch  # two workers
    on_cpu = base.state + base.step + base.kept + base.read_ahead
    assert base.on(torch.device("cpu")) == on_cpu
    assert base.kept == int(0.25 * base.step)
    assert base.on(torch.device("cuda")) == base.state + base.step
    assert estimate(*training("data.num_workers=0")).read_ahead == 0


def test_images_and_clips_of_a_joint_run_are_there_together() -> None:
    run, clips = training("images.train.manifest=x.csv", "images.clip.crop_size=64")
    twin = image_run(run, init_from=None)
    images = build_classifier(twin, ["a"], None)
    apart = estimate(run, clips).step, estimate(twin, images).step
    joint = HieraForJointTraining(images, clips)
    both = estimate_memory(plan_of(run, twin), joint, Accelerator()).step
    assert max(apart) < 0.9 * sum(apart) < both < 1.1 * sum(apart)


def group(folder: Path, limit: object, usage: int, cached: int, version: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    one = {"memory.limit_in_bytes": limit, "memory.usage_in_bytes": usage}
    files = one if version == 1 else {"memory.max": limit, "memory.current": usage}
    for name, value in files.items():
        (folder / name).write_text(f"{value}\n")
    name = "total_inactive_file" if version == 1 else "inactive_file"
    (folder / "memory.stat").write_text(f"anon 3\n{name} {cached}\n")


def test_limits_of_control_groups(tmp_path: Path) -> None:
    listing, two, one = tmp_path / "cgroup", tmp_path / "two", tmp_path / "one"
    listing.write_text("0::/a/b\n")
    group(two, "max", 5, 0, version=2)
    group(two / "a", 1000, 700, 50, version=2)
    group(two / "a/b", "max", 500, 20, version=2)
    assert memory._free_in_groups(listing, two) == [350]
    listing.write_text("3:cpu:/\n4:memory:/a\n1:name=systemd:/x\n0::/\n")
    group(one / "memory", 2000, 300, 100, version=1)
    group(one / "memory/a", 1000, 300, 0, version=1)
    assert memory._free_in_groups(listing, one) == [700, 1800]
    listing.write_text("4:memory:/seen/from/outside\n")  # by a container, whose root is its group
    assert memory._free_in_groups(listing, one) == [1800]
    assert memory._free_in_groups(tmp_path / "no linux", one) == []


def test_what_is_there_is_shared_by_the_processes_of_a_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "_free_in_groups", lambda _: [900])
    assert memory.available_memory(torch.device("cpu")) == 900
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert memory.available_memory(torch.device("cpu")) == 300


def test_the_warning_names_what_lowers_it(caplog: pytest.LogCaptureFixture) -> None:
    plan = plan_of(training()[0])
    check_memory(plan, 10, 10, is_main_process=True)
    check_memory(plan, 92_000_000_000, 24_000_000_000, is_main_process=False)
    assert not caplog.records
    check_memory(plan, 92_000_000_000, 24_000_000_000, is_main_process=True)
    assert caplog.messages == [
        "a step needs about 92 GB of memory, and 24 GB are free here: lower train.batch_size and "
        "raise train.accumulate_steps, or lower clip.crop_size, or lower clip.num_frames, or set "
        "train.gradient_checkpointing=true, or set precision=bf16"
    ]
    caplog.clear()
    plan = plan_of(training("train.gradient_checkpointing=true", "precision=bf16")[0])
    check_memory(plan, 2, 1, is_main_process=True)
    assert caplog.text.rstrip().endswith("or lower clip.num_frames")


def test_bytes_are_shown_as_people_read_them() -> None:
    shown = [in_bytes(number) for number in (3_120_000_000, 24e9, 1.5e12, 700_000_000, 3_000_000)]
    assert shown == ["3.12 GB", "24 GB", "1.5e+03 GB", "700 MB", "3 MB"]


def arguments(dataset: TinyDataset, output_dir: Path, *more: str) -> list[str]:
    return [
        *TINY_ARGUMENTS,
        f"data.train.manifest={dataset.train}",
        f"output_dir={output_dir}",
        "train.batch_size=18",
        "train.epochs=1",
        "data.num_workers=0",
        "trackers=[]",
        *more,
    ]


def test_a_run_says_what_it_needs(
    tiny_dataset: TinyDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda _: 10)
    train(parse_settings(TrainRun, arguments(tiny_dataset, tmp_path)))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "memory" in line]
    assert line.startswith("memory     about ")
    assert line.endswith(" MB here")
    assert "a step needs about" in caplog.text


def test_frames_that_no_machine_has_room_for_are_refused(
    tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    size = ["clip.crop_size=2240", "clip.num_frames=512", "train.check_memory=true"]
    message = (
        r"train\.check_memory=true: a step needs about .*: lower train\.batch_size and raise "
        r"train\.accumulate_steps, or lower"
    )
    with pytest.raises(ConfigError, match=message):
        train(parse_settings(TrainRun, arguments(tiny_dataset, tmp_path / "run", *size)))
    assert files_below(tmp_path) == []
    with pytest.raises(ConfigError, match=r"train\.check_memory: input should be a valid boolean"):
        parse_settings(TrainRun, arguments(tiny_dataset, tmp_path, "train.check_memory=some"))
