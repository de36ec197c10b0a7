"""Training checkpoints: what is kept, what a run goes on from, and what damage does."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from hiera_video.config import ClipSettings, OptimizerSettings
from hiera_video.errors import CheckpointError
from hiera_video.models.classification import HieraForVideoClassification
from hiera_video.training.checkpoint import (
    STATE_FILE,
    Checkpoints,
    Progress,
    TrainingState,
    find_resume,
    load_checkpoint,
)
from hiera_video.training.optim import make_optimizer
from tests.support import TINY_CLIP, cut_off, files_below, save_checkpoint

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

    def save_step(step: int, best_step: int = 0, keep: int = 2) -> Progress:
        progress = Progress(step=step, passes=1, batch=step, best_step=best_step)
        Checkpoints(tmp_path, keep).save(
            accelerator,
            TrainingState(model, optimizer, progress),
            ClipSettings(**TINY_CLIP),
        )
        return progress

    return save_step


def steps(folder: Path) -> list[int]:
    return [int(path.name.removeprefix("step-")) for path in Checkpoints(folder, keep=1).saved()]


def test_a_checkpoint_holds_what_users_share_and_the_training_state_beside_it(
    tmp_path: Path, save: Save
) -> None:
    save(3)
    assert files_below(tmp_path) == [
        "checkpoints/step-00000003/model/config.json",
        "checkpoints/step-00000003/model/model.safetensors",
        "checkpoints/step-00000003/model/preprocessor.json",
        f"checkpoints/step-00000003/{STATE_FILE}",
        "last",
    ]
    assert files_below(tmp_path / "last") == [
        "config.json",
        "model.safetensors",
        "preprocessor.json",
    ]


def test_the_latest_and_the_best_are_kept(tmp_path: Path, save: Save) -> None:
    save(1, best_step=1)
    for step in (2, 3, 4):
        save(step, best_step=1)
    assert steps(tmp_path) == [1, 3, 4]
    assert (tmp_path / "best").resolve().parent.name == "step-00000001"
    assert (tmp_path / "last").resolve().parent.name == "step-00000004"


def test_links_survive_a_move_of_the_folder(tmp_path: Path, save: Save) -> None:
    save(1, best_step=1)
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
    with pytest.raises(OSError, match="No space left"):
        save(2)
    assert files_below(tmp_path) == before


def test_find_resume(tmp_path: Path, save: Save) -> None:
    assert find_resume("auto", tmp_path) == []
    assert find_resume("never", tmp_path) == []
    save(1)
    save(2)
    first, second = Checkpoints(tmp_path, keep=2).saved()
    assert find_resume("auto", tmp_path) == [second, first]
    elsewhere = tmp_path / "elsewhere"
    assert find_resume(str(tmp_path), elsewhere) == [second, first]
    assert find_resume(str(first), elsewhere) == [first]


def test_never_refuses_a_folder_with_checkpoints(tmp_path: Path, save: Save) -> None:
    save(1)
    with pytest.raises(CheckpointError, match=r"resume=never: .*holds checkpoints of an earlier"):
        find_resume("never", tmp_path)


def test_a_folder_without_checkpoints_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"resume=.*: holds no training_state.pt and no"):
        find_resume(str(tmp_path / "missing"), tmp_path)


@pytest.mark.parametrize("damage", ["cut off", "empty", "text", "missing"])
@pytest.mark.parametrize("file", [STATE_FILE, "model/model.safetensors", "model/config.json"])
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
    else:
        path.write_text("" if damage == "empty" else "this is a text\n" * 50)
    with caplog.at_level(logging.WARNING):
        state = load_checkpoint(candidates, model)
    assert state is not None
    assert state["progress"].step == 1
    assert "checkpoint passed over" in caplog.text
    assert "step-00000002" in caplog.text
    with pytest.raises(CheckpointError, match=r"no checkpoint can be resumed: .*step-00000002"):
        load_checkpoint(candidates[:1], model)


def test_a_checkpoint_of_another_model_is_refused(
    tmp_path: Path, save: Save, model: HieraForVideoClassification
) -> None:
    """Not passed over: it is whole. Other class names are another model too."""
    save(1)
    for overrides, message in (
        ({"depths": [1, 1, 2, 1]}, r"depths=\[1, 1, 1, 1\] instead of \[1, 1, 2, 1\]"),
        ({"classes": ("blue", "green", "yellow")}, "id2label=.*red.* instead of .*yellow"),
    ):
        other = HieraForVideoClassification.from_pretrained(
            save_checkpoint(tmp_path / "other", **overrides)
        )
        with pytest.raises(CheckpointError, match=f"cannot go on with another model.*{message}"):
            load_checkpoint(find_resume("auto", tmp_path), other)
        shutil.rmtree(tmp_path / "other")


def test_rewinding_removes_what_came_later(tmp_path: Path, save: Save) -> None:
    """Else a damaged newest checkpoint would stay the newest, and younger ones be removed."""
    earlier = save(1, keep=9)
    save(2, keep=9)
    save(3, keep=9)
    unfinished = tmp_path / "checkpoints" / ".step-00000004.abc"
    unfinished.mkdir()
    Checkpoints(tmp_path, keep=2).rewind(earlier)
    assert steps(tmp_path) == [1]
    assert not unfinished.exists()


def test_rewinding_forgets_a_best_one_that_is_elsewhere(tmp_path: Path, save: Save) -> None:
    save(1)
    kept = Progress(step=1, best_accuracy=0.5, best_step=1)
    gone = Progress(step=2, best_accuracy=0.5, best_step=2)
    for progress in (kept, gone):
        Checkpoints(tmp_path, keep=2).rewind(progress)
    assert (kept.best_accuracy, kept.best_step) == (0.5, 1)
    assert (gone.best_accuracy, gone.best_step) == (-1.0, 0)
