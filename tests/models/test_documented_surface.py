"""What documentation promises of models besides outputs: files, properties, training.

Which checks of which suites these tests hold is in ``documented_checks.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch import nn

from hiera_video import (
    HieraBackbone,
    HieraConfig,
    HieraForImageClassification,
    HieraForPreTraining,
    HieraForVideoClassification,
    HieraModel,
)
from hiera_video.errors import CheckpointError, ConfigError
from hiera_video.models.joint import HieraForJointTraining
from tests.models.documented import CASES, NAMES, Case, flat
from tests.models.small import DECODER, IMAGE, VIDEO

each_case = pytest.mark.parametrize("case", CASES, ids=NAMES)
each_trained = pytest.mark.parametrize("case", [c for c in CASES if c.gives_a_loss], ids=str)


@each_case
@torch.no_grad()
def test_saved_models_give_the_same_outputs(case: Case, tmp_path: Path) -> None:
    model = case.model()
    model.save_pretrained(tmp_path)
    again = case.cls.from_pretrained(tmp_path)
    again.save_pretrained(tmp_path)
    third = case.cls.from_pretrained(tmp_path)
    for loaded in (again, third):
        assert loaded.config == model.config
        for one, other in zip(
            flat(loaded(**case.arguments)), flat(model(**case.arguments)), strict=True
        ):
            assert torch.equal(one, other)


@each_case
def test_files_hold_each_tensor_once(case: Case, tmp_path: Path) -> None:
    model = case.model()
    model.save_pretrained(tmp_path)
    assert load_file(tmp_path / "model.safetensors").keys() == model.state_dict().keys()
    loaded, info = case.cls.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    places = {tensor.data_ptr() for tensor in loaded.state_dict().values()}
    assert len(places) == len(loaded.state_dict())
    assert all(parameter.is_contiguous() for parameter in loaded.parameters())


@each_case
@torch.no_grad()
def test_models_are_made_of_a_config_and_weights(case: Case) -> None:
    """Without a file, on the meta device first: every tensor is a parameter."""
    model = case.model()
    with torch.device("meta"):
        empty = case.cls(case.config)
    assert not list(empty.buffers())
    assert all(parameter.is_meta for parameter in empty.parameters())
    weights = model.to_checkpoint().weights
    made = case.cls.from_weights(case.config, weights, "memory")
    assert made.state_dict().keys() == model.state_dict().keys()
    for one, other in zip(flat(made(**case.arguments)), flat(model(**case.arguments)), strict=True):
        assert torch.equal(one, other)


@each_case
@torch.no_grad()
def test_a_difference_of_a_config_is_enough_for_a_model(case: Case) -> None:
    config = HieraConfig(**case.config.to_diff_dict())
    assert config == case.config
    assert flat(case.cls(config).eval()(**case.arguments))


@each_case
def test_embeddings(case: Case) -> None:
    model = case.model()
    embedding = model.get_input_embeddings()
    assert embedding is model.base_model.patch_embedding
    assert isinstance(embedding, nn.Module)
    assert model.get_output_embeddings() is None
    assert model.base_model is (model if case.cls is HieraModel else model.hiera)


def test_joint_models_have_two_embeddings() -> None:
    images: Any = HieraForImageClassification(HieraConfig(**IMAGE))
    clips: Any = HieraForVideoClassification(HieraConfig(**VIDEO))
    joint = HieraForJointTraining(images, clips)
    with pytest.raises(ConfigError, match=r"ask model\.images or model\.clips"):
        joint.get_input_embeddings()
    assert joint.images.get_input_embeddings() is images.hiera.patch_embedding
    assert joint.num_parameters() < images.num_parameters() + clips.num_parameters()


@pytest.mark.parametrize(
    "cls", [HieraModel, HieraBackbone, HieraForPreTraining, HieraForImageClassification]
)
def test_as_many_parameters_as_in_transformers(cls: type[Any]) -> None:
    values = {**IMAGE, **DECODER, "num_labels": 3}
    ours = cls(HieraConfig(**values))
    theirs = getattr(transformers, cls.__name__)(transformers.HieraConfig(**values))
    for model in (ours, theirs):
        for parameter in model.get_input_embeddings().parameters():
            parameter.requires_grad_(False)
    for only_trainable in (False, True):
        for exclude_embeddings in (False, True):
            asked = {"only_trainable": only_trainable, "exclude_embeddings": exclude_embeddings}
            assert ours.num_parameters(**asked) == theirs.num_parameters(**asked), asked
    assert ours.num_parameters(only_trainable=True) < ours.num_parameters()


@each_case
def test_device_and_type(case: Case) -> None:
    model = case.model()
    assert (model.device, model.dtype) == (torch.device("cpu"), torch.float32)
    assert model.to(torch.bfloat16).dtype == torch.bfloat16
    assert model.to("meta").device == torch.device("meta")


def test_models_of_tests_are_small() -> None:
    assert max(case.model().num_parameters() for case in CASES) < 1_000_000


@pytest.mark.parametrize("cls", [HieraBackbone, HieraForPreTraining, HieraForImageClassification])
def test_what_an_encoder_lacks_is_told(cls: type[Any], tmp_path: Path) -> None:
    """A classifier needs ``num_labels``: ``transformers`` gives one that guesses at random."""
    config = HieraConfig(**{**IMAGE, **DECODER})
    cls(config).base_model.save_pretrained(tmp_path)
    labels: dict[str, Any] = {}
    if cls is HieraForImageClassification:
        with pytest.raises(CheckpointError, match="give num_labels to start a new classifier"):
            cls.from_pretrained(tmp_path)
        labels["num_labels"] = 3
    model, info = cls.from_pretrained(tmp_path, output_loading_info=True, **labels)
    assert info["missing_keys"]
    assert not {name for name in info["missing_keys"] if name.startswith("hiera.enc")}
    assert info["missing_keys"] <= model.state_dict().keys()


@each_trained
def test_training_gives_every_parameter_a_gradient(case: Case) -> None:
    model = case.model().train()
    gradients = []
    for arguments in (None, {"use_reentrant": False}):
        if arguments is not None:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=arguments)
        model.zero_grad()
        model(**case.arguments_with_labels).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient is not None, name
        assert torch.allclose(gradient, gradients[1][name], atol=1e-6), name


@each_case
def test_gradient_checkpointing_is_told(case: Case) -> None:
    model = case.model()
    assert model.supports_gradient_checkpointing
    assert not model.is_gradient_checkpointing
    model.gradient_checkpointing_enable()
    assert model.is_gradient_checkpointing
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing
    with pytest.raises(ConfigError, match="use_reentrant=True, wanted use_reentrant=False"):
        model.gradient_checkpointing_enable({"use_reentrant": True})
    assert not model.is_gradient_checkpointing


@each_trained
def test_inputs_of_frozen_models_may_require_gradients(case: Case) -> None:
    model = case.model().train().requires_grad_(False)
    model.gradient_checkpointing_enable()
    assert not model(**case.arguments_with_labels).loss.requires_grad
    model.enable_input_require_grads()
    seen = []

    def watch(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        output.retain_grad()
        seen.append(output)

    hook = model.get_input_embeddings().register_forward_hook(watch)
    model(**case.arguments_with_labels).loss.backward()
    assert seen[0].grad is not None
    assert seen[0].grad.abs().sum() > 0
    hook.remove()
    model.disable_input_require_grads()
    assert not model(**case.arguments_with_labels).loss.requires_grad


@pytest.mark.parametrize("problem", ["regression", "multi_label_classification"])
@pytest.mark.parametrize("case", CASES[-2:], ids=NAMES[-2:])
def test_every_problem_is_trained_without_a_warning(
    case: Case, problem: str, recwarn: pytest.WarningsRecorder
) -> None:
    count = 1 if problem == "regression" else 2
    model = case.model(num_labels=count, problem_type=problem).train()
    labels = torch.zeros(2) if count == 1 else torch.zeros(2, 2)
    model(**case.arguments, labels=labels).loss.backward()
    assert not [warning for warning in recwarn if "target size" in str(warning.message)]


def test_backbones_have_norms_for_their_stages_only() -> None:
    model = HieraBackbone(HieraConfig(**IMAGE))
    for name, value in (("out_features", ["stage1"]), ("out_indices", [1])):
        with pytest.raises(ConfigError, match=rf"{name}=.*: a backbone has norms for the stages"):
            setattr(model, name, value)
    assert model.out_features == ["stage4"]
