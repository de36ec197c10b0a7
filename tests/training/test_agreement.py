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
from hiera_video.tasks.task import Criterion
from hiera_video.training.agreement import StopTogether
from hiera_video.training.saving import Checkpoints
from hiera_video.training.validation import BestCheckpoint

ROWS = [Row(i, f"{i}.mp4", Path(f"/videos/{i}.mp4"), {}, 0.0, None) for i in range(4)]


@pytest.fixture
def stop(tmp_path: Path) -> StopTogether:
    checkpoints = Checkpoints(tmp_path, 1, newest=tmp_path / "step-1")
    return StopTogether(Accelerator(cpu=True), Signals(), checkpoints)


def see(stop: StopTogether, step: int, loss: float, *rows: int) -> None:
    stop.see_loss(step, torch.tensor(loss, requires_grad=True), [(ROWS, torch.tensor(rows))])


def test_a_loss_that_is_not_finite_is_told_two_steps_later(
    stop: StopTogether, tmp_path: Path
) -> None:
    """With the videos of that batch, once each, and not those of the batches after it."""
    see(stop, 5, 0.7, 0, 1)
    see(stop, 5, math.inf, 2, 2, 1)  # of the same step, accumulated
    assert stop.agree(5) == 0
    see(stop, 6, math.nan, 3)
    assert stop.agree(6) == 0
    see(stop, 7, math.nan, 0)
    with pytest.raises(TrainingError) as error:
        stop.agree(7)
    assert str(error.value).startswith(
        "the loss is inf at step 5, for /videos/2.mp4, /videos/1.mp4; the last good checkpoint is "
        f"{tmp_path / 'step-1'}; try a lower optimizer.lr"
    )


def test_nothing_is_saved_before_all_losses_were_looked_at(stop: StopTogether) -> None:
    see(stop, 1, 0.5, 0)
    stop.settle()
    see(stop, 2, math.nan, 3)
    with pytest.raises(TrainingError, match=r"the loss is nan at step 2, for /videos/3\.mp4; "):
        stop.settle()


def test_a_gradient_that_is_not_finite_is_told_where_its_loss_was(stop: StopTogether) -> None:
    see(stop, 1, 0.5, 0)
    stop.see_gradient_norm(1, torch.tensor(math.nan))
    with pytest.raises(TrainingError, match=r"the norm of the gradient is nan at step 1; the last"):
        stop.settle()


def test_a_signal_is_agreed_on_at_the_end_of_the_next_step(stop: StopTogether) -> None:
    assert stop.agree(1) == 0
    stop.signals.received = 15
    assert stop.agree(2) == 0
    assert stop.agree(3) == 15


def test_the_log_tells_what_was_validated_and_what_was_best() -> None:
    log = [
        {"step": 3, "train/loss": 1.0},
        {"step": 3, "val/top1": 0.5},
        {"step": 6, "val/top1": 0.9},
        {"step": 9, "val/top1": 0.7},
        {"step": 12, "val/top1": 0.7},
    ]
    higher, lower = Criterion("top1"), Criterion("top1", higher_is_better=False)
    best = BestCheckpoint(higher, log, kept=[3, 6, 9, 12])
    assert (best.last_step, best.step) == (12, 6)
    best = BestCheckpoint(higher, log, kept=[9, 12])  # the best checkpoint is gone
    assert (best.step, best.value) == (9, 0.7)
    assert not best.add(15, {"val/top1": 0.7})
    assert best.add(18, {"val/top1": 0.8})
    assert best.step == 18
    assert BestCheckpoint(higher).step == 0
    best = BestCheckpoint(lower, log, kept=[3, 6, 9, 12])
    assert (best.last_step, best.step, best.value) == (12, 3, 0.5)
    assert not best.add(15, {"val/top1": 0.5})
    assert best.add(18, {"val/top1": 0.4})


def test_figures_of_which_none_decides_are_validated_once() -> None:
    """A task may measure something and call no checkpoint the best."""
    best = BestCheckpoint(None, [{"step": 3, "val/error": 0.5}], kept=[3])
    assert (best.last_step, best.step, best.value) == (3, 0, None)
    assert not best.add(6, {"val/error": 0.4})
    assert best.last_step == 6
