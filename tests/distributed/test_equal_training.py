"""How many processes, workers and shards there are changes the speed of training, nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from hiera_video.config.groups import OptimizerSettings
from hiera_video.config.machinery import parse_settings
from hiera_video.errors import Interrupted
from hiera_video.models.classification import HieraForVideoClassification
from hiera_video.training.agreement import StopTogether
from hiera_video.training.optim import make_optimizer
from hiera_video.training.optimizer_state import OPTIMIZER_FOLDER
from hiera_video.training.resume import load_optimizer, read_saved
from hiera_video.training.run import train
from hiera_video.training.settings import TrainRun
from tests.forked import start_forked
from tests.support import (
    ROOT,
    TINY_ARGUMENTS,
    TinyDataset,
    forget_accelerator,
    logged,
    save_as_0_1_0,
    weights,
)

RECORDER = Path(__file__).with_name("record_process.py")
SHARDER = Path(__file__).with_name("shard_on_cpu.py")


def arguments(dataset: TinyDataset, output_dir: Path, *more: str) -> list[str]:
    """Without mixing and drop path, which draw per batch."""
    return [
        *TINY_ARGUMENTS,
        f"data.train.manifest={dataset.train}",
        f"data.val.manifest={dataset.val}",
        f"output_dir={output_dir}",
        "data.num_workers=0",
        "train.epochs=2",
        "train.log_steps=1",
        *more,
    ]


def record(
    folder: Path, settings: list[str], num_processes: int, recorder: Path = RECORDER
) -> list[dict[str, Any]]:
    """Train, and return what each process was and did. There were as many as there should be."""
    folder.mkdir()
    command = [folder, ROOT / "scripts" / "train.py", *settings]
    run = start_forked(recorder, command, folder / "log", num_processes)
    assert run.wait() == [0] * num_processes, run.output
    facts = [torch.load(folder / f"{rank}.pt") for rank in range(num_processes)]
    assert [fact["num_processes"] for fact in facts] == [num_processes] * num_processes
    return facts


def assert_close(one: dict[str, Tensor], other: dict[str, Tensor], tolerance: float) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        difference = (tensor - other[name]).abs().max().item()
        assert difference <= tolerance, (name, difference)


def losses(output_dir: Path) -> list[float]:
    return logged(output_dir, "train/loss")


@pytest.mark.parametrize("repeated_sampling", [1, 2])
@pytest.mark.parametrize("accumulate_steps", [1, 2])
def test_two_processes_train_as_one_with_twice_the_batch(
    accumulate_steps: int, repeated_sampling: int, tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    common = [
        f"train.accumulate_steps={accumulate_steps}",
        f"train.repeated_sampling={repeated_sampling}",
    ]
    facts = []
    for num_processes in (1, 2):
        settings = arguments(
            tiny_dataset,
            tmp_path / f"run{num_processes}",
            f"train.batch_size={4 // num_processes}",
            *common,
        )
        facts.append(record(tmp_path / f"{num_processes}", settings, num_processes))
    (alone,), (first, second) = facts
    assert first["num_steps"] == alone["num_steps"] >= 8
    assert_close(first["first_gradients"], second["first_gradients"], 0)
    assert_close(first["first_gradients"], alone["first_gradients"], 1e-5)
    assert max(g.abs().max().item() for g in alone["first_gradients"].values()) > 1e-2
    assert_close(first["weights_after_five_steps"], alone["weights_after_five_steps"], 1e-4)
    # Gradients go round once a step, however many batches it accumulates.
    assert first["num_all_reduces"] == first["num_steps"]


@pytest.mark.parametrize("num_processes", [2, pytest.param(4, marks=pytest.mark.long)])
def test_sharded_training_gives_the_same_losses(
    num_processes: int, tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    """FSDP2 over gloo: full sharding by two processes, hybrid (2 x 2) by four.

    Two processes with shards go on from its checkpoints, and so does a single one without.
    """
    common = ["train.clip_grad_norm=1.0", "train.checkpoint_steps=4"]
    share = [f"train.batch_size={12 // num_processes}", *common]
    whole, sharded = tmp_path / "whole", tmp_path / "sharded"
    record(tmp_path / "1", arguments(tiny_dataset, whole, *share), num_processes)
    facts = record(tmp_path / "2", arguments(tiny_dataset, sharded, *share), num_processes, SHARDER)
    assert all(fact["sharded_over"] == 2 for fact in facts)
    assert len(losses(whole)) == 6
    assert losses(sharded) == pytest.approx(losses(whole), abs=1e-4)
    assert_close(weights(sharded), weights(whole), 1e-4)
    # What users share is whole: the weights that the processes had in the end.
    assert_close(weights(sharded), facts[-1]["weights"][0], 0)
    # AdamW has two moments of each weight, and counts its steps; every process wrote a part of it.
    num_values = sum(2 * tensor.numel() + 1 for tensor in weights(sharded).values())
    checkpoint = sharded / "checkpoints" / "step-00000004"
    parts = [load_file(path) for path in (checkpoint / OPTIMIZER_FOLDER).iterdir()]
    sizes = [sum(tensor.numel() for tensor in part.values()) for part in parts]
    assert len(sizes) == num_processes
    assert sum(sizes) == num_values
    assert max(sizes) < 0.6 * num_values

    resume = f"resume={checkpoint}"
    settings = arguments(tiny_dataset, tmp_path / "two", *common, resume, "train.batch_size=6")
    record(tmp_path / "3", settings, 2, SHARDER)
    assert losses(tmp_path / "two") == pytest.approx(losses(sharded)[4:], abs=1e-4)
    if num_processes == 2:
        assert losses(tmp_path / "two") == losses(sharded)[4:]
        assert_close(weights(tmp_path / "two"), weights(sharded), 0)
    settings = arguments(tiny_dataset, tmp_path / "one", *common, resume, "train.batch_size=12")
    record(tmp_path / "4", settings, 1)
    assert losses(tmp_path / "one") == pytest.approx(losses(sharded)[4:], abs=1e-4)


def test_shards_go_on_from_a_checkpoint_of_whole_tensors(
    tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    """Also from one that version 0.1.0 saved."""
    common = ["train.clip_grad_norm=1.0", "train.checkpoint_steps=4"]
    settings = arguments(tiny_dataset, tmp_path / "whole", *common, "train.batch_size=12")
    record(tmp_path / "1", settings, 1)
    new = tmp_path / "whole" / "checkpoints" / "step-00000004"
    old = shutil.copytree(new, tmp_path / "old")
    model = HieraForVideoClassification.from_pretrained(new / "model")
    saved = read_saved([new])
    assert saved is not None
    optimizer = make_optimizer(model, OptimizerSettings())
    load_optimizer(model, optimizer, saved)
    save_as_0_1_0(old, optimizer.state_dict())
    for name, checkpoint in (("2", new), ("3", old)):
        settings = arguments(tiny_dataset, tmp_path / f"run{name}", *common, "train.batch_size=6")
        record(tmp_path / name, [*settings, f"resume={checkpoint}"], 2, SHARDER)
    assert losses(tmp_path / "run2") == pytest.approx(losses(tmp_path / "whole")[4:], abs=1e-4)
    assert losses(tmp_path / "run3") == losses(tmp_path / "run2")
    assert_close(weights(tmp_path / "run3"), weights(tmp_path / "run2"), 0)


def test_mixed_precision_is_the_same_with_shards(tiny_dataset: TinyDataset, tmp_path: Path) -> None:
    """Accelerate would round pixels, losses and sums of gradients to bf16."""
    found = []
    for name, recorder in (("whole", RECORDER), ("sharded", SHARDER)):
        output_dir = tmp_path / name
        settings = arguments(tiny_dataset, output_dir, "train.batch_size=6", "precision=bf16")
        record(tmp_path / f"{name}_processes", settings, 2, recorder)
        found.append(losses(output_dir))
    assert found[0] == pytest.approx(found[1], abs=1e-4)


@pytest.mark.long
def test_sharded_weights_are_not_averaged(tiny_dataset: TinyDataset, tmp_path: Path) -> None:
    settings = arguments(tiny_dataset, tmp_path / "run", "train.ema_decay=0.9")
    (tmp_path / "processes").mkdir()
    command = [tmp_path / "processes", ROOT / "scripts" / "train.py", *settings]
    run = start_forked(SHARDER, command, tmp_path / "log", num_processes=2)
    assert run.wait() == [2, 2]
    assert "train.ema_decay: cannot average weights that are sharded (FSDP)" in run.output


def test_workers_change_nothing(tiny_dataset: TinyDataset, tmp_path: Path) -> None:
    for num_workers in (0, 1, 2):
        settings = arguments(
            tiny_dataset,
            tmp_path / f"{num_workers}",
            f"data.num_workers={num_workers}",
            "augment.mixup_alpha=0.8",
            "model.drop_path_rate=0.3",
        )
        train(parse_settings(TrainRun, settings))
        forget_accelerator()
        assert_close(weights(tmp_path / f"{num_workers}"), weights(tmp_path / "0"), 0)


def test_another_number_of_processes_goes_on_with_the_same_clips(
    tiny_dataset: TinyDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process, stopped in the middle of a pass and between two log lines; then two."""
    common = ["train.log_steps=2"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(parse_settings(TrainRun, arguments(tiny_dataset, whole, *common, "train.batch_size=4")))
    forget_accelerator()
    with monkeypatch.context() as patch:
        patch.setattr(StopTogether, "agree", lambda _, step: 15 * (step == 5))
        with pytest.raises(
            Interrupted, match="stopped by SIGTERM at step 5; rerun the same command"
        ):
            train(
                parse_settings(
                    TrainRun, arguments(tiny_dataset, broken, *common, "train.batch_size=4")
                )
            )
    record(tmp_path / "two", arguments(tiny_dataset, broken, *common, "train.batch_size=2"), 2)
    assert losses(broken) == pytest.approx(losses(whole), abs=1e-4)
    assert_close(weights(broken), weights(whole), 1e-4)
