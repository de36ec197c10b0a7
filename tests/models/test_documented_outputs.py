"""What documentation promises of outputs, for every class of models, on images and clips.

Which checks of which suites these tests hold is in ``documented_checks.py``.
"""

from __future__ import annotations

import inspect
from math import prod

import pytest
import torch

from hiera_video import HieraBackbone, HieraForPreTraining
from tests.models.documented import CASES, NAMES, Case, flat

each_case = pytest.mark.parametrize("case", CASES, ids=NAMES)


def visible_units(case: Case) -> int:
    """Mask units that the encoder sees."""
    config = case.config
    share = 1 - config.mask_ratio if case.trains_alone else 1
    return int(config.num_units * share)


@each_case
def test_the_first_argument_is_the_pixels(case: Case) -> None:
    assert next(iter(inspect.signature(case.model().forward).parameters)) == "pixel_values"
    assert case.cls.main_input_name == "pixel_values"


@each_case
@torch.no_grad()
def test_attentions(case: Case) -> None:
    config = case.config
    asked = case.model()(**case.arguments, output_attentions=True)
    configured = case.model(output_attentions=True)(**case.arguments)
    area, units = prod(config.masked_unit_size), visible_units(case)
    for output in (asked, configured):
        assert len(output.attentions) == len(config.depths)
        # One block in the first stage; tokens of a unit attend to that unit.
        assert output.attentions[0].shape[1:] == (config.num_heads[0], units, area, area)
        for weights in output.attentions:
            assert torch.allclose(weights.sum(-1), torch.ones(()), atol=1e-5)
    with_states = case.model()(**case.arguments, output_attentions=True, output_hidden_states=True)
    added = 1 if case.cls is HieraBackbone else 2
    assert len(with_states) == len(asked) + added
    order = list(with_states.keys())
    assert order.index("attentions") == order.index("hidden_states") + 1


@each_case
@torch.no_grad()
def test_hidden_states(case: Case) -> None:
    config = case.config
    num_tokens = visible_units(case) * prod(config.masked_unit_size)
    for model, arguments in (
        (case.model(), {"output_hidden_states": True}),
        (case.model(output_hidden_states=True), {}),
    ):
        output = model(**case.arguments, **arguments)
        assert len(output.hidden_states) == len(config.depths) + 1 == len(config.stage_names)
        assert output.hidden_states[0].shape == (2, num_tokens, config.embed_dim)
        if case.cls is HieraBackbone:
            continue
        assert len(output.reshaped_hidden_states) == len(output.hidden_states)
        for state, reshaped in zip(
            output.hidden_states, output.reshaped_hidden_states, strict=True
        ):
            assert reshaped.reshape(2, -1, reshaped.shape[-1]).shape == state.shape


@each_case
@torch.no_grad()
def test_tuples_hold_what_named_outputs_do(case: Case) -> None:
    model = case.model()
    for states in (False, True):
        for attentions in (False, True):
            asked = {"output_hidden_states": states, "output_attentions": attentions}
            for arguments in (case.arguments, case.arguments_with_labels):
                plain = model(**arguments, **asked, return_dict=False)
                named = model(**arguments, **asked, return_dict=True).to_tuple()
                assert isinstance(plain, tuple)
                for one, other in zip(flat(plain), flat(named), strict=True):
                    assert torch.equal(one, other)


@each_case
@torch.no_grad()
def test_the_same_input_gives_the_same_output(case: Case) -> None:
    model = case.model()
    for one, other in zip(
        flat(model(**case.arguments)), flat(model(**case.arguments)), strict=True
    ):
        assert torch.equal(one, other)


@each_case
@torch.no_grad()
def test_samples_do_not_depend_on_their_batch(case: Case) -> None:
    model = case.model(output_hidden_states=True)
    whole = model(**case.arguments)
    alone = model(**{name: value[:1] for name, value in case.arguments.items()})
    compared = 0
    for one, other in zip(flat(whole), flat(alone), strict=True):
        if one.ndim and one.is_floating_point():
            assert torch.allclose(one[:1], other, atol=1e-5)
            compared += 1
    assert compared >= 6


@each_case
def test_losses_on_states_and_attentions_train(case: Case) -> None:
    model = case.model(output_hidden_states=True, output_attentions=True)
    output = model(**case.arguments)
    for tensor in (output.hidden_states[-1], output.attentions[-1]):
        model.zero_grad()
        tensor.square().mean().backward(retain_graph=True)
        embedding = model.get_input_embeddings()
        assert all(parameter.grad.abs().sum() > 0 for parameter in embedding.parameters())


@each_case
@torch.no_grad()
def test_sizes_of_outputs(case: Case) -> None:
    model, config = case.model(), case.config
    output = model(**case.arguments)
    tokens = prod(config.token_grid) // prod(config.query_stride) ** config.num_query_pool
    if case.cls is HieraBackbone:
        assert isinstance(output.feature_maps, tuple)
        pooled = [
            size // stride**config.num_query_pool
            for size, stride in zip(config.token_grid, config.query_stride, strict=True)
        ]
        assert [tuple(found.shape) for found in output.feature_maps] == [
            (2, config.hidden_size, *pooled)
        ]
        assert (output.hidden_states, output.attentions) == (None, None)
    elif case.trains_alone:
        span = config.patch_stride[-1] * config.query_stride[-1] ** config.num_query_pool
        assert output.logits.shape == (2, tokens, config.num_channels * span**2)
    elif case.gives_a_loss:
        assert output.logits.shape == (2, 3)
    else:
        assert output.last_hidden_state.shape == (2, tokens, config.hidden_size)


@pytest.mark.parametrize("case", [case for case in CASES if case.gives_a_loss], ids=str)
@torch.no_grad()
def test_grey_pixels(case: Case) -> None:
    model = case.model(num_channels=1)
    arguments = case.arguments
    arguments["pixel_values"] = arguments["pixel_values"][:, :1]
    logits = model(**arguments).logits
    if case.cls is HieraForPreTraining:
        assert logits.shape[-1] * 3 == case.model()(**case.arguments).logits.shape[-1]
    else:
        assert logits.shape == (2, 3)


@pytest.mark.parametrize("kind", ["image", "clip"])
@torch.no_grad()
def test_backbones(kind: str) -> None:
    case = Case(HieraBackbone, kind)
    for chosen in ({}, {"out_features": ["stem", "stage2"]}, {"out_indices": [0, -2, -1]}):
        model = case.model(**chosen)
        config = model.config
        assert model.backbone_type == "transformers"
        assert model.stage_names == config.stage_names
        assert model.num_features == [24, 24, 48, 96, 192]
        assert model.out_features == config.out_features
        assert model.out_indices == config.out_indices
        assert model.out_feature_channels == dict(
            zip(model.stage_names, model.num_features, strict=True)
        )
        assert model.channels == [model.num_features[index] for index in config.out_indices]
        maps = model(**case.arguments).feature_maps
        assert [found.shape[1] for found in maps] == model.channels
        filtered = model.forward_with_filtered_kwargs(**case.arguments, attention_mask=None)
        assert all(map(torch.equal, filtered.feature_maps, maps))
        fresh = case.model(out_features=None)
        assert (fresh.out_features, fresh.channels) == (["stage4"], [192])
