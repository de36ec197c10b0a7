"""A new kind of learning is one file, and goes through the real loop."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from hiera_video.config.machinery import parse_settings
from hiera_video.training.settings import TrainRun
from tests.support import TINY_ARGUMENTS, write_manifest, write_video
from tests.training.toy_task import train_brightness


@pytest.fixture(scope="module")
def grey_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with manifests of videos that are grey, and how bright they are."""
    folder = tmp_path_factory.mktemp("grey")
    for split, count in (("train", 12), ("val", 6)):
        rows = []
        for index in range(count):
            level = round(255 * (index + 0.5) / count)
            frames = np.full((8, 32, 32, 3), level, np.uint8)
            path = f"{split}/{index}.mp4"
            write_video(folder / path, frames=frames)
            rows.append((path, level / 255))
        write_manifest(folder / f"{split}.csv", rows, header="path,brightness")
    return folder


def run_of(folder: Path, output_dir: Path, *arguments: str) -> TrainRun:
    return parse_settings(
        TrainRun,
        [
            *TINY_ARGUMENTS,
            f"data.train.manifest={folder / 'train.csv'}",
            f"data.val.manifest={folder / 'val.csv'}",
            f"output_dir={output_dir}",
            "data.num_workers=0",
            "train.batch_size=4",
            "train.epochs=6",
            "optimizer.lr=3e-3",
            "train.keep_checkpoints=6",
            *arguments,
        ],
    )


def log_of(output_dir: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (output_dir / "log.jsonl").read_text().splitlines()]


def test_its_own_figure_decides_which_checkpoint_is_best(
    grey_videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_brightness(run_of(grey_videos, tmp_path))
    log = log_of(tmp_path)
    errors = {r["step"]: r["val/absolute_error"] for r in log if "val/absolute_error" in r}
    assert len(errors) == 6
    best = min(errors, key=errors.__getitem__)
    assert (tmp_path / "best").resolve().parent.name == f"step-{best:08d}"
    assert f"best absolute_error {errors[best]:.4f} at step {best}" in capsys.readouterr().out
    assert errors[best] < errors[min(errors)]  # it learns
    *_, last = (record for record in log if "train/loss" in record)
    assert last["train/absolute_error"] ** 2 < last["train/loss"]  # a mean of squares
    assert (tmp_path / "curves.png").exists()


def test_it_resumes_to_the_same_bits(grey_videos: Path, tmp_path: Path) -> None:
    train_brightness(run_of(grey_videos, tmp_path / "whole"))
    half = run_of(grey_videos, tmp_path / "halves", "train.checkpoint_steps=1")
    train_brightness(half)
    for checkpoint in sorted((tmp_path / "halves" / "checkpoints").iterdir())[1:]:
        assert checkpoint.name.startswith("step-")
        for file in sorted(checkpoint.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        checkpoint.rmdir()
    train_brightness(half)
    whole, resumed = (
        load_file(tmp_path / name / "last" / "model.safetensors") for name in ("whole", "halves")
    )
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    best = [(tmp_path / name / "best").resolve().parent.name for name in ("whole", "halves")]
    assert best[0] == best[1]


def test_a_model_is_adapted_before_its_optimizer_is_made(grey_videos: Path, tmp_path: Path) -> None:
    def freeze(model: nn.Module) -> None:
        for name, weight in model.named_parameters():
            weight.requires_grad_(name.startswith("classifier."))

    train_brightness(run_of(grey_videos, tmp_path / "frozen"), freeze)
    first, last = (
        load_file(path / "model" / "model.safetensors")
        for path in sorted((tmp_path / "frozen" / "checkpoints").iterdir())[::5]
    )
    changed = {name for name in first if not torch.equal(first[name], last[name])}
    assert changed == {"classifier.weight", "classifier.bias"}
