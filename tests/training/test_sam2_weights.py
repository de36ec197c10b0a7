"""Runs that start from a file of SAM 2: an image encoder of Apache-2.0, inflated to clips."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file

from tests.forked import run_forked
from tests.parity.compare import randomize
from tests.parity.test_sam2 import original_names
from tests.support import TinyDataset

#: Three times of 2x2 mask units, so that a clip of a model of full size costs little.
SMALL = ["clip.num_frames=6", "clip.crop_size=64", "train.epochs=1", "train.batch_size=12"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sam2") / "sam2.1_hiera_tiny.pt"
    model = timm.create_model("sam2_hiera_tiny")
    randomize(model)
    torch.save({"model": original_names(model.state_dict())}, path)
    return path


@pytest.mark.long
@pytest.mark.parametrize("script", ["train", "pretrain"])
def test_runs_start_from_the_file_alone(
    script: str, weights: Path, tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    arguments = [f"data.train.manifest={tiny_dataset.train}", *SMALL, "data.num_workers=0"]
    if script == "pretrain":
        arguments += ["model.decoder_hidden_size=16", "model.decoder_depth=1"]
        arguments += ["model.decoder_num_heads=2"]
    run = run_forked(
        script, *arguments, f"init_from={weights}", f"output_dir={tmp_path}", "optimizer.lr=1e-9"
    )
    assert run.returncode == 0, run.stderr
    assert f"weights    {weights}, of images, inflated to clips" in run.stdout
    config = json.loads((tmp_path / "last" / "config.json").read_text())
    assert config["image_size"] == [6, 64, 64]
    assert (config["depths"], config["window_units"]) == ([1, 2, 7, 2], 7)
    assert config["global_attention_blocks"] == [5, 7, 9]
    assert not config["global_position_antialias"]
    clip = json.loads((tmp_path / "last" / "preprocessor.json").read_text())
    assert clip["mean"] == [0.485, 0.456, 0.406]
    trained = load_file(tmp_path / "last" / "model.safetensors")
    name = "hiera.encoder.stages.2.3.attention.qkv.weight"
    start = torch.load(weights, weights_only=True)["model"]
    wanted = start["image_encoder.trunk.blocks.6.attn.qkv.weight"]
    assert torch.allclose(trained[name], wanted, atol=1e-5)
