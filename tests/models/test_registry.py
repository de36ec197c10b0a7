"""Models by name, and the table of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from hiera_video import (
    HieraConfig,
    HieraForImageClassification,
    HieraForPreTraining,
    HieraForVideoClassification,
    HieraModel,
    create_model,
    list_models,
    load_model,
)
from hiera_video.errors import CheckpointError, ConfigError
from hiera_video.models.convert import convert
from hiera_video.models.kinds import KINDS, architecture_name
from hiera_video.models.layouts import read_checkpoint
from hiera_video.models.registry import MODELS, class_named, class_of_variant
from hiera_video.models.variants import VariantName, parse_name, variant_config, variant_fields
from tests.models.small import DECODER, IMAGE, VIDEO, clips

SMALL = {name: VIDEO[name] for name in ("image_size", "embed_dim", "depths", "num_heads")}


def test_names() -> None:
    names = list_models()
    assert len(names) == len(set(names)) == 24
    assert names[0] == "hiera_tiny_224"
    assert "mae_hiera_huge_16x224" in names
    assert "hiera_tiny_16x224" in names
    kinds = {}
    with torch.device("meta"):
        for name in names:
            kinds[name] = type(create_model(name))
    assert kinds["hiera_huge_224"] is HieraForImageClassification
    assert kinds["hiera_base_16x224"] is HieraForVideoClassification
    assert kinds["mae_hiera_tiny_224"] is kinds["mae_hiera_large_16x224"] is HieraForPreTraining


def test_misspelt_name() -> None:
    """In words of the library: what called it knows where the name was set."""
    for function in (create_model, variant_fields, variant_config, parse_name):
        with pytest.raises(ConfigError) as refusal:
            function("hiera_bas_16x224")
        wanted = "hiera_bas_16x224: unknown model, did you mean hiera_base_16x224?"
        assert str(refusal.value) == wanted


def test_a_name_is_told_apart_once() -> None:
    assert parse_name("mae_hiera_base_plus_16x224") == VariantName("base_plus", True, True)
    assert parse_name("hiera_huge_224") == VariantName("huge", False, False)
    for name in list_models():
        parsed = parse_name(name)
        assert str(parsed) == name
        config = variant_config(name)
        assert config.is_video == parsed.is_video
        assert (config.decoder_depth is not None) == parsed.is_pretraining
        kind = "pretraining" if parsed.is_pretraining else "classification"
        assert class_of_variant(name, config).kind == kind
    assert str(parse_name("mae_hiera_base_224")._replace(is_pretraining=False)) == "hiera_base_224"


def test_files_and_classes_agree_on_kinds() -> None:
    assert {name: cls.kind for name, cls in MODELS.items()} == KINDS
    for name, cls in MODELS.items():
        assert class_named(name, "here") is cls
        takes_clips = getattr(cls, "takes_clips", True)
        assert architecture_name(cls.kind, takes_clips) == name
    with pytest.raises(CheckpointError, match="here: holds a HieraModell, did you mean HieraModel"):
        class_named("HieraModell", "here")


@pytest.mark.parametrize("name", MODELS)
def test_parts_that_a_class_names_are_parts_that_it_has(name: str) -> None:
    cls = MODELS[name]
    base = IMAGE if cls is HieraForImageClassification else VIDEO
    with torch.device("meta"):
        model: Any = cls(HieraConfig(**{**base, **(DECODER if cls.kind == "pretraining" else {})}))
    parts = {name.removeprefix("hiera.").partition(".")[0] for name in model.state_dict()}
    assert set(cls.fresh_parts) <= parts
    assert parts - set(cls.fresh_parts) == {"patch_embedding", "position_embedding", "encoder"}


def test_a_checkpoint_that_was_read_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = create_model("hiera_base_16x224", **SMALL, num_labels=3).eval()
    model.save_pretrained(tmp_path)
    checkpoint = read_checkpoint(tmp_path)
    for back in (
        HieraForVideoClassification.from_pretrained(checkpoint),
        load_model(checkpoint),
        create_model("hiera_base_16x224", checkpoint, **SMALL),
    ):
        assert torch.equal(back(clips()).logits, model(clips()).logits)
        assert back.source == str(tmp_path)
    HieraForVideoClassification.from_pretrained(checkpoint, num_labels=4)
    assert f"{tmp_path}: classifier is newly initialized" in caplog.text
    bare = tmp_path / "official" / "model.pth"
    convert(tmp_path, bare.parent, "official")
    told = read_checkpoint(bare, hints={"num_heads": SMALL["num_heads"]})
    given: Any = HieraForVideoClassification.from_pretrained(told, config=model.config)
    assert given.config == model.config


def test_pretrained_that_is_no_place() -> None:
    wrong: Any = True
    with pytest.raises(ConfigError, match="pretrained=True: wanted a directory, a file or a hub"):
        create_model("hiera_base_16x224", pretrained=wrong)


def test_fields_of_published_models() -> None:
    with torch.device("meta"):
        video = create_model("mae_hiera_base_16x224").config
        image = create_model("mae_hiera_base_224").config
    assert (video.mask_ratio, image.mask_ratio) == (0.9, 0.6)
    assert video.decoder_num_heads == image.decoder_num_heads == 16
    assert video.num_query_pool == 2
    assert video.separate_position_embeddings
    assert not image.separate_position_embeddings


def test_labels_by_name() -> None:
    with torch.device("meta"):
        assert create_model("hiera_base_16x224").config.num_labels == 400
        assert create_model("hiera_tiny_224").config.num_labels == 1000
        model = create_model("hiera_base_16x224", id2label={0: "run", 1: "jump"})
    assert model.config.num_labels == 2


def test_pretrained(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = create_model("hiera_base_16x224", **SMALL, num_labels=3).eval()
    model.save_pretrained(tmp_path)
    back = create_model("hiera_base_16x224", pretrained=tmp_path, **SMALL)
    assert back.config.num_labels == 3, "labels are the checkpoint's"
    assert torch.equal(back(clips()).logits, model(clips()).logits)
    assert not caplog.records
    other = create_model("hiera_base_16x224", pretrained=tmp_path, **SMALL, num_labels=4)
    assert other(clips()).logits.shape == (2, 4)
    assert "classifier is newly initialized" in caplog.text
    with pytest.raises(CheckpointError, match=r"is not a hiera_base_16x224 \(embed_dim=24 inst"):
        create_model("hiera_base_16x224", pretrained=tmp_path)
    with pytest.raises(CheckpointError, match=r"num_heads=\[1, 2, 4, 8\] instead of \[2, "):
        create_model("hiera_base_16x224", tmp_path, **{**SMALL, "num_heads": [2, 4, 8, 8]})


def test_pretraining_checkpoint_by_name(tmp_path: Path) -> None:
    model = create_model("mae_hiera_base_16x224", **{**SMALL, **DECODER})
    model.save_pretrained(tmp_path)
    classifier = create_model("hiera_base_16x224", tmp_path, **SMALL, num_labels=6)
    assert isinstance(classifier, HieraForVideoClassification)
    assert classifier.config.num_query_pool == 3
    HieraModel.from_pretrained(tmp_path, add_pooling_layer=False).save_pretrained(tmp_path / "bare")
    classifier = create_model("hiera_base_16x224", tmp_path / "bare", **SMALL, num_labels=6)
    assert classifier.config.num_query_pool == 3
    again = create_model("mae_hiera_base_16x224", tmp_path, **{**SMALL, **DECODER})
    assert isinstance(again, HieraForPreTraining)


def test_the_command_that_prints_it() -> None:
    """It takes no arguments, and says so."""
    command = [sys.executable, "-m", "hiera_video", "models"]
    told = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert "Print the named variants" in told.stdout
    refused = subprocess.run([*command, "all"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "models: error: 'all': this command takes no arguments" in refused.stderr
