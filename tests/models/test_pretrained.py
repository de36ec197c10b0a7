"""Saving and loading: what fits, what starts anew and says so, what is refused and why."""

from __future__ import annotations

import json
import socket
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi
from safetensors.torch import load_file, save_file

from hiera_video import (
    HieraBackbone,
    HieraConfig,
    HieraForImageClassification,
    HieraForPreTraining,
    HieraForVideoClassification,
    HieraModel,
)
from hiera_video.errors import CheckpointError, ConfigError, UserError
from hiera_video.models.layouts import read_checkpoint
from hiera_video.models.registry import load_model
from tests.models.small import DECODER, IMAGE, VIDEO, clips, images
from tests.parity.compare import randomize

CLASSES = (
    HieraModel,
    HieraBackbone,
    HieraForPreTraining,
    HieraForImageClassification,
    HieraForVideoClassification,
)


def save(cls: type[Any], folder: Path, **changes: Any) -> Any:
    base = IMAGE if cls is HieraForImageClassification else VIDEO
    decoder = DECODER if cls is HieraForPreTraining else {}
    model = cls(HieraConfig.from_dict({**base, **decoder, "num_labels": 3}, **changes)).eval()
    randomize(model)
    model.save_pretrained(folder)
    return model


def edit(folder: Path, changes: dict[str, Any]) -> None:
    """Change tensors (None removes one) in a saved file."""
    weights = {**load_file(folder / "model.safetensors"), **changes}
    kept = {name: tensor for name, tensor in weights.items() if tensor is not None}
    save_file(kept, folder / "model.safetensors")


@pytest.mark.parametrize("cls", CLASSES)
def test_round_trip(cls: type[Any], tmp_path: Path) -> None:
    model = save(cls, tmp_path)
    files = ["config.json", "model.safetensors", "preprocessor_config.json"]
    if model.config.is_video:
        files.append("video_preprocessor_config.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    checkpoint = read_checkpoint(tmp_path)
    assert (checkpoint.config, checkpoint.architecture) == (model.config, cls.__name__)
    for back in (cls.from_pretrained(tmp_path), load_model(str(tmp_path))):
        assert type(back) is cls
        assert not back.training
        assert back.config == model.config
        for name, tensor in model.state_dict().items():
            assert torch.equal(back.state_dict()[name], tensor)
        assert all(p.requires_grad and not p.is_meta for p in back.parameters())


@pytest.mark.parametrize("cls", CLASSES)
def test_exact_weights(cls: type[Any], tmp_path: Path) -> None:
    """What a run goes on with: no part is new, none is left out, and nothing is drawn at random."""
    model = save(cls, tmp_path)
    checkpoint = read_checkpoint(tmp_path)
    before = torch.get_rng_state()
    back = cls.from_weights(checkpoint.config, checkpoint.weights, "there")
    assert torch.equal(torch.get_rng_state(), before)
    assert type(back) is cls
    assert (back.source, back.training) == ("there", False)
    for name, tensor in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor)
    checkpoint.weights["encoder.stages.0.0.norm1.bias"].add_(1)
    name = next(name for name in model.state_dict() if name.endswith("stages.0.0.norm1.bias"))
    assert torch.equal(back.state_dict()[name], model.state_dict()[name]), "a copy"
    halves = {name: tensor.bfloat16() for name, tensor in checkpoint.weights.items()}
    exact = cls.from_weights(checkpoint.config, halves, "there")
    assert {p.dtype for p in exact.parameters()} == {torch.float32}
    del checkpoint.weights["encoder.stages.0.0.norm1.bias"]
    with pytest.raises(CheckpointError, match=r"^there: .*missing: encoder\.stages\.0\.0\.norm1"):
        cls.from_weights(checkpoint.config, checkpoint.weights, "there")


def test_lower_precision_files_load_in_32_bits(tmp_path: Path) -> None:
    model = save(HieraForVideoClassification, tmp_path).to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    back: Any = HieraForVideoClassification.from_pretrained(tmp_path)
    assert {p.dtype for p in back.parameters()} == {torch.float32}
    assert torch.equal(back.classifier.weight, model.classifier.weight.float())


