"""Signals and losses: when a run stops, and what it says. Two processes: ``robustness``."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from hiera_video.data.manifest import Row
from hiera_video.errors import TrainingError
from hiera_video.runtime import Signals
from hiera_video.training.agreement import Watch
from hiera_video.training.saving import Checkpoints
from hiera_video.training.trackers import Validations

ROWS = [Row(i, f"{i}.mp4", Path(f"/videos/{i}.mp4"), {}, 0.0, None) for i in range(4)]


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    checkpoints = Checkpoints(tmp_path, 1, newest=tmp_path / "step-1")
    return Watch(Accelerator(cpu=True), Signals(), ROWS, checkpoints)


def see(watch: Watch, step: int, loss: float, *rows: int) -> None:
    watch.see_loss(step, torch.tensor(loss, requires_grad=True), torch.tensor(rows))


def test_a_loss_that_is_not_finite_is_told_two_steps_later(watch: Watch, tmp_path: Path) -> None:
    """With the videos of that batch, once each, and not those of the batches after it."""
    see(watch, 5, 0.7, 0, 1)
    see(watch, 5, math.inf, 2, 2, 1)  # of the same step, accumulated
    assert watch.agree(5) == 0
    see(watch, 6, math.nan, 3)
    assert watch.agree(6) == 0
    see(watch, 7, math.nan, 0)
    with pytest.raises(TrainingError) as error:
        watch.agree(7)
    assert str(error.value).startswith(
        "the loss is inf at step 5, for /videos/2.mp4, /videos/1.mp4; the last good checkpoint is "
        f"{tmp_path / 'step-1'}; try a lower optimizer.lr"
    )


def test_nothing_is_saved_before_all_losses_were_looked_at(watch: Watch) -> None:
    see(watch, 1, 0.5, 0)
    watch.settle()
    see(watch, 2, math.nan, 3)
    with pytest.raises(TrainingError, match=r"the loss is nan at step 2, for /videos/3\.mp4; "):
        watch.settle()


def test_a_gradient_that_is_not_finite_is_told_where_its_loss_was(watch: Watch) -> None:
    see(watch, 1, 0.5, 0)
    watch.see_gradient_norm(1, torch.tensor(math.nan))
    with pytest.raises(TrainingError, match=r"the norm of the gradient is nan at step 1; the last"):
        watch.settle()


def test_a_signal_is_agreed_on_at_the_end_of_the_next_step(watch: Watch) -> None:
    assert watch.agree(1) == 0
    watch.signals.received = 15
    assert watch.agree(2) == 0
    assert watch.agree(3) == 15


def test_the_log_tells_what_was_validated_and_what_was_best() -> None:
    log = [
        {"step": 3, "train/loss": 1.0},
        {"step": 3, "val/top1": 0.5},
        {"step": 6, "val/top1": 0.9},
        {"step": 9, "val/top1": 0.7},
        {"step": 12, "val/top1": 0.7},
    ]
    validations = Validations(log, kept=[3, 6, 9, 12])
    assert (validations.last_step, validations.best_step) == (12, 6)
    validations = Validations(log, kept=[9, 12])  # the best checkpoint is gone
    assert (validations.best_step, validations.best_accuracy) == (9, 0.7)
    assert not validations.add(15, 0.7)
    assert validations.add(18, 0.8)
    assert validations.best_step == 18
    assert Validations([], kept=[]).best_step == 0
