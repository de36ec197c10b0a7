"""Runs that are killed again and again, and end as if nothing had happened."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from hiera_video.files import UNFINISHED
from hiera_video.training.optimizer_state import OPTIMIZER_FOLDER
from hiera_video.training.saving import STATE_FILE
from tests.forked import start_forked
from tests.support import ROOT, TINY_ARGUMENTS, TinyDataset, files_below

#: The demo's recipes, in small, with all that draws at random in every step. Of the pre-training,
#: mask units span 32 pixels: there are four.
RECIPES = {
    "train": [
        "--config",
        str(ROOT / "configs/demo/finetune.yaml"),
        *TINY_ARGUMENTS,
        "model.drop_path_rate=0.3",
        "augment.mixup_alpha=0.8",
        "augment.cutmix_alpha=1.0",
        "augment.rand_augment_num_ops=1",
        "train.ema_decay=0.9",
    ],
    "pretrain": [
        "--config",
        str(ROOT / "configs/demo/pretrain.yaml"),
        *TINY_ARGUMENTS,
        "clip.crop_size=64",
        "model.decoder_hidden_size=16",
        "model.decoder_depth=1",
        "model.decoder_num_heads=2",
    ],
}
STOPPER = Path(__file__).with_name("stop_at_moment.py")


def arguments(script: str, dataset: TinyDataset, output_dir: Path, num_processes: int) -> list[str]:
    return [
        *RECIPES[script],
        f"data.train.manifest={dataset.train}",
        *([f"data.val.manifest={dataset.val}"] if script == "train" else []),
        f"output_dir={output_dir}",
        "data.num_workers=1",
        f"train.batch_size={4 // num_processes}",
        "train.accumulate_steps=1",
        "train.repeated_sampling=2",
        "train.epochs=6",
        "train.log_steps=3",
        "train.checkpoint_steps=2",
        "optimizer.warmup_epochs=1",
    ]


def writing(chance: random.Random) -> list[object]:
    """Any moment while one of the first two checkpoints is being written, of fifty events each."""
    return [rf"/checkpoints/{re.escape(UNFINISHED)}\w+/step-", chance.randint(1, 90), 0]


def training(chance: random.Random) -> list[object]:
    """Any moment of the three steps after a checkpoint, of a thousand events each."""
    return [r" \S+/checkpoints/step-\d+$", 1, chance.randint(0, 3000)]


def timeless_log(output_dir: Path) -> list[dict[str, Any]]:
    lines = (output_dir / "log.jsonl").read_text().splitlines()
    times = ("clips_per_second", "data_wait_share")
    return [{k: v for k, v in json.loads(line).items() if k not in times} for line in lines]


def optimizer_tensors(checkpoint: Path) -> dict[str, Tensor]:
    files = (checkpoint / OPTIMIZER_FOLDER).iterdir()
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


@pytest.mark.parametrize(
    ("script", "num_processes", "num_kills"),
    [
        ("train", 1, 3),
        *(
            pytest.param(script, num_processes, 10, marks=pytest.mark.long)
            for script in RECIPES
            for num_processes in (1, 2)
        ),
    ],
)
def test_a_run_killed_again_and_again_ends_with_the_bits_of_one_that_was_not(
    script: str, num_processes: int, num_kills: int, tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    chance = random.Random(f"{script} {num_processes} {num_kills}")
    num_unfinished = 0
    for number in range(num_kills):
        moment = (writing, training)[number % 2]
        killed = start_forked(
            STOPPER,
            [
                *moment(chance),
                ROOT / "scripts" / f"{script}.py",
                *arguments(script, tiny_dataset, broken, num_processes),
            ],
            tmp_path / f"{number}.log",
            num_processes,
        )
        killed.wait_until_stopped()
        for process in killed.processes:
            process.kill()
        assert killed.wait() == [-9] * num_processes
        num_unfinished += any(broken.glob(f"checkpoints/{UNFINISHED}*"))
    assert num_unfinished > 0  # though some were killed at the last event, its renaming
    for output_dir in (broken, whole):
        log = tmp_path / f"{output_dir.name}.log"
        settings = arguments(script, tiny_dataset, output_dir, num_processes)
        finished = start_forked(script, settings, log, num_processes)
        assert finished.wait() == [0] * num_processes, finished.output
        assert f"2 x {num_processes} processes" in finished.output or num_processes == 1
    for link in ("last", "best") if script == "train" else ("last",):
        assert (whole / link).readlink() == (broken / link).readlink()
        weights = [(folder / link / "model.safetensors").read_bytes() for folder in (whole, broken)]
        assert weights[0] == weights[1]
    checkpoints = [(folder / "last").resolve().parent for folder in (whole, broken)]
    states = [torch.load(checkpoint / STATE_FILE) for checkpoint in checkpoints]
    tensors = [optimizer_tensors(checkpoint) for checkpoint in checkpoints]
    assert len(tensors[0]) > 100
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(tensor, tensors[1][name]) for name, tensor in tensors[0].items())
    assert states[0]["optimizer"] == states[1]["optimizer"]
    assert states[0]["progress"] == states[1]["progress"]
    assert timeless_log(whole) == timeless_log(broken)
    assert not [name for name in files_below(broken) if "/." in name]