def test_other_number_of_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = save(HieraForVideoClassification, tmp_path)
    same: Any = HieraForVideoClassification.from_pretrained(
        tmp_path, id2label={0: "a", 1: "b", 2: "c"}
    )
    assert torch.equal(same.classifier.weight, model.classifier.weight)
    assert not caplog.records  # it had no names
    other: Any = HieraForVideoClassification.from_pretrained(tmp_path, num_labels=5)
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: classifier is newly initialized (5 labels instead of 3)"
    ]
    assert other.classifier.weight.shape == (5, 192)
    assert other.classifier.weight.std().item() == pytest.approx(0.02, rel=0.2)
    assert other.config.id2label == {index: f"LABEL_{index}" for index in range(5)}
    encoder = other.hiera.state_dict()
    assert all(torch.equal(encoder[n], t) for n, t in model.hiera.state_dict().items())


@pytest.mark.parametrize("names", ["bac", "xyz"])
def test_labels_of_other_names(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, names: str
) -> None:
    """As many classes are not the same classes, nor in the same order."""
    model = save(HieraForVideoClassification, tmp_path / "unnamed")
    named: Any = HieraForVideoClassification.from_pretrained(
        tmp_path / "unnamed", id2label=dict(enumerate("abc"))
    )
    named.save_pretrained(tmp_path / "named")
    again: Any = HieraForVideoClassification.from_pretrained(
        tmp_path / "named", id2label={"0": "a", "1": "b", "2": "c"}
    )
    as_many: Any = HieraForVideoClassification.from_pretrained(tmp_path / "named", num_labels=3)
    for same in (again, as_many):
        assert torch.equal(same.classifier.weight, model.classifier.weight)
        assert same.config.id2label == dict(enumerate("abc"))
    assert not caplog.records
    other: Any = HieraForVideoClassification.from_pretrained(
        tmp_path / "named", id2label=dict(enumerate(names))
    )
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'named'}: classifier is newly initialized (labels of other names)"
    ]
    assert not torch.equal(other.classifier.weight, model.classifier.weight)
    assert torch.equal(other.hiera.norm.weight, model.hiera.norm.weight)


def test_no_labels_and_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = save(HieraForVideoClassification, tmp_path)
    features: Any = HieraForVideoClassification.from_pretrained(tmp_path, num_labels=0)
    assert torch.equal(features(clips()).logits, model.hiera(clips()).pooler_output)
    with pytest.raises(ConfigError, match="labels: the model has num_labels=0"):
        features(clips(), labels=torch.tensor([0, 1]))
    features.save_pretrained(tmp_path / "features")
    assert not caplog.records
    labelled = HieraForVideoClassification.from_pretrained(tmp_path / "features", num_labels=5)
    assert labelled(clips()).logits.shape == (2, 5)
    assert caplog.text.count("is newly initialized") == 1


def test_damaged_head_is_no_reason_to_start_anew(tmp_path: Path) -> None:
    save(HieraForVideoClassification, tmp_path)
    edit(tmp_path, {"classifier.weight": torch.zeros(5, 192), "classifier.bias": torch.zeros(5)})
    with pytest.raises(CheckpointError, match=r"of another shape: classifier\.bias \(5,\) inst"):
        HieraForVideoClassification.from_pretrained(tmp_path)
    edit(tmp_path, {"classifier.weight": None, "classifier.bias": None})
    with pytest.raises(CheckpointError, match=r"missing: classifier\.bias, classifier\.weight"):
        HieraForVideoClassification.from_pretrained(tmp_path)


