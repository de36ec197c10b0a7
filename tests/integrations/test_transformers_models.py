"""Our models as models of transformers: the Auto classes, loading, saving, outputs.

What the generic mixin of that library's tests checks, where it makes sense for images and clips.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from transformers.models.auto import auto_factory

import hiera_video.integrations.transformers as integration
from hiera_video import HieraConfig, load_model
from hiera_video.errors import ConfigError
from hiera_video.models.registry import MODELS
from tests.integrations.small import FIELDS, saved_model, small_model
from tests.models.small import clips, images

#: Our class -> the Auto class that loads its checkpoints, and the class that this gives.
AUTO: dict[str, tuple[Any, Any]] = {
    "HieraModel": (transformers.AutoModel, integration.HieraVideoModel),
    "HieraForPreTraining": (
        transformers.AutoModelForPreTraining,
        integration.HieraVideoForPreTraining,
    ),
    "HieraForVideoClassification": (
        transformers.AutoModelForVideoClassification,
        integration.HieraVideoForVideoClassification,
    ),
    "HieraForImageClassification": (
        transformers.AutoModelForImageClassification,
        integration.HieraVideoForImageClassification,
    ),
    # AutoBackbone.from_pretrained asks the hub before it looks at a folder.
    "HieraBackbone": (integration.HieraVideoBackbone, integration.HieraVideoBackbone),
}
NAMES = sorted(AUTO)


def inputs(name: str) -> dict[str, Tensor]:
    given = {"pixel_values": images() if "Image" in name else clips()}
    if name == "HieraForPreTraining":
        given["noise"] = torch.rand(2, 8, generator=torch.Generator().manual_seed(0))
    return given


def assert_same(one: Any, other: Any) -> None:
    assert list(one.keys()) == list(other.keys())
    torch.testing.assert_close([*_values(one)], [*_values(other)], rtol=0, atol=0)


def _values(output: Any) -> list[Any]:
    return [output[key] for key in output.keys()]  # noqa: SIM118 - ours iterate over values


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_of_ours_loads_and_computes_the_same(name: str, tmp_path: Path) -> None:
    ours = saved_model(name, tmp_path)
    auto, cls = AUTO[name]
    model, report = auto.from_pretrained(tmp_path, output_loading_info=True)
    assert type(model) is cls
    assert not model.training
    assert not any(report.values())  # nothing is missing, left over or of another shape
    every = {"output_hidden_states": True, "output_attentions": True}
    assert_same(model(**inputs(name), **every), ours(**inputs(name), **every))


@pytest.mark.parametrize("name", NAMES)
def test_what_transformers_saves_is_a_checkpoint_of_ours(name: str, tmp_path: Path) -> None:
    ours = saved_model(name, tmp_path / "ours")
    model = AUTO[name][0].from_pretrained(tmp_path / "ours")
    model.save_pretrained(tmp_path / "theirs")
    values = json.loads((tmp_path / "theirs/config.json").read_text())
    assert values["model_type"] == "hiera_video"
    assert values["architectures"] == [AUTO[name][1].__name__]
    again = load_model(tmp_path / "theirs")
    assert type(again) is MODELS[name]
    assert again.config.stages_out == ours.config.stages_out
    assert_same(again(**inputs(name)), ours(**inputs(name)))
    with torch.no_grad():
        loaded = AUTO[name][0].from_pretrained(tmp_path / "theirs")
        assert_same(loaded(**inputs(name)), model(**inputs(name)))


def test_another_class_of_the_same_checkpoint(tmp_path: Path) -> None:
    """It is saved as what it is, whatever the checkpoint named."""
    ours: Any = saved_model("HieraForVideoClassification", tmp_path / "classifier")
    encoder = transformers.AutoModel.from_pretrained(tmp_path / "classifier")
    torch.testing.assert_close(
        encoder(clips()).pooler_output, ours.hiera(clips()).pooler_output, rtol=0, atol=0
    )
    encoder.save_pretrained(tmp_path / "encoder")
    assert type(load_model(tmp_path / "encoder")) is MODELS["HieraModel"]


def test_the_backbone_of_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hub:
        def repo_exists(self, name: str) -> bool:
            return True

    ours = saved_model("HieraBackbone", tmp_path)
    monkeypatch.setattr(auto_factory, "hf_api", Hub)
    model = transformers.AutoBackbone.from_pretrained(tmp_path, out_indices=[2, 4])
    assert type(model) is integration.HieraVideoBackbone
    assert model.channels == [48, 192]
    assert model.out_features == ["stage2", "stage4"]
    assert model.out_feature_channels["stem"] == 24
    assert_same(model(clips()), ours(clips()))
    fresh = transformers.AutoBackbone.from_config(model.config)
    assert type(fresh) is integration.HieraVideoBackbone


def test_our_type_is_not_the_port_of_images(tmp_path: Path) -> None:
    saved_model("HieraForImageClassification", tmp_path)
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    assert type(config) is integration.HieraVideoConfig
    assert (config.num_hidden_layers, config.hidden_size, config.num_frames) == (4, 192, 1)
    assert not isinstance(transformers.AutoModel.from_pretrained(tmp_path), transformers.HieraModel)


@pytest.mark.parametrize("name", NAMES)
def test_new_models_have_the_weights_of_ours(name: str) -> None:
    """The same seed gives the same model, inside transformers and outside."""
    ours = small_model(name)
    config = integration.HieraVideoConfig(**FIELDS[name])
    torch.manual_seed(0)
    theirs = AUTO[name][1](config)
    assert_same(theirs.state_dict(), ours.state_dict())


def test_parts_that_a_checkpoint_lacks_are_drawn_as_ours(tmp_path: Path) -> None:
    saved_model("HieraForPreTraining", tmp_path)
    model = integration.HieraVideoForVideoClassification.from_pretrained(
        tmp_path, num_labels=4, head_init_scale=0.5
    )
    assert model.config.num_labels == 4
    torch.testing.assert_close(model.classifier.bias, torch.full((4,), 0.01))
    assert 0.008 < model.classifier.weight.std() < 0.012
    torch.testing.assert_close(model.hiera.norm.weight, torch.ones(192))
    pretraining = integration.HieraVideoForPreTraining.from_pretrained(tmp_path, mask_ratio=0.6)
    assert pretraining.core.config.mask_ratio == 0.6


def test_tables_and_fusion_that_a_checkpoint_lacks(tmp_path: Path) -> None:
    fields = {"num_query_pool": 2, "position_initializer": "sine_cosine"}
    encoder = saved_model("HieraModel", tmp_path, **fields, separate_position_embeddings=False)
    decoder = {"decoder_hidden_size": 32, "decoder_depth": 1, "decoder_num_heads": 4}
    model = integration.HieraVideoForPreTraining.from_pretrained(
        tmp_path, **decoder, mask_ratio=0.5, separate_position_embeddings=True
    )
    assert model.hiera.position_embedding.temporal.abs().max() <= 0.5
    assert model.hiera.position_embedding.spatial.std() > 0.1
    torch.testing.assert_close(
        model.hiera.encoder.state_dict()["stages.0.0.norm1.weight"],
        encoder.state_dict()["encoder.stages.0.0.norm1.weight"],
    )
    for layer in model.fusion.layers:  # as PyTorch draws a linear layer: uniform up to this bound
        bound = layer.in_features**-0.5
        assert 0.9 * bound < layer.weight.abs().max() <= bound
    assert model.decoder.embedding.bias.abs().max() == 0


def test_another_number_of_labels(tmp_path: Path) -> None:
    ours: Any = saved_model("HieraForVideoClassification", tmp_path)
    cls = transformers.AutoModelForVideoClassification
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        cls.from_pretrained(tmp_path, num_labels=7)
    model = cls.from_pretrained(tmp_path, num_labels=7, ignore_mismatched_sizes=True)
    assert model(clips()).logits.shape == (2, 7)
    assert model.config.id2label[6] == "LABEL_6"
    torch.testing.assert_close(
        model.hiera(clips()).pooler_output, ours.hiera(clips()).pooler_output
    )


def test_precision_and_devices(tmp_path: Path) -> None:
    ours = saved_model("HieraForVideoClassification", tmp_path)
    cls = transformers.AutoModelForVideoClassification
    half = cls.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    logits = half(clips().bfloat16()).logits
    torch.testing.assert_close(logits.float(), ours(clips()).logits, rtol=0, atol=0.02)
    parts = dict.fromkeys(("hiera.patch_embedding", "hiera.position_embedding"), "cpu")
    parts |= {f"hiera.encoder.stages.{stage}": "cpu" for stage in range(3)}
    parts |= {"hiera.encoder.stages.3": "disk", "hiera.norm": "cpu", "classifier": "cpu"}
    for device_map in ("cpu", {"": "cpu"}, parts):
        model = cls.from_pretrained(
            tmp_path, device_map=device_map, offload_folder=tmp_path / "offload"
        )
        torch.testing.assert_close(model(clips()).logits, ours(clips()).logits, rtol=0, atol=0)


def test_outputs_are_dictionaries_and_tuples(tmp_path: Path) -> None:
    saved_model("HieraForVideoClassification", tmp_path)
    model = transformers.AutoModelForVideoClassification.from_pretrained(tmp_path)
    output = model(clips(), labels=torch.tensor([0, 2]), output_hidden_states=True)
    assert isinstance(output, transformers.utils.ModelOutput)
    assert [*output] == ["loss", "logits", "hidden_states", "reshaped_hidden_states"]
    plain = model(
        clips(), labels=torch.tensor([0, 2]), output_hidden_states=True, return_dict=False
    )
    assert type(plain) is tuple
    torch.testing.assert_close(plain, output.to_tuple(), rtol=0, atol=0)
    model.config.output_hidden_states = True
    model.config.return_dict = False
    assert len(model(clips())) == 3
    model.config.output_attentions = True
    model.config.return_dict = True
    assert len(model(clips()).attentions) == 4
    model.save_pretrained(tmp_path / "saved")
    again = type(model).from_pretrained(tmp_path / "saved")
    assert len(again(clips()).attentions) == 4
    for implementation in ("eager", "sdpa"):
        one = type(model).from_pretrained(tmp_path, attn_implementation=implementation)
        torch.testing.assert_close(one(clips()).logits, output.logits, rtol=0, atol=0)
    with pytest.raises(ValueError, match="does not support Flash Attention"):
        type(model).from_pretrained(tmp_path, attn_implementation="flash_attention_2")


def test_other_sizes_at_run_time(tmp_path: Path) -> None:
    ours = saved_model("HieraForVideoClassification", tmp_path)
    model = transformers.AutoModelForVideoClassification.from_pretrained(tmp_path)
    larger = clips(6, 96, 64)
    torch.testing.assert_close(
        model(larger, interpolate_pos_encoding=True).logits,
        ours(larger, interpolate_pos_encoding=True).logits,
    )
    with pytest.raises(ConfigError, match="other sizes: interpolate_pos_encoding=True"):
        model(larger)


def test_copies_and_replicas_compute_with_their_own_modules() -> None:
    config = integration.HieraVideoConfig(**FIELDS["HieraForVideoClassification"])
    model = integration.HieraVideoForVideoClassification(config).eval()
    other = copy.deepcopy(model)
    torch.nn.init.zeros_(other.classifier.weight)
    assert not torch.equal(other(clips()).logits, model(clips()).logits)
    model.classifier = torch.nn.Identity()  # replaced from outside, as adapters do
    model.classifier.takes_tokens = False
    assert model(clips()).logits.shape == (2, 192)
    replica = other._replicate_for_data_parallel()
    assert replica.core._modules is replica._modules is not other._modules


def test_a_config_may_change_between_models() -> None:
    config = integration.HieraVideoConfig(**FIELDS["HieraBackbone"])
    assert integration.HieraVideoBackbone(config).channels == [48, 192]
    config.out_indices = None
    config.num_channels = 1
    model = integration.HieraVideoBackbone(config).eval()
    assert model.out_features == ["stage4"]
    (last,) = model(clips()[:, :1]).feature_maps
    assert last.shape == (2, 192, 2, 2, 2)


def test_the_config_is_ours() -> None:
    config = integration.HieraVideoConfig(**FIELDS["HieraForVideoClassification"], note="kept")
    assert config.note == "kept"
    assert config.to_hiera() == HieraConfig(
        **FIELDS["HieraForVideoClassification"], out_features=["stage4"]
    )
    assert integration.HieraVideoConfig.from_dict(config.to_dict()).to_dict() == config.to_dict()
    config.num_heads = [1, 2, 4, 7]
    with pytest.raises(ConfigError, match="do not divide the stage widths"):
        integration.HieraVideoModel(config)
    with pytest.raises(ConfigError, match="divide"):
        integration.HieraVideoConfig(image_size=[100, 100])
    with pytest.raises(ConfigError, match="clips need"):
        integration.HieraVideoForVideoClassification(integration.HieraVideoConfig())
