"""The documented arguments of ``from_pretrained``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from hiera_video import (
    HieraBackbone,
    HieraConfig,
    HieraForImageClassification,
    HieraForPreTraining,
    HieraModel,
)
from hiera_video.errors import CheckpointError, ConfigError
from hiera_video.models.layouts import files, read_checkpoint
from hiera_video.models.loading import wanted_device, wanted_dtype
from hiera_video.models.registry import load_model
from tests.models.documented import CASES, NAMES, Case
from tests.models.small import DECODER, IMAGE


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    HieraForImageClassification(HieraConfig(**IMAGE, num_labels=3)).save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_types(case: Case, tmp_path: Path) -> None:
    model = case.model()
    model.save_pretrained(tmp_path)
    for name in ("float16", "bfloat16", "float32", "float64", "auto"):
        wanted = torch.float32 if name == "auto" else getattr(torch, name)
        for arguments in ({"dtype": name}, {"torch_dtype": name}, {"dtype": wanted}):
            loaded = case.cls.from_pretrained(tmp_path, **arguments)
            assert {parameter.dtype for parameter in loaded.parameters()} == {wanted}
            assert loaded.dtype == wanted
            for one, other in zip(loaded.parameters(), model.parameters(), strict=True):
                assert torch.equal(one, other.to(wanted))


def test_the_type_in_the_file(saved: Path) -> None:
    model = HieraForImageClassification.from_pretrained(saved, dtype="bfloat16")
    model.save_pretrained(saved)
    assert HieraForImageClassification.from_pretrained(saved).dtype == torch.float32
    assert HieraForImageClassification.from_pretrained(saved, dtype="auto").dtype == torch.bfloat16
    assert HieraForImageClassification.from_pretrained(
        saved, dtype="auto", num_labels=5
    ).classifier.weight.dtype == torch.bfloat16  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dtype": "int8"}, "dtype='int8': wanted float32, bfloat16, float16, float64 or auto"),
        ({"dtype": "half-ish"}, "dtype='half-ish': wanted float32"),
        ({"torch_dtype": torch.int64}, r"dtype=torch\.int64: wanted float32"),
        ({"dtype": "float16", "torch_dtype": "float32"}, "one argument, two names"),
        ({"device_map": {"hiera": 0, "classifier": "cpu"}}, "wanted one device, such as cpu"),
        ({"device_map": "balanced"}, "device_map='balanced': wanted one device"),
        ({"device_map": True}, "device_map=True: wanted one device"),
        ({"device_map": "meta"}, "a model on the meta device has no weights"),
    ],
)
def test_refusals(saved: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HieraForImageClassification.from_pretrained(saved, **arguments)


def test_two_names_of_one_type() -> None:
    assert wanted_dtype("float16", torch.float16) == torch.float16
    assert wanted_dtype(None, None) == torch.float32
    assert wanted_dtype(None, "auto") is None


def test_devices(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for device_map in ("cpu", torch.device("cpu"), {"": "cpu"}, None):
        model = HieraForImageClassification.from_pretrained(saved, device_map=device_map)
        assert model.device == torch.device("cpu")
    assert wanted_device("cuda:1") == torch.device("cuda", 1)
    assert wanted_device({"": "cuda"}) == torch.device("cuda")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: None)
    assert wanted_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda"))
    assert wanted_device("auto") == torch.device("cuda")


def test_the_default_device_is_followed(saved: Path) -> None:
    with torch.device("cuda:1"):
        assert wanted_device(None) == torch.device("cuda", 1)
    with torch.device("meta"), pytest.raises(ConfigError, match="has no weights"):
        HieraForImageClassification.from_pretrained(saved)
    with torch.device("meta"):  # what starts anew, too, is on the device that was asked for
        model = HieraForImageClassification.from_pretrained(saved, num_labels=5, device_map="cpu")
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


def test_a_model_of_whatever_class_is_loaded_with_them_too(saved: Path) -> None:
    model = load_model(saved, dtype="bfloat16", device_map="cpu", num_labels=5)
    assert isinstance(model, HieraForImageClassification)
    assert (model.dtype, model.config.num_labels) == (torch.bfloat16, 5)


def test_nothing_differs(saved: Path) -> None:
    model, info = HieraForImageClassification.from_pretrained(saved, output_loading_info=True)
    assert isinstance(model, HieraForImageClassification)
    assert info == {
        "missing_keys": set(),
        "unexpected_keys": set(),
        "mismatched_keys": set(),
        "error_msgs": [],
    }


def test_what_starts_anew_and_what_is_left_out(tmp_path: Path) -> None:
    HieraForPreTraining(HieraConfig(**{**IMAGE, **DECODER})).save_pretrained(tmp_path / "mae")
    model, info = HieraForImageClassification.from_pretrained(
        tmp_path / "mae", num_labels=4, output_loading_info=True
    )
    assert info["missing_keys"] == {
        "classifier.weight", "classifier.bias", "hiera.norm.weight", "hiera.norm.bias",
    }  # fmt: skip
    assert info["missing_keys"] <= model.state_dict().keys()
    parts = {name.partition(".")[0] for name in info["unexpected_keys"]}
    assert parts == {"decoder", "encoder_norm", "fusion"}
    assert not info["mismatched_keys"]
    encoder, info = HieraModel.from_pretrained(tmp_path / "mae", output_loading_info=True)
    assert info["missing_keys"] == {"norm.weight", "norm.bias"} <= encoder.state_dict().keys()
    _, info = HieraBackbone.from_pretrained(tmp_path / "mae", output_loading_info=True)
    assert info["missing_keys"] == {"norms.stage4.weight", "norms.stage4.bias"}


def test_other_labels_are_told_as_of_another_shape(saved: Path) -> None:
    for ignore in (False, True):
        model, info = HieraForImageClassification.from_pretrained(
            saved, num_labels=5, output_loading_info=True, ignore_mismatched_sizes=ignore
        )
        assert info["mismatched_keys"] == {
            ("classifier.weight", (3, 192), (5, 192)),
            ("classifier.bias", (3,), (5,)),
        }
        assert not info["missing_keys"]
        assert model.num_parameters() > 0


def test_sizes_that_do_not_match_start_anew_if_asked(
    saved: Path, caplog: pytest.LogCaptureFixture
) -> None:
    held = HieraForImageClassification.from_pretrained(saved).state_dict()
    with pytest.raises(CheckpointError, match="of another shape: "):
        HieraForImageClassification.from_pretrained(saved, mlp_ratio=2.0)
    model, info = HieraForImageClassification.from_pretrained(
        saved, mlp_ratio=2.0, ignore_mismatched_sizes=True, output_loading_info=True
    )
    changed = {name for name, _, _ in info["mismatched_keys"]}
    assert {name.split(".")[-3] for name in changed} == {"mlp"}
    assert len(changed) == 3 * 5  # two weights and a bias in each of five blocks
    for name, tensor in model.state_dict().items():
        assert name in changed or torch.equal(tensor, held[name])
        assert not tensor.is_meta
        assert tensor.isfinite().all()
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == len(changed)
    assert f"{saved}: encoder.stages.0.0.mlp.fc1.weight is newly initialized (shape" in told[1]


def test_where_files_are(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved / "inner"
    model = HieraForImageClassification(HieraConfig(**IMAGE, num_labels=7))
    model.save_pretrained(folder)
    for loaded in (
        HieraForImageClassification.from_pretrained(saved, subfolder="inner", revision="main"),
        load_model(saved, subfolder="inner"),
    ):
        assert loaded.config.num_labels == 7
    with pytest.raises(CheckpointError, match="has no folder 'x', given as subfolder"):
        HieraForImageClassification.from_pretrained(saved, subfolder="x")
    with pytest.raises(CheckpointError, match="revision='v1' is for ids of the hub"):
        HieraForImageClassification.from_pretrained(saved, revision="v1")
    checkpoint = read_checkpoint(saved)
    for load in (HieraForImageClassification.from_pretrained, load_model):
        with pytest.raises(ConfigError, match="say where files are: this is in memory"):
            load(checkpoint, subfolder="inner")
    asked: list[tuple[str, dict[str, Any]]] = []

    def download(repo_id: str, **where: Any) -> str:
        asked.append((repo_id, where))
        return str(saved)

    monkeypatch.setattr(files, "snapshot_download", download)
    HieraForImageClassification.from_pretrained("some/model", subfolder="inner", revision="v1")
    load_model("some/model", revision="v2")
    assert asked == [
        ("some/model", {"revision": "v1", "allow_patterns": "inner/*"}),
        ("some/model", {"revision": "v2"}),
    ]


def test_a_file_without_weights_of_ours_is_refused(saved: Path) -> None:
    """``transformers`` gives a random model and a warning."""
    save_file({"tensor": torch.tensor([1, 2])}, saved / "model.safetensors")
    assert list(load_file(saved / "model.safetensors")) == ["tensor"]
    with pytest.raises(CheckpointError, match="holds no Hiera weights of a known layout"):
        HieraForImageClassification.from_pretrained(saved)
