"""Our models against ``transformers``, with the same weights, in 32-bit floating point.

Weights go through that library's ``save_pretrained`` and our ``from_pretrained``, and back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

import hiera_video
from hiera_video.models.layouts import Checkpoint, write_checkpoint
from hiera_video.models.layouts import transformers as layout
from tests.parity.compare import assert_equal, assert_gradients_equal, gradients, randomize

#: Three by two mask units, a first stage of one block, heads that do not start at 1.
ARCHITECTURE: dict[str, Any] = {
    "image_size": [96, 64],
    "embed_dim": 32,
    "depths": [1, 2, 2, 1],
    "num_heads": [2, 4, 8, 16],
    "num_labels": 5,
    "decoder_hidden_size": 48,
    "decoder_depth": 2,
    "decoder_num_heads": 3,
}
MODELS = ("HieraModel", "HieraForImageClassification", "HieraForPreTraining")


def make_pair(name: str, folder: Path, **changes: Any) -> tuple[Any, Any]:
    if name == "HieraForPreTraining":
        changes = {"num_query_pool": 2, **changes}
    theirs = getattr(transformers, name)(transformers.HieraConfig(**{**ARCHITECTURE, **changes}))
    randomize(theirs)
    theirs.save_pretrained(folder)
    return theirs, getattr(hiera_video, name).from_pretrained(folder)


def make_input(seed: int = 1, size: tuple[int, int] = (96, 64)) -> Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(seed))


def arguments_for(name: str) -> dict[str, Tensor]:
    if name == "HieraForImageClassification":
        return {"labels": torch.tensor([4, 1])}
    if name == "HieraForPreTraining":
        return {"noise": torch.rand(2, 6, generator=torch.Generator().manual_seed(2))}
    return {}


def our_gradients(model: Any) -> dict[str, Tensor]:
    named = {name.removeprefix("hiera."): grad for name, grad in gradients(model).items()}
    return layout.write(Checkpoint(type(model).__name__, model.config, named))[1]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_all_outputs(name: str, training: bool, tmp_path: Path) -> None:
    theirs, ours = make_pair(name, tmp_path)
    theirs.train(training)
    ours.train(training)
    asked: dict[str, Any] = {"output_hidden_states": True, "output_attentions": True}
    arguments = arguments_for(name)
    wanted = theirs(make_input(), **arguments, **asked)
    given = ours(make_input(), **arguments, **asked)
    compared = 0
    for field in vars(given):
        expected, found = getattr(wanted, field, None), getattr(given, field)
        if isinstance(expected, tuple):
            assert len(found) == len(expected)
            for one, other in zip(found, expected, strict=True):
                assert_equal(one, other)
                compared += 1
        elif expected is not None:
            assert_equal(found, expected)
            compared += 1
        else:
            assert found is None, field
    assert compared >= 16
    # The fused path, which cannot give attentions, computes the same.
    fused = ours(make_input(), **arguments, return_dict=False)
    assert_equal(fused[0], wanted[0])
    for one, other in zip(fused, theirs(make_input(), **arguments, return_dict=False), strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize("name", MODELS)
def test_gradients(name: str, tmp_path: Path) -> None:
    theirs, ours = make_pair(name, tmp_path)
    arguments = arguments_for(name)
    for model in (theirs.double().train(), ours.double().train()):
        output = model(make_input().double(), **arguments)
        loss = output.loss if arguments else output.pooler_output.square().mean()
        loss.backward()
    assert_gradients_equal(our_gradients(ours), gradients(theirs), per_tensor=True)


@pytest.mark.parametrize("name", [*MODELS, "HieraBackbone"])
def test_ours_saved_in_their_layout_loads_there_strictly(name: str, tmp_path: Path) -> None:
    config = hiera_video.HieraConfig(**{**ARCHITECTURE, "num_query_pool": 2})
    ours = getattr(hiera_video, name)(config).eval()
    randomize(ours)
    write_checkpoint(ours.to_checkpoint(), tmp_path, "transformers")
    theirs, report = getattr(transformers, name).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report
    if name != "HieraBackbone":  # theirs computes other features: see test_backbone
        arguments = arguments_for(name)
        with torch.no_grad():
            wanted = theirs.eval()(make_input(), **arguments)[0]
            assert_equal(ours(make_input(), **arguments)[0], wanted)


def test_masked_encoder(tmp_path: Path) -> None:
    theirs, _ = make_pair("HieraModel", tmp_path)
    config = theirs.config
    theirs = transformers.HieraModel.from_pretrained(tmp_path, config=config, is_mae=True)
    ours = hiera_video.HieraModel.from_pretrained(tmp_path, is_mae=True)
    noise = torch.rand(2, 6)
    wanted = theirs(make_input(), noise=noise, output_hidden_states=True, return_dict=False)
    given = ours(make_input(), noise=noise, output_hidden_states=True, return_dict=False)
    for found, expected in zip(given[:4], wanted[:4], strict=True):
        assert_equal(found, expected)
    for found, expected in zip([*given[4], *given[5]], [*wanted[4], *wanted[5]], strict=True):
        assert_equal(found, expected)


def test_regression_loss(tmp_path: Path) -> None:
    theirs, ours = make_pair("HieraForImageClassification", tmp_path, num_labels=1)
    labels = torch.tensor([0.3, -2.0])
    assert_equal(ours(make_input(), labels=labels).loss, theirs(make_input(), labels=labels).loss)


def test_resized_positions(tmp_path: Path) -> None:
    """At another square size; theirs resizes no rectangles."""
    theirs, ours = make_pair("HieraForImageClassification", tmp_path, image_size=[64, 64])
    pixel_values = make_input(size=(128, 128))
    with torch.no_grad():
        wanted = theirs.eval()(pixel_values, interpolate_pos_encoding=True).logits
        assert_equal(ours(pixel_values, interpolate_pos_encoding=True).logits, wanted)


def test_backbone(tmp_path: Path) -> None:
    """Equal to their *model's* feature maps, under the norms of their backbone."""
    stages = ["stem", "stage2", "stage4"]
    backbone, ours = make_pair("HieraBackbone", tmp_path, out_features=stages)
    model = transformers.HieraModel(backbone.config, add_pooling_layer=False).eval()
    weights = backbone.state_dict()
    model.load_state_dict({n: t for n, t in weights.items() if "states_norms" not in n})
    with torch.no_grad():
        maps = model(make_input(), output_hidden_states=True).reshaped_hidden_states
        found = ours(make_input()).feature_maps
        assert ours.channels == backbone.channels
        for index, stage, feature_map in zip((0, 2, 4), stages, found, strict=True):
            normed = backbone.hidden_states_norms[stage](maps[index])
            assert_equal(feature_map, normed.permute(0, 3, 1, 2))
