"""Checkpoints in all layouts: conversion is lossless, and everything that does not fit is named."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hiera
import pytest
import torch
from safetensors.torch import load_file, save_file

from hiera_video import (
    HieraBackbone,
    HieraConfig,
    HieraForImageClassification,
    HieraForPreTraining,
    HieraForVideoClassification,
    HieraModel,
    create_model,
)
from hiera_video.commands.convert import ConvertRun, start
from hiera_video.config.machinery import parse_settings
from hiera_video.errors import CheckpointError, UserError
from hiera_video.models.convert import convert
from hiera_video.models.layouts import files, find_checkpoint, official, read_checkpoint
from hiera_video.models.registry import load_model
from tests.models.small import DECODER, IMAGE, VIDEO, clips, images

ROOT = Path(__file__).parents[2]


def save_image_classifier(folder: Path, **changes: Any) -> Any:
    model: Any = HieraForImageClassification(HieraConfig(**IMAGE, num_labels=3, **changes)).eval()
    torch.nn.init.normal_(model.classifier.weight)
    model.save_pretrained(folder)
    return model


def save_pretraining(folder: Path, base: dict[str, Any] = IMAGE) -> HieraForPreTraining:
    model = HieraForPreTraining(HieraConfig(**{**base, **DECODER})).eval()
    model.save_pretrained(folder)
    return model


#: timm's models are of published sizes alone: tests/parity/test_timm.py.
OF_ANY_SIZE = ("hiera_video", "transformers", "official")


@pytest.mark.parametrize("second", OF_ANY_SIZE)
@pytest.mark.parametrize("first", OF_ANY_SIZE)
@pytest.mark.parametrize("make", [save_image_classifier, save_pretraining])
def test_any_layout_from_any_other(
    make: Callable[[Path], Any], first: str, second: str, tmp_path: Path
) -> None:
    model = make(tmp_path / "own")
    convert(tmp_path / "own", tmp_path / "first", first)
    convert(tmp_path / "first", tmp_path / "second", second)
    for folder in ("first", "second"):
        back = type(model).from_pretrained(tmp_path / folder)
        assert not back.training
        for name, tensor in model.state_dict().items():
            assert torch.equal(back.state_dict()[name], tensor), name
    kept = {"num_labels", "id2label", "label2id"} if first == second == "hiera_video" else set()
    for field in {"image_size", "depths", "num_heads", "mask_ratio", "decoder_depth", *kept}:
        if not (field == "mask_ratio" and "official" in (first, second)):
            assert getattr(back.config, field) == getattr(model.config, field), field


def test_video_classifier_through_official_pth(tmp_path: Path) -> None:
    model = HieraForVideoClassification(HieraConfig(**VIDEO, num_labels=4)).eval()
    model.save_pretrained(tmp_path / "own")
    written = convert(tmp_path / "own", tmp_path / "official", "official")
    assert [path.name for path in written] == ["model.safetensors", "config.json", "model.pth"]
    bare = tmp_path / "bare.pth"
    shutil.copyfile(tmp_path / "official/model.pth", bare)
    with pytest.raises(CheckpointError, match="give num_heads"):
        HieraForVideoClassification.from_pretrained(bare)
    back = HieraForVideoClassification.from_pretrained(bare, num_heads=VIDEO["num_heads"])
    assert back.config.image_size == model.config.image_size
    assert torch.equal(back(clips()).logits, model(clips()).logits)
    given = HieraForVideoClassification.from_pretrained(bare, config=model.config)
    assert torch.equal(given(clips()).logits, model(clips()).logits)


def test_official_hub_layout(tmp_path: Path) -> None:
    theirs = hiera.Hiera(
        input_size=(64, 64), embed_dim=24, stages=(1, 1, 1, 1), num_classes=3, head_mul=1.0
    ).eval()
    torch.nn.init.normal_(theirs.head.projection.weight)
    theirs.save_pretrained(tmp_path)
    ours = HieraForImageClassification.from_pretrained(tmp_path)
    assert ours.config.num_heads == [1, 1, 1, 1]
    assert torch.allclose(ours(images()).logits.softmax(-1), theirs(images()), atol=1e-6)
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint.architecture == "HieraForImageClassification"
    assert checkpoint.config.num_labels == 3


def test_official_autoencoder_from_the_hub_layout(tmp_path: Path) -> None:
    theirs = hiera.MaskedAutoencoderHiera(
        input_size=(64, 64),
        embed_dim=24,
        stages=(1, 1, 1, 1),
        q_pool=2,
        decoder_embed_dim=32,
        decoder_depth=1,
        decoder_num_heads=4,
    )
    theirs.save_pretrained(tmp_path)
    ours = load_model(tmp_path)
    assert isinstance(ours, HieraForPreTraining)
    assert ours.config.decoder_num_heads == 4
    assert ours.config.decoder_depth == 1


def test_our_official_layout_loads_in_the_official_package(tmp_path: Path) -> None:
    ours = save_image_classifier(tmp_path / "own")
    convert(tmp_path / "own", tmp_path / "official", "official")
    theirs = hiera.Hiera.from_pretrained(tmp_path / "official", strict=True).eval()
    assert torch.allclose(ours(images()).logits.softmax(-1), theirs(images()), atol=1e-6)


def test_published_heads_are_known_from_widths_and_depths() -> None:
    with torch.device("meta"):
        model = create_model("hiera_base_plus_224")
    _, weights = official.write(model.to_checkpoint())
    assert official.read(None, weights).config == model.config


def test_sharded_and_older_weight_files(tmp_path: Path) -> None:
    model = save_image_classifier(tmp_path)
    weights = load_file(tmp_path / files.WEIGHTS_FILE)
    (tmp_path / files.WEIGHTS_FILE).unlink()
    torch.save(weights, tmp_path / "pytorch_model.bin")
    older = HieraForImageClassification.from_pretrained(tmp_path)
    names = sorted(weights)
    shards = {"a.safetensors": names[:9], "b.safetensors": names[9:]}
    for shard, held in shards.items():
        save_file({name: weights[name] for name in held}, tmp_path / shard)
    index = {"weight_map": {name: shard for shard, held in shards.items() for name in held}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    sharded = HieraForImageClassification.from_pretrained(tmp_path)
    for loaded in (older, sharded):
        assert torch.equal(loaded(images()).logits, model(images()).logits)


class _Harm:
    def __reduce__(self) -> Any:
        return (print, ("code of a checkpoint ran",))


def test_pickled_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.pth"
    torch.save({"model_state": _Harm()}, path)
    with pytest.raises(CheckpointError, match="is refused: it holds more than tensors"):
        HieraForImageClassification.from_pretrained(path)
    path.write_bytes(pickle.dumps(_Harm(), protocol=2))
    with pytest.raises(CheckpointError, match="is refused: it holds more than tensors"):
        HieraForImageClassification.from_pretrained(path)
    path.write_bytes(pickle.dumps(_Harm(), protocol=5))
    with pytest.raises(CheckpointError, match="no weights that can be read without running code"):
        HieraForImageClassification.from_pretrained(path)
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read|holds no weights"),
        (b"no weights at all", "holds no weights that can be read|cannot be read"),
    ],
)
def test_damaged_pth(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)


def test_truncated_pth(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save({"model_state": {"a": torch.zeros(1000)}}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match=r"model\.pth: (cannot be read|holds no weights)"):
        read_checkpoint(path)


def test_foreign_weights_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save({"model_state": {"conv1.weight": torch.zeros(1)}}, path)
    with pytest.raises(CheckpointError, match="and these weights need it"):
        read_checkpoint(path)
    (tmp_path / "config.json").write_text('{"architecture": "HieraModel"}')
    save_file({"conv1.weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"no Hiera weights of a known layout.*conv1\.weight"):
        read_checkpoint(tmp_path)
    torch.save([torch.zeros(1)], path)
    with pytest.raises(CheckpointError, match="wanted a dictionary of tensors"):
        read_checkpoint(path)


def test_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = save_image_classifier(tmp_path / "snapshot")
    asked = []

    def download(name: str) -> str:
        asked.append(name)
        return str(tmp_path / "snapshot")

    monkeypatch.setattr(files, "snapshot_download", download)
    back = HieraForImageClassification.from_pretrained("someone/hiera_base_224.mae_in1k")
    assert asked == ["someone/hiera_base_224.mae_in1k"]
    assert torch.equal(back(images()).logits, model(images()).logits)


def test_a_name_that_nobody_has() -> None:
    with pytest.raises(CheckpointError, match="no such file or directory, and it could not be fet"):
        find_checkpoint("no-such-owner/no-such-model")
    with pytest.raises(CheckpointError, match="no such file or directory"):
        find_checkpoint("/nowhere/model.pth")


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    model = save_image_classifier(tmp_path / "models" / "mine")
    assert find_checkpoint("~/models/mine") == tmp_path / "models" / "mine"
    back = HieraForImageClassification.from_pretrained("~/models/mine")
    assert torch.equal(back(images()).logits, model(images()).logits)
    for nowhere in ("~/models/others", "~nobody-of-this-name/model"):
        with pytest.raises(CheckpointError, match=f"^{nowhere}: no such file or directory$"):
            find_checkpoint(nowhere)


def test_the_folder_of_a_run_leads_to_its_checkpoint(tmp_path: Path) -> None:
    for name in ("last", "best"):
        save_image_classifier(tmp_path / name)
        message = f"{tmp_path}: is a run's output folder; did you mean {tmp_path / name}?"
        with pytest.raises(CheckpointError, match=re.escape(message)):
            read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("model", "layout", "message"),
    [
        (HieraForVideoClassification(HieraConfig(**VIDEO)), "transformers", "takes images only"),
        (HieraModel(HieraConfig(**IMAGE)), "official", "no HieraModel"),
        (HieraBackbone(HieraConfig(**IMAGE)), "official", "no HieraBackbone"),
        (
            HieraForImageClassification(HieraConfig(**IMAGE, hidden_act="relu")),
            "official",
            "the official package has no hidden_act=relu",
        ),
        (
            HieraForImageClassification(HieraConfig(**IMAGE, global_position_size=[4, 4])),
            "transformers",
            "no global_position_size",
        ),
    ],
)
def test_what_a_layout_cannot_express(
    model: Any, layout: str, message: str, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path / "own")
    with pytest.raises(CheckpointError, match=message):
        convert(tmp_path / "own", tmp_path / "other", layout)
    assert not (tmp_path / "other").exists()


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_image_classifier(tmp_path / "own")
    (tmp_path / "own/preprocessor.json").write_text("{}")
    for layout in OF_ANY_SIZE:
        arguments = [str(tmp_path / "own"), str(tmp_path / layout), "--layout", layout]
        start(parse_settings(ConvertRun, arguments))
        told = [line.partition(" (")[0] for line in capsys.readouterr().out.splitlines()]
        assert sorted(told) == sorted(map(str, (tmp_path / layout).iterdir()))
    assert (tmp_path / "hiera_video/preprocessor.json").read_text() == "{}"
    with pytest.raises(UserError, match="--layout=keras: input should be 'hiera_video', '"):
        parse_settings(ConvertRun, [*arguments[:2], "--layout", "keras"])


def test_script_ends_a_users_mistake_in_one_line(tmp_path: Path) -> None:
    script = str(ROOT / "scripts/convert_checkpoint.py")
    failed = subprocess.run(
        [sys.executable, script, str(tmp_path / "nothing.pth"), str(tmp_path / "x")],
        capture_output=True,
        text=True,
    )
    assert failed.returncode == 2
    assert failed.stderr.strip().endswith("nothing.pth: no such file or directory")
    assert len(failed.stderr.strip().splitlines()) == 1
