"""Training checkpoints: what is kept, what a run goes on from, and what damage does."""

from __future__ import annotations

import copy
import logging
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import distributed, nn

from hiera_video.config.groups import OptimizerSettings
from hiera_video.errors import CheckpointError, ConfigError
from hiera_video.files import UNFINISHED
from hiera_video.models.classification import HieraForVideoClassification
from hiera_video.models.layouts import read_checkpoint
from hiera_video.training import optimizer_state, resume
from hiera_video.training.optim import make_optimizer
from hiera_video.training.optimizer_state import OPTIMIZER_FOLDER
from hiera_video.training.resume import (
    check_same_model,
    check_same_step,
    find_resume,
    load_optimizer,
    read_saved,
)
from hiera_video.training.saving import (
    CHECKSUMS_FILE,
    STATE_FILE,
    Checkpoints,
    Progress,
    TrainingState,
    saved_checkpoints,
    unwrapped,
    verify_checksums,
)
from tests.support import (
    HANG_SECONDS,
    cut_off,
    files_below,
    flip_byte,
    save_as_0_1_0,
    save_checkpoint,
)

Save = Callable[..., Progress]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HieraForVideoClassification:
    return HieraForVideoClassification.from_pretrained(
        save_checkpoint(tmp_path_factory.mktemp("model") / "tiny")
    )


@pytest.fixture
def save(tmp_path: Path, model: HieraForVideoClassification) -> Save:
    """Saves a checkpoint of a step in ``tmp_path``, keeping two."""
    accelerator = Accelerator(cpu=True)
    optimizer = make_optimizer(model, OptimizerSettings())

    def save_step(step: int, best: int = 0, keep: int = 2) -> Progress:
        progress = Progress(step=step, passes=1, rows=step)
        checkpoints = Checkpoints(tmp_path, keep)
        checkpoints.best_step = best
        checkpoints.save(accelerator, TrainingState(model, optimizer, progress, model), [[0.0]])
        checkpoints.wait()
        return progress

    return save_step


def steps(folder: Path) -> list[int]:
    return [int(path.name.removeprefix("step-")) for path in saved_checkpoints(folder)]


def test_a_checkpoint_holds_what_users_share_and_the_training_state_beside_it(
    tmp_path: Path, save: Save
) -> None:
    save(3)
    assert files_below(tmp_path) == [
        f"checkpoints/step-00000003/{CHECKSUMS_FILE}",
        "checkpoints/step-00000003/model/config.json",
        "checkpoints/step-00000003/model/model.safetensors",
        "checkpoints/step-00000003/model/preprocessor.json",
        "checkpoints/step-00000003/model/preprocessor_config.json",
        "checkpoints/step-00000003/model/video_preprocessor_config.json",
        f"checkpoints/step-00000003/{STATE_FILE}",
        "last",
    ]
    assert files_below(tmp_path / "last") == [
        "config.json",
        "model.safetensors",
        "preprocessor.json",
        "preprocessor_config.json",
        "video_preprocessor_config.json",
    ]


def test_the_latest_and_the_best_are_kept(tmp_path: Path, save: Save) -> None:
    save(1)
    Checkpoints(tmp_path, 2).mark_best(1)
    for step in (2, 3, 4):
        save(step, best=1)
    assert steps(tmp_path) == [1, 3, 4]
    assert (tmp_path / "best").resolve().parent.name == "step-00000001"
    assert (tmp_path / "last").resolve().parent.name == "step-00000004"


def test_links_survive_a_move_of_the_folder(tmp_path: Path, save: Save) -> None:
    save(1)
    Checkpoints(tmp_path, 2).mark_best(1)
    moved = tmp_path.with_name(tmp_path.name + "_moved")
    tmp_path.rename(moved)
    assert (moved / "best" / "config.json").exists()
    assert (moved / "last" / "config.json").exists()