def test_pretraining_into_a_classifier(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = save(HieraForPreTraining, tmp_path)
    with pytest.raises(
        CheckpointError, match=r"holds a HieraForPreTraining, wanted a .*num_labels"
    ):
        HieraForVideoClassification.from_pretrained(tmp_path)
    classifier = HieraForVideoClassification.from_pretrained(tmp_path, num_labels=7)
    assert "classifier is newly initialized (a HieraForPreTraining has none)" in caplog.text
    assert "norm is newly initialized (a HieraForPreTraining has none)" in caplog.text
    assert classifier.config.num_query_pool == 3
    assert classifier(clips()).logits.shape == (2, 7)
    for name, tensor in model.hiera.state_dict().items():
        assert torch.equal(classifier.hiera.state_dict()[name], tensor)


def test_encoders_from_pretraining_and_classifiers(tmp_path: Path) -> None:
    pretrained = save(HieraForPreTraining, tmp_path / "mae")
    encoder = HieraModel.from_pretrained(tmp_path / "mae", add_pooling_layer=False)
    wanted = pretrained.hiera(clips(), noise=torch.rand(2, 8), output_hidden_states=True)
    masked = HieraModel.from_pretrained(tmp_path / "mae", add_pooling_layer=False, is_mae=True)
    assert encoder.config.num_query_pool == 2
    assert masked.is_mae
    assert len(wanted.hidden_states) == 5
    classifier = save(HieraForVideoClassification, tmp_path / "classifier")
    for cls in (HieraModel, HieraBackbone):
        loaded = cls.from_pretrained(tmp_path / "classifier")
        held = getattr(loaded, "hiera", loaded)
        output = held(clips()).last_hidden_state
        assert torch.equal(output, classifier.hiera(clips()).last_hidden_state)
    held.save_pretrained(tmp_path / "encoder")
    assert load_model(tmp_path / "encoder", add_pooling_layer=False).norm is None
    pooled = HieraModel.from_pretrained(tmp_path / "classifier")(clips()).pooler_output
    assert torch.equal(pooled, classifier.hiera(clips()).pooler_output)


def test_encoder_into_pretraining(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    classifier = save(HieraForVideoClassification, tmp_path)
    with pytest.raises(ConfigError, match="pre-training needs a decoder"):
        HieraForPreTraining.from_pretrained(tmp_path)
    model = HieraForPreTraining.from_pretrained(tmp_path, **DECODER)
    for part in ("decoder", "encoder_norm", "fusion"):
        assert (
            f"{part} is newly initialized (a HieraForVideoClassification has none)" in caplog.text
        )
    assert torch.isfinite(model(clips()).loss)
    name = "encoder.stages.0.0.attention.qkv.weight"
    assert torch.equal(model.hiera.state_dict()[name], classifier.hiera.state_dict()[name])


def test_backbone_with_other_stages(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(HieraBackbone, tmp_path, out_features=["stage1", "stage4"])
    loaded = HieraBackbone.from_pretrained(tmp_path, out_features=["stage2", "stage4"])
    assert loaded.out_features == ["stage2", "stage4"]
    assert caplog.text.count("is newly initialized") == 1
    by_place = HieraBackbone.from_pretrained(tmp_path, out_indices=[1, 2])
    assert by_place.out_features == ["stage1", "stage2"]


def test_other_size_resizes_positions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = save(HieraForVideoClassification, tmp_path)
    longer = HieraForVideoClassification.from_pretrained(tmp_path, image_size=[8, 96, 64])
    assert "position_embedding.temporal resized from 2x1x1 to 4x1x1" in caplog.text
    pixel_values = clips(8, 96, 64)
    wanted = model(pixel_values, interpolate_pos_encoding=True).logits
    assert torch.allclose(longer(pixel_values).logits, wanted, atol=1e-5)
    pretrained = save(HieraForPreTraining, tmp_path / "mae")
    larger = HieraForPreTraining.from_pretrained(tmp_path / "mae", image_size=[4, 96, 64])
    noise = torch.rand(2, 12)
    resized = pretrained(clips(4, 96), noise=noise, interpolate_pos_encoding=True)
    assert torch.allclose(larger(clips(4, 96), noise=noise).loss, resized.loss)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"embed_dim": 32}, r"of another shape: .* and \d+ more"),
        ({"depths": [1, 1, 3, 1]}, r"missing: encoder\.stages\.2\.2\.attention"),
        ({"separate_position_embeddings": False}, r"missing: position_embedding\.joint; unexp"),
        ({"embed_dims": 32}, "embed_dims: unknown key, did you mean embed_dim"),
    ],
)
def test_differences_are_named(overrides: dict[str, Any], message: str, tmp_path: Path) -> None:
    save(HieraForVideoClassification, tmp_path)
    with pytest.raises((CheckpointError, ConfigError), match=message) as refusal:
        HieraForVideoClassification.from_pretrained(tmp_path, **overrides)
    assert "\n" not in str(refusal.value)


