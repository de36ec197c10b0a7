"""Clips that span their videos, ``clip.sampling=segments``, from training to features."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.forked import run_forked
from tests.support import (
    TINY_ARGUMENTS,
    TinyDataset,
    error_line,
    read_manifest,
    succeed,
)


@pytest.fixture(scope="module")
def trained(tiny_dataset: TinyDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a checkpoint."""
    output_dir = tmp_path_factory.mktemp("segments") / "run"
    result = run_forked(
        "train",
        *TINY_ARGUMENTS,
        "clip.sampling=segments",
        f"data.train.manifest={tiny_dataset.train}",
        f"data.val.manifest={tiny_dataset.val}",
        f"output_dir={output_dir}",
        "train.batch_size=6",
        "train.epochs=1",
        "data.num_workers=0",
    )
    succeed(result)
    return output_dir / "last"


def test_the_checkpoint_is_evaluated_in_one_clip_and_three_crops(
    trained: Path, tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    arguments = [f"checkpoint={trained}", f"data.val.manifest={tiny_dataset.val}"]
    arguments += [f"output_dir={tmp_path}", "data.num_workers=0"]
    succeed(run_forked("evaluate", *arguments))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["num_videos"], metrics["num_failed"]) == (9, 0)
    assert (metrics["settings"]["num_clips"], metrics["settings"]["num_crops"]) == (1, 3)
    assert error_line(run_forked("evaluate", *arguments, "evaluate.num_clips=5")) == (
        "evaluate.num_clips=5: clip.sampling=segments, by which all clips of a video would be the "
        "same"
    )


def test_a_window_is_the_whole_video(
    trained: Path, tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    arguments = [f"checkpoint={trained}", f"data.manifest={tiny_dataset.val}"]
    arguments += [f"output_dir={tmp_path}", "data.num_workers=0"]
    succeed(run_forked("extract_features", *arguments))
    path, _ = read_manifest(tiny_dataset.val)[0]
    features = load_file(tmp_path / f"{path}.safetensors")
    assert (features["start_seconds"].tolist(), features["end_seconds"].tolist()) == ([0.0], [1.0])
    assert error_line(run_forked("extract_features", *arguments, "features.stride_seconds=1")) == (
        "features.stride_seconds=1: with the checkpoint's clip.sampling=segments a window is the "
        "whole video; set features.window_seconds, too"
    )
