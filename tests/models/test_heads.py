"""Heads of classifiers: what they compute, how they are saved, and when they start anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch.nn.parallel import DistributedDataParallel

from hiera_video import (
    HieraConfig,
    HieraForImageClassification,
    HieraForPreTraining,
    HieraForVideoClassification,
    HieraModel,
    create_model,
    inflate_from_images,
    load_model,
)
from hiera_video.errors import CheckpointError, ConfigError
from hiera_video.models.convert import convert
from hiera_video.models.heads import HEADS
from hiera_video.models.heads.attentive import AttentiveHead
from hiera_video.models.joint import HieraForJointTraining
from tests.models.small import DECODER, IMAGE, VIDEO, clips, images
from tests.parity.compare import randomize

LABELS = torch.tensor([0, 2])


def make(head: str = "attentive", **changes: Any) -> Any:
    config = HieraConfig(**{**VIDEO, "num_labels": 3, "head": head, **changes})
    return HieraForVideoClassification(config).eval()


def save(folder: Path, head: str = "attentive", **changes: Any) -> Any:
    model = make(head, **changes)
    randomize(model)
    model.save_pretrained(folder)
    return model


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage().partition(": ")[2] for record in caplog.records]


def test_a_config_can_name_every_head() -> None:
    assert get_args(HieraConfig.model_fields["head"].annotation) == tuple(HEADS)
    with pytest.raises(ConfigError, match="head: input should be 'linear' or 'attentive', got"):
        HieraConfig(**{**VIDEO, "head": "round"})


def test_attentive_head_is_the_formula_of_the_paper() -> None:
    """For one attention head: the query, plus values weighted by how well keys fit to it."""
    config = HieraConfig(**{**IMAGE, "num_labels": 5, "num_heads": [1, 1, 1, 1]})
    head = AttentiveHead(config).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    width = config.stage_dims[-1]
    tokens = torch.randn(2, 7, width, dtype=torch.float64)
    normed = head.token_norm(tokens)
    to_key, to_value = head.key_value.weight.chunk(2)
    key_bias, value_bias = head.key_value.bias.chunk(2)
    keys, values = normed @ to_key.T + key_bias, normed @ to_value.T + value_bias
    weights = (keys @ head.query / width**0.5).softmax(1)
    pooled = head.query + (weights[..., None] * values).sum(1)
    expected = head.linear(head.norm(head.mlp(pooled)))
    assert torch.allclose(head(tokens), expected)
    order = torch.randperm(7)
    assert torch.allclose(head(tokens[:, order]), expected), "order means nothing"


def test_attention_heads_are_those_of_the_last_stage() -> None:
    head = make().classifier
    assert (head.num_heads, head.linear.in_features) == (8, 192)


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_every_parameter_gets_a_gradient(gradient_checkpointing: bool) -> None:
    model = make().train()
    if gradient_checkpointing:
        model.gradient_checkpointing_enable()
    output = model(clips(), labels=LABELS, output_hidden_states=True)
    assert output.logits.shape == (2, 3)
    assert len(output.hidden_states) == 5
    output.loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    # What is added alike to every key changes no weight of attention.
    without = {"classifier.query", "classifier.key_value.bias"}
    for name, parameter in model.named_parameters():
        assert name in without or parameter.grad.abs().max() > 0, name
    assert model.classifier.query.grad.abs().max() > 0


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("head", HEADS)
def test_no_parameter_is_left_over_under_ddp(head: str) -> None:
    """DDP refuses the second step where the first one left a parameter without gradient."""
    model = DistributedDataParallel(make(head).train())
    for _ in range(2):
        model(clips(), labels=LABELS).loss.backward()


def test_training_learns_where_to_look() -> None:
    """Classes that differ in one corner only."""
    torch.manual_seed(0)
    model = make(num_labels=2).train()
    pixel_values = clips().repeat(2, 1, 1, 1, 1)
    labels = torch.tensor([0, 1, 0, 1])
    pixel_values[labels == 1, ..., :16, :16] += 3
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(30):
        loss = model(pixel_values, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


def test_the_scale_of_a_new_head_is_that_of_its_last_layer_alone() -> None:
    starts = []
    for scale in (1.0, 0.001):
        torch.manual_seed(0)
        starts.append(make(head_init_scale=scale).state_dict())
    for name, tensor in starts[0].items():
        scaled = tensor * 0.001 if name.startswith("classifier.linear.") else tensor
        assert torch.equal(starts[1][name], scaled), name


def test_round_trip(tmp_path: Path) -> None:
    model = save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["head"] == "attentive"
    back = load_model(tmp_path)
    assert torch.equal(back(clips()).logits, model(clips()).logits)


def test_a_linear_head_keeps_its_names(tmp_path: Path) -> None:
    save(tmp_path, "linear")
    names = [name for name in load_file(tmp_path / "model.safetensors") if "classifier" in name]
    assert sorted(names) == ["classifier.bias", "classifier.weight"]


def test_checkpoints_from_before_there_were_heads(tmp_path: Path) -> None:
    model = save(tmp_path, "linear")
    path = tmp_path / "config.json"
    values = json.loads(path.read_text())
    del values["head"]
    path.write_text(json.dumps(values))
    back = load_model(tmp_path)
    assert back.config.head == "linear"
    assert torch.equal(back(clips()).logits, model(clips()).logits)


def test_other_labels_and_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = save(tmp_path)
    other: Any = HieraForVideoClassification.from_pretrained(tmp_path, num_labels=5)
    assert other(clips()).logits.shape == (2, 5)
    assert warnings(caplog) == ["classifier is newly initialized (5 labels instead of 3)"]
    caplog.clear()
    features = HieraForVideoClassification.from_pretrained(tmp_path, num_labels=0)
    assert features(clips()).logits.shape == (2, 192)
    assert warnings(caplog) == ["norm is newly initialized (head=attentive does without)"]
    encoder = HieraModel.from_pretrained(tmp_path, add_pooling_layer=False)
    tokens = model.hiera(clips()).last_hidden_state
    assert torch.equal(encoder(clips()).last_hidden_state, tokens)


@pytest.mark.parametrize("cls", [HieraModel, HieraForPreTraining])
def test_a_new_head_on_an_encoder(
    cls: type[Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    decoder = DECODER if cls is HieraForPreTraining else {}
    encoder = cls(HieraConfig(**{**VIDEO, **decoder}))
    encoder.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=f"holds a {cls.__name__}, wanted .* num_labels"):
        HieraForVideoClassification.from_pretrained(tmp_path, head="attentive")
    small = {name: VIDEO[name] for name in ("image_size", "embed_dim", "depths", "num_heads")}
    model: Any = create_model(
        "hiera_base_16x224", tmp_path, **small, num_labels=7, head="attentive"
    )
    assert warnings(caplog) == [f"classifier is newly initialized (a {cls.__name__} has none)"]
    assert model(clips()).logits.shape == (2, 7)
    name = "encoder.stages.0.0.mlp.fc1.weight"
    held = getattr(encoder, "hiera", encoder)
    assert torch.equal(model.hiera.state_dict()[name], held.state_dict()[name])


def test_another_head_starts_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for held, asked in (("linear", "attentive"), ("attentive", "linear")):
        model = save(tmp_path / held, held)
        for given in ({"head": asked}, {"config": make(asked).config}):
            caplog.clear()
            other: Any = HieraForVideoClassification.from_pretrained(tmp_path / held, **given)
            norm = ["norm is newly initialized (head=attentive does without)"]
            assert warnings(caplog) == [
                f"classifier is newly initialized (head={asked} instead of {held})",
                *(norm if held == "attentive" else []),
            ]
            assert other.config.head == asked
            assert other(clips()).logits.shape == (2, 3)
            encoder = other.hiera.encoder.state_dict()
            assert all(
                torch.equal(encoder[n], t) for n, t in model.hiera.encoder.state_dict().items()
            )


def test_a_head_that_is_not_the_one_of_config_json_is_damage(tmp_path: Path) -> None:
    save(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"attentive"', '"linear"'))
    with pytest.raises(CheckpointError, match=r"missing: classifier\.bias, classifier\.weight"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("transformers", "^the Hiera of transformers has no head=attentive$"),
        ("official", "^the official package has no head=attentive$"),
    ],
)
def test_other_layouts_have_linear_heads(layout: str, message: str, tmp_path: Path) -> None:
    config = HieraConfig(**IMAGE, head="attentive")
    HieraForImageClassification(config).save_pretrained(tmp_path / "own")
    with pytest.raises(CheckpointError, match=message):
        convert(tmp_path / "own", tmp_path / "other", layout)
    assert not (tmp_path / "other/config.json").exists()
    if layout == "transformers":  # an encoder has no head, whatever its config says
        HieraModel(config).save_pretrained(tmp_path / "encoder")
        convert(tmp_path / "encoder", tmp_path / "other", layout)
        assert load_model(tmp_path / "other").config.head == "linear"


def test_inflated_models_keep_it(tmp_path: Path) -> None:
    config = HieraConfig(**IMAGE, num_labels=5, head="attentive")
    of_images: Any = HieraForImageClassification(config).eval()
    randomize(of_images)
    of_images.save_pretrained(tmp_path)
    of_clips: Any = inflate_from_images(tmp_path, 4)
    still = images().unsqueeze(2).repeat(1, 1, 4, 1, 1)
    expected = of_images(images()).logits
    tolerance = 1e-4 * expected.abs().max().item()
    assert torch.allclose(of_clips(still).logits, expected, atol=tolerance)


@pytest.mark.parametrize("of_images", HEADS)
def test_joint_models_have_a_head_each(of_images: str, tmp_path: Path) -> None:
    joint: Any = HieraForJointTraining(
        HieraForImageClassification(HieraConfig(**IMAGE, num_labels=5, head=of_images)), make()
    ).eval()
    joint.save_pretrained(tmp_path)
    again: Any = HieraForJointTraining.from_pretrained(tmp_path)
    for pixel_values in (images(), clips()):
        assert torch.equal(again(pixel_values).logits, joint(pixel_values).logits)
