"""The training loop: rates, modes, validation and seeds, as seen in whole runs in this process."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hiera_video.batch import ClipBatch
from hiera_video.errors import ConfigError
from hiera_video.models.classification import HieraClassifier, HieraForVideoClassification
from hiera_video.tasks.task import BatchLoss, Task
from hiera_video.training.saving import STATE_FILE, Checkpoints, saved_checkpoints
from hiera_video.training.validation import Validation
from tests.support import TinyDataset
from tests.training.runs import train_here


def test_the_rate_of_every_step(tiny_dataset: TinyDataset, tmp_path: Path) -> None:
    """A step, of two batches, takes two clips from each of 6 of 36 videos: a third of an epoch.

    It has 12 clips, half of those that the rates are meant for.
    """
    log = train_here(
        tiny_dataset,
        tmp_path,
        "train.epochs=4",
        "train.repeated_sampling=2",
        "train.batch_size=6",
        "train.accumulate_steps=2",
        "train.log_steps=1",
        "optimizer.lr=3e-3",
        "optimizer.min_lr=1e-3",
        "optimizer.lr_batch_size=24",
        "optimizer.warmup_epochs=1",
        "optimizer.layer_decay=0.5",
    )
    highest, lowest = 1.5e-3, 0.5e-3
    epochs = [step / 3 for step in range(12)]
    rates = [
        highest * epoch
        if epoch < 1
        else lowest + (highest - lowest) * (1 + math.cos(math.pi * (epoch - 1) / 3)) / 2
        for epoch in epochs
    ]
    assert [record["step"] for record in log] == list(range(1, 13))
    assert [record["epoch"] for record in log] == pytest.approx(epochs)
    assert [record["lr"] for record in log] == pytest.approx(rates)

    state = torch.load(saved_checkpoints(tmp_path)[-1] / STATE_FILE, weights_only=True)
    of_layers = sorted({group["lr"] for group in state["optimizer"]["param_groups"]})
    assert of_layers == pytest.approx([rates[-1] / 2**layer for layer in (5, 4, 3, 2, 1, 0)])


@pytest.mark.usefixtures("whole_runs")
def test_batches_are_trained_on_in_training_mode_and_scored_in_evaluation_mode(
    tiny_dataset: TinyDataset,
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A model that is loaded starts in evaluation mode, and validation leaves it there. The first
    step is the one whose memory is counted."""
    forward = HieraClassifier.forward
    seen: list[tuple[bool, set[bool]]] = []

    def watched(self: HieraClassifier, *values: Any, **named: Any) -> Any:
        modes = {module.training for module in self.modules()}
        seen.append((torch.is_grad_enabled(), modes))
        return forward(self, *values, **named)

    monkeypatch.setattr(HieraClassifier, "forward", watched)
    more = ["train.epochs=2", f"init_from={tiny_checkpoint}"]
    train_here(tiny_dataset, tmp_path, f"data.val.manifest={tiny_dataset.val}", *more)
    assert seen == [(True, {True}), *([*[(True, {True})] * 3, (False, {False})] * 2)]


@pytest.mark.parametrize(
    ("epochs", "every", "repeats", "validated"),
    [(5, 2, 1, [2, 4, 5]), (8, 3, 2, [4, 6, 8])],
)
def test_validation_every_so_many_epochs_and_after_the_last(
    epochs: int,
    every: int,
    repeats: int,
    validated: list[int],
    tiny_dataset: TinyDataset,
    tmp_path: Path,
) -> None:
    """Where a pass is several epochs, after the pass in which one was due."""
    log = train_here(
        tiny_dataset,
        tmp_path,
        f"data.train.manifest={tiny_dataset.val}",  # nine videos: one step
        f"data.val.manifest={tiny_dataset.val}",
        f"train.epochs={epochs}",
        f"train.validate_epochs={every}",
        f"train.repeated_sampling={repeats}",
        f"train.batch_size={9 * repeats}",
    )
    assert [record["epoch"] for record in log if "val/top1" in record] == validated


def test_a_run_that_ended_before_it_was_validated_is_validated_when_it_goes_on(
    tiny_dataset: TinyDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Checkpoints.save

    def save_now(self: Checkpoints, *values: Any) -> None:
        save(self, *values)
        self.wait()

    def end(*_: object) -> dict[str, float]:
        raise KeyboardInterrupt

    arguments = [f"data.val.manifest={tiny_dataset.val}", "train.epochs=1"]
    monkeypatch.setattr(Checkpoints, "save", save_now)
    monkeypatch.setattr(Validation, "measure", end)
    with pytest.raises(KeyboardInterrupt):
        train_here(tiny_dataset, tmp_path, *arguments)
    assert not (tmp_path / "best").exists()
    monkeypatch.undo()
    log = train_here(tiny_dataset, tmp_path, *arguments)
    assert [record["step"] for record in log if "val/top1" in record] == [3]
    assert (tmp_path / "best").resolve() == (tmp_path / "last").resolve()


def test_all_that_is_random_follows_the_seed(
    tiny_dataset: TinyDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of the videos, clips of them, the first weights, and draws for a batch."""
    loss = Task.batch_loss
    batches: list[dict[str, Tensor]] = []

    def watched(self: Task, model: nn.Module, batch: ClipBatch) -> BatchLoss:
        batches.append(
            {
                "order": batch.rows,
                "clips": batch.pixel_values[batch.rows.argsort()],
                "weights": model.get_parameter("classifier.weight").detach().clone(),
                "draws": torch.tensor(torch.initial_seed() >> 1),
            }
        )
        return loss(self, model, batch)

    monkeypatch.setattr(Task, "batch_loss", watched)
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        whole = [f"seed={seed}", "train.epochs=1", "train.batch_size=36"]
        train_here(tiny_dataset, tmp_path / name, *whole)
    one, again, other = batches
    assert {name for name in one if one[name].equal(again[name])} == set(one)
    assert {name for name in one if one[name].equal(other[name])} == set()


def test_a_run_goes_on_with_other_drop_path_and_dropout(
    tiny_dataset: TinyDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """These two fields of the model may change; from then on they are what is trained with."""
    first = ["model.drop_path_rate=0.1", "train.epochs=1"]
    train_here(tiny_dataset, tmp_path, *first)
    assert "changed" not in capsys.readouterr().out
    then = ["model.drop_path_rate=0.3", "model.head_dropout=0.4", "train.epochs=2"]
    train_here(tiny_dataset, tmp_path, *then)
    output = capsys.readouterr().out
    assert re.findall("^changed +(.+)$", output, re.MULTILINE) == [
        "model.drop_path_rate 0.1 -> 0.3",
        "model.head_dropout default -> 0.4",
        "train.epochs 1 -> 2",
    ]
    assert "resuming from step 3\n" in output
    assert (tmp_path / "last").resolve().parent.name == "step-00000006"
    config = HieraForVideoClassification.from_pretrained(tmp_path / "last").config
    assert (config.drop_path_rate, config.head_dropout) == (0.3, 0.4)
    with pytest.raises(ConfigError, match=r"finished, .* \(model\.head_dropout 0\.4 -> default\)"):
        train_here(tiny_dataset, tmp_path, then[0], then[2])