def test_too_many_weights_are_named(tmp_path: Path) -> None:
    save(HieraForVideoClassification, tmp_path)
    edit(tmp_path, {"hiera.encoder.more": torch.zeros(1), "decoder.more": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"unexpected: decoder\.more, encoder\.more"):
        HieraForVideoClassification.from_pretrained(tmp_path)


def test_images_and_clips_are_not_mixed_up(tmp_path: Path) -> None:
    save(HieraForImageClassification, tmp_path)
    with pytest.raises(ConfigError, match=r"image_size=\[64, 64\]: clips need \[T, H, W\]"):
        HieraForVideoClassification.from_pretrained(tmp_path)


def test_damaged_files(tmp_path: Path) -> None:
    save(HieraForVideoClassification, tmp_path)
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: cannot be read"):
        HieraForVideoClassification.from_pretrained(tmp_path)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors: cannot be read \(no such file"):
        HieraForVideoClassification.from_pretrained(tmp_path)
    weights.write_bytes(whole)
    values = json.loads(config.read_text())
    for content, message in (
        ("{", "is not valid JSON"),
        ("[]", "wanted an object, got list"),
        (json.dumps({**values, "embed_dims": 3}), "embed_dims: unknown key"),
        (json.dumps({**values, "architecture": None}), "names no architecture"),
        (json.dumps({**values, "architecture": "HieraForAll"}), "holds a HieraForAll"),
    ):
        config.write_text(content)
        with pytest.raises(CheckpointError, match=message):
            load_model(tmp_path)
    config.unlink()
    with pytest.raises(CheckpointError, match=r"config\.json: is missing"):
        HieraForVideoClassification.from_pretrained(tmp_path)


def test_an_interrupted_save_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save(HieraForImageClassification, tmp_path)

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hiera_video.models.layouts.save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        HieraForImageClassification(model.config).save_pretrained(tmp_path)
    back = HieraForImageClassification.from_pretrained(tmp_path)
    assert torch.equal(back(images()).logits, model(images()).logits)


def test_push_to_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, Any]] = []

    class Api:
        def __init__(self, token: str | None) -> None:
            calls.append(("token", token))

        def create_repo(self, repo_id: str, **arguments: Any) -> None:
            calls.append((repo_id, arguments))

        def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> str:
            calls.append((commit_message, sorted(p.name for p in Path(folder_path).iterdir())))
            return f"somewhere/{repo_id}"

    monkeypatch.setattr("hiera_video.models.pretrained.HfApi", Api)
    model = HieraForImageClassification(HieraConfig(**IMAGE))
    address = model.push_to_hub("me/model", private=True, token="t", commit_message="first")
    assert address == "somewhere/me/model"
    assert calls == [
        ("token", "t"),
        ("me/model", {"private": True, "exist_ok": True}),
        ("first", ["config.json", "model.safetensors", "preprocessor_config.json"]),
    ]


def test_a_hub_that_cannot_be_reached_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the package's own error, and by those of whatever it talks to the network with."""
    model = HieraForImageClassification(HieraConfig(**IMAGE))
    told = (
        r"me/model: could not be pushed to the hub \(cannot reach .+ offline mode is enabled\. .+\)"
    )
    with pytest.raises(UserError, match=told):
        model.push_to_hub("me/model", token="t")
    with socket.socket() as closed:  # nobody listens there
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setattr("hiera_video.models.pretrained.HfApi", partial(HfApi, address))
        with pytest.raises(UserError, match=r"me/model: could not be pushed .+refused\)$") as error:
            model.push_to_hub("me/model", token="t")
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"a/b/c: could not be pushed to the hub \(repo id must be"):
        model.push_to_hub("a/b/c", token="t")


def test_what_is_known_about_pixels_stays_with_a_model(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where only the head changes; another input size is for other clips."""
    save(HieraForVideoClassification, tmp_path)
    text = '{"num_frames": 4, "crop_size": 64, "stride": 7}\n'
    (tmp_path / "preprocessor.json").write_text(text)
    load = HieraForVideoClassification.from_pretrained
    for number, model in enumerate(
        (load(tmp_path), load(tmp_path / "model.safetensors"), load(tmp_path, num_labels=9))
    ):
        model.save_pretrained(tmp_path / f"{number}")
        assert (tmp_path / f"{number}/preprocessor.json").read_text() == text
    larger = load(tmp_path, image_size=[4, 96, 64])
    assert "preprocessor.json is for image_size=[4, 64, 64] and does not stay" in caplog.text
    larger.save_pretrained(tmp_path / "larger")
    assert not (tmp_path / "larger/preprocessor.json").exists()
    larger.save_pretrained(tmp_path / "0")  # over another model
    assert not (tmp_path / "0/preprocessor.json").exists()