def test_a_save_that_fails_leaves_nothing(
    tmp_path: Path, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(1)
    before = files_below(tmp_path)

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(CheckpointError, match=r"step-00000002: cannot be written \(no space left"):
        save(2)
    assert files_below(tmp_path) == before


def test_training_goes_on_while_a_checkpoint_is_written(
    tmp_path: Path, model: HieraForVideoClassification, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written is the state as it was saved, whatever became of the weights since."""
    may_write = threading.Event()
    write = torch.save

    def wait_and_write(*arguments: Any) -> None:
        assert may_write.wait(HANG_SECONDS)
        write(*arguments)

    monkeypatch.setattr(torch, "save", wait_and_write)
    trained = copy.deepcopy(model)
    state = TrainingState(trained, make_optimizer(trained, OptimizerSettings()), Progress(1), model)
    checkpoints = Checkpoints(tmp_path, 2)
    checkpoints.save(Accelerator(cpu=True), state, [[0.0]])
    assert steps(tmp_path) == []
    assert checkpoints.newest is None
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.zero_()
    may_write.set()
    checkpoints.wait()
    assert steps(tmp_path) == [1]
    assert checkpoints.newest == saved_checkpoints(tmp_path)[0]
    saved = HieraForVideoClassification.from_pretrained(tmp_path / "last")
    for name, tensor in saved.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_find_resume(tmp_path: Path, save: Save) -> None:
    assert find_resume("auto", tmp_path) == []
    assert find_resume("never", tmp_path) == []
    save(1)
    save(2)
    first, second = saved_checkpoints(tmp_path)
    assert find_resume("auto", tmp_path) == [second, first]
    elsewhere = tmp_path / "elsewhere"
    assert find_resume(str(tmp_path), elsewhere) == [second, first]
    assert find_resume(str(first), elsewhere) == [first]


def test_never_refuses_a_folder_with_checkpoints(tmp_path: Path, save: Save) -> None:
    save(1)
    with pytest.raises(CheckpointError, match=r"resume=never: .*holds checkpoints of an earlier"):
        find_resume("never", tmp_path)


def test_another_runs_checkpoint_does_not_replace_those_of_a_folder(
    tmp_path: Path, save: Save
) -> None:
    save(1)
    (own,) = saved_checkpoints(tmp_path)
    with pytest.raises(CheckpointError, match=r"resume=.*other: .* holds checkpoints of its own"):
        find_resume(str(tmp_path.parent / "other"), tmp_path)
    assert find_resume(str(own), tmp_path) == [own]


def test_a_folder_without_checkpoints_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"resume=.*: holds no training_state.pt and no"):
        find_resume(str(tmp_path / "missing"), tmp_path)


@pytest.mark.parametrize("damage", ["cut off", "empty", "one byte", "missing"])
@pytest.mark.parametrize(
    "file",
    [
        STATE_FILE,
        "model/model.safetensors",
        "model/config.json",
        "model/preprocessor.json",
        CHECKSUMS_FILE,
    ],
)
def test_a_damaged_checkpoint_is_passed_over(
    tmp_path: Path,
    save: Save,
    model: HieraForVideoClassification,
    caplog: pytest.LogCaptureFixture,
    file: str,
    damage: str,
) -> None:
    save(1)
    save(2)
    candidates = find_resume("auto", tmp_path)
    path = candidates[0] / file
    if damage == "cut off":
        cut_off(path, path, 0.6)
    elif damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        flip_byte(path)
    with caplog.at_level(logging.WARNING):
        state = read_saved(candidates)
    assert state is not None
    assert state.progress.step == 1
    assert f"checkpoint skipped: {candidates[0]}" in caplog.text
    with pytest.raises(CheckpointError, match=r"no checkpoint can be resumed: .*step-00000002"):
        read_saved(candidates[:1])


def test_an_empty_directory_is_passed_over(
    tmp_path: Path,
    save: Save,
    model: HieraForVideoClassification,
    caplog: pytest.LogCaptureFixture,
) -> None:
    save(1)
    save(2)
    candidates = find_resume("auto", tmp_path)
    shutil.rmtree(candidates[0])
    candidates[0].mkdir()
    with caplog.at_level(logging.WARNING):
        state = read_saved(candidates)
    assert state is not None
    assert state.checkpoint == candidates[1]
    assert f"skipped: {candidates[0] / CHECKSUMS_FILE}: cannot be read" in caplog.text


def test_every_byte_counts(tmp_path: Path, save: Save) -> None:
    """Of any file, at its beginning, in its middle and at its end."""
    save(1)
    (checkpoint,) = saved_checkpoints(tmp_path)
    verify_checksums(checkpoint)
    for name in files_below(checkpoint):
        size = (checkpoint / name).stat().st_size
        for position in (0, size // 2, size - 2):
            before = (checkpoint / name).read_bytes()
            flip_byte(checkpoint / name, position)
            with pytest.raises(CheckpointError, match=r"differs from what|cannot be read"):
                verify_checksums(checkpoint)
            (checkpoint / name).write_bytes(before)


def test_the_optimizer_goes_on_with_the_settings_of_now(
    tmp_path: Path, save: Save, model: HieraForVideoClassification
) -> None:
    save(1)
    saved = read_saved(find_resume("auto", tmp_path))
    assert saved is not None
    changed = OptimizerSettings(weight_decay=0.3, betas=(0.8, 0.9))
    optimizer = make_optimizer(model, changed)
    load_optimizer(model, optimizer, saved)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.0, 0.3]
    assert {group["betas"] for group in optimizer.param_groups} == {(0.8, 0.9)}


def make_steps(
    parameters: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer, num_steps: int
) -> None:
    """As from random gradients of these parameters."""
    torch.manual_seed(num_steps)
    for _ in range(num_steps):
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
        optimizer.zero_grad()


def assert_same_tensors(one: torch.optim.Optimizer, other: torch.optim.Optimizer) -> None:
    tensors, others = one.state_dict()["state"], other.state_dict()["state"]
    assert tensors.keys() == others.keys()
    for number, of_parameter in tensors.items():
        assert of_parameter.keys() == others[number].keys()
        for key, tensor in of_parameter.items():
            assert torch.equal(tensor, others[number][key]), (number, key)


@pytest.mark.parametrize(
    ("settings", "num_tensors"),
    [({}, 3), ({"name": "sgd"}, 1), ({"name": "sgd", "momentum": 0.0}, 0)],
)
def test_tensors_of_the_optimizer_are_the_same_bits_again(
    tmp_path: Path,
    model: HieraForVideoClassification,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    num_tensors: int,
) -> None:
    monkeypatch.setattr(optimizer_state, "_BYTES_PER_FILE", 10_000)
    trained = copy.deepcopy(model)
    optimizer = make_optimizer(trained, OptimizerSettings(**settings))
    make_steps(list(trained.parameters())[1:], optimizer, 3)  # one has no part in the run
    checkpoints = Checkpoints(tmp_path, 2)
    state = TrainingState(trained, optimizer, Progress(3), model)
    checkpoints.save(Accelerator(cpu=True), state, [[0.0]])
    checkpoints.wait()
    (checkpoint,) = saved_checkpoints(tmp_path)
    files = [load_file(path) for path in (checkpoint / OPTIMIZER_FOLDER).glob("*")]
    num_saved = (len(list(model.parameters())) - 1) * num_tensors
    assert sum(len(tensors) for tensors in files) == num_saved
    assert len(files) > 2 or not num_saved
    verify_checksums(checkpoint)

    again = HieraForVideoClassification.from_pretrained(checkpoint / "model")
    saved = read_saved([checkpoint])
    assert saved is not None
    other = make_optimizer(again, OptimizerSettings(**settings))
    load_optimizer(again, other, saved)
    assert_same_tensors(other, optimizer)
    for parameter, wanted in zip(again.parameters(), trained.parameters(), strict=True):
        assert torch.equal(parameter, wanted)
        assert parameter.grad is None


def test_a_run_without_a_step_yet_has_no_tensors_to_save(
    tmp_path: Path, save: Save, model: HieraForVideoClassification
) -> None:
    """As where fp16 skips the first ones; what is made up would count as a step."""
    save(1)
    (checkpoint,) = saved_checkpoints(tmp_path)
    assert not (checkpoint / OPTIMIZER_FOLDER).exists()
    saved = read_saved([checkpoint])
    assert saved is not None
    optimizer = make_optimizer(model, OptimizerSettings())
    load_optimizer(model, optimizer, saved)
    assert not optimizer.state


def test_tensors_that_an_older_version_saved_are_the_same_bits(
    tmp_path: Path, save: Save, model: HieraForVideoClassification
) -> None:
    trained = copy.deepcopy(model)
    optimizer = make_optimizer(trained, OptimizerSettings(weight_decay=0.3))
    make_steps(list(trained.parameters()), optimizer, 3)
    save(3)
    (checkpoint,) = saved_checkpoints(tmp_path)
    save_as_0_1_0(checkpoint, optimizer.state_dict())
    saved = read_saved([checkpoint])
    assert saved is not None
    other = make_optimizer(model, OptimizerSettings())
    load_optimizer(model, other, saved)
    assert_same_tensors(other, optimizer)
    assert [group["weight_decay"] for group in other.param_groups] == [0.0, 0.05]


def test_shards_of_an_unreleased_version_are_refused(
    tmp_path: Path, save: Save, model: HieraForVideoClassification
) -> None:
    """It numbered the parameters, and divided the optimizer over two places."""
    save(3)
    (checkpoint,) = saved_checkpoints(tmp_path)
    optimizer = make_optimizer(model, OptimizerSettings())
    state = {"state": {0: {"step": torch.tensor(3.0)}}}
    save_as_0_1_0(checkpoint, {**optimizer.state_dict(), **state})
    (checkpoint / OPTIMIZER_FOLDER).mkdir()
    saved = read_saved([checkpoint])
    assert saved is not None
    with pytest.raises(CheckpointError, match=r"step-00000003: its sharded optimizer was saved by"):
        load_optimizer(model, make_optimizer(model, OptimizerSettings()), saved)


@pytest.mark.parametrize("settings", [{"name": "sgd"}, {"layer_decay": 0.5}])
def test_another_optimizer_cannot_go_on(
    tmp_path: Path, save: Save, model: HieraForVideoClassification, settings: dict[str, Any]
) -> None:
    save(1)
    saved = read_saved(find_resume("auto", tmp_path))
    assert saved is not None
    with pytest.raises(CheckpointError, match=r"another optimizer\.name or optimizer\.layer_decay"):
        load_optimizer(model, make_optimizer(model, OptimizerSettings(**settings)), saved)


def test_processes_that_find_different_checkpoints_do_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check_same_step(None)
    monkeypatch.setattr(resume, "gather_object", lambda found: [*found, 4])  # of another machine
    with pytest.raises(CheckpointError, match=r"different steps \(0, 4\): wanted an output_dir"):
        check_same_step(None)


def test_a_compiled_model_stays_one_that_processes_share(tmp_path: Path) -> None:
    """Else every accumulated batch would reduce gradients."""
    distributed.init_process_group("gloo", f"file://{tmp_path / 'group'}", world_size=1, rank=0)
    try:
        model = torch.nn.Linear(2, 2)
        shared = torch.nn.parallel.DistributedDataParallel(model)
        compiled: Any = torch.compile(shared)
        assert unwrapped(compiled, Accelerator(cpu=True)) is model
        assert compiled.no_sync == shared.no_sync
    finally:
        distributed.destroy_process_group()


def test_a_checkpoint_of_another_model_is_refused(
    tmp_path: Path, save: Save, model: HieraForVideoClassification
) -> None:
    """Not passed over: it is whole. Other class names are another model too."""
    save(1)
    saved = read_checkpoint(find_resume("auto", tmp_path)[0] / "model")
    check_same_model(saved, type(model), model.config)
    for overrides, message in (
        ({"depths": [1, 1, 2, 1]}, r"depths=\[1, 1, 1, 1\] instead of \[1, 1, 2, 1\]"),
        ({"classes": ("blue", "green", "yellow")}, "id2label=.*red.* instead of .*yellow"),
    ):
        other = HieraForVideoClassification.from_pretrained(
            save_checkpoint(tmp_path / "other", **overrides)
        )
        with pytest.raises(ConfigError, match=message):
            check_same_model(saved, type(other), other.config)
        shutil.rmtree(tmp_path / "other")


def test_rewinding_removes_what_came_later(tmp_path: Path, save: Save) -> None:
    """Else a damaged newest checkpoint would stay the newest, and younger ones be removed."""
    earlier = save(1, keep=9)
    save(2, keep=9)
    save(3, keep=9)
    unfinished = tmp_path / "checkpoints" / f"{UNFINISHED}abc"
    unfinished.mkdir()
    first = saved_checkpoints(tmp_path)[0]
    Checkpoints(tmp_path, 2, first).rewind(earlier)
    assert steps(tmp_path) == [1]
    assert not unfinished.exists()
    # Of this step, too, where the run goes on from another folder's.
    Checkpoints(tmp_path, 2, tmp_path / "elsewhere").rewind(earlier)
    assert steps(tmp_path) == []
