"""Our models against the official package, with the same weights, in 32-bit floating point.

Weights go through a ``.pth`` file as the official repository publishes them, so these tests hold
the layout too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import hiera
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiera_video import HieraForPreTraining, create_model
from hiera_video.models.layouts import Checkpoint, official
from hiera_video.models.mae import unit_patches
from hiera_video.models.mask_units import TokenGrid, UnitMask
from tests.parity.compare import (
    assert_equal,
    assert_gradients_equal,
    gradients,
    randomize,
    without_initialization,
)

CLASSIFIERS = (
    "hiera_tiny_224",
    pytest.param("hiera_base_224", marks=pytest.mark.long),  # of the classes of its neighbours
    "hiera_base_plus_224",
    "hiera_tiny_16x224",
    pytest.param("hiera_base_16x224", marks=pytest.mark.long),
)
AUTOENCODERS = (
    "mae_hiera_tiny_224",
    pytest.param("mae_hiera_base_16x224", marks=pytest.mark.long),
)


class Pair(NamedTuple):
    """A reference and our model with its weights, and one input for both."""

    theirs: nn.Module
    ours: Any
    pixel_values: Tensor


def make_pair(name: str, folder: Path) -> Pair:
    with without_initialization():
        if name == "hiera_tiny_16x224":  # ours alone: theirs is a base model with fewer blocks
            theirs = hiera.hiera_base_16x224(drop_path_rate=0.0, stages=(1, 2, 7, 2))
        else:
            theirs = getattr(hiera, name)(drop_path_rate=0.0)
    randomize(theirs)
    path = folder / f"{name}.pth"
    torch.save({"model_state": theirs.state_dict()}, path)
    ours = create_model(name, pretrained=path)
    path.unlink()
    # One clip is enough; two images show that samples do not mix.
    shape = (1, 3, 16, 224, 224) if "16x224" in name else (2, 3, 224, 224)
    return Pair(theirs, ours, torch.randn(shape, generator=torch.Generator().manual_seed(1)))


def our_gradients(model: Any) -> dict[str, Tensor]:
    """Our gradients under the official names: translation is linear, so it fits them too."""
    named = {name.removeprefix("hiera."): grad for name, grad in gradients(model).items()}
    return official.write(Checkpoint(type(model).__name__, model.config, named))[1]


@pytest.fixture(scope="module", params=CLASSIFIERS)
def classifiers(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Pair:
    return make_pair(request.param, tmp_path_factory.mktemp("official"))


@pytest.fixture(scope="module", params=AUTOENCODERS)
def autoencoders(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Pair:
    return make_pair(request.param, tmp_path_factory.mktemp("official"))


def test_probabilities_and_feature_maps_in_evaluation(classifiers: Pair) -> None:
    theirs, ours, pixel_values = classifiers
    with torch.no_grad():
        probabilities, maps = theirs.eval()(pixel_values, return_intermediates=True)
        output = ours.eval()(pixel_values, output_hidden_states=True)
    assert_equal(output.logits.softmax(-1), probabilities)
    assert probabilities.max() > 1.5 / probabilities.shape[1], (
        "nearly even scores would show nothing"
    )
    assert len(maps) == 4
    for our_map, their_map in zip(output.reshaped_hidden_states[1:], maps, strict=True):
        assert_equal(our_map, their_map)


def test_logits_and_gradients_in_training(classifiers: Pair) -> None:
    theirs, ours, pixel_values = classifiers
    labels = torch.arange(len(pixel_values)) + 7
    logits = theirs.train()(pixel_values)
    F.cross_entropy(logits, labels).backward()
    output = ours.train()(pixel_values, labels=labels)
    output.loss.backward()
    assert_equal(output.logits, logits)
    assert_gradients_equal(our_gradients(ours), gradients(theirs), per_tensor=False)
    ours.zero_grad()
    theirs.zero_grad()


@pytest.mark.parametrize("training", [False, True])
def test_pretraining(autoencoders: Pair, training: bool) -> None:
    theirs, ours, pixel_values = autoencoders
    assert isinstance(ours, HieraForPreTraining)
    theirs.train(training)
    ours.train(training)
    num_units = ours.config.num_units
    noise = torch.rand(len(pixel_values), num_units, generator=torch.Generator().manual_seed(2))
    mask = UnitMask.from_noise(noise, ours.config.mask_ratio)

    with torch.set_grad_enabled(training):
        loss, predictions, targets, their_mask = theirs(pixel_values, mask=mask.keep_mask)
        output = ours(pixel_values, noise=noise)

    assert_equal(output.loss, loss)
    assert torch.equal(mask.keep_mask, their_mask)
    hidden = ~output.bool_masked_pos
    assert_equal(output.logits[hidden], predictions)
    grid = TokenGrid.of_input(ours.config, tuple(ours.config.image_size)).pooled(2)
    our_targets = ours.pixel_targets(pixel_values, unit_patches(grid, mask.hidden))
    assert_equal(our_targets.flatten(0, 1), targets)
    if training:
        loss.backward()
        output.loss.backward()
        assert_gradients_equal(our_gradients(ours), gradients(theirs), per_tensor=False)


@pytest.mark.parametrize(
    "name", ["hiera_tiny_224", pytest.param("mae_hiera_tiny_224", marks=pytest.mark.long)]
)
def test_gradients_of_every_tensor_in_64_bits(name: str, tmp_path: Path) -> None:
    theirs, ours, pixel_values = make_pair(name, tmp_path)
    theirs, ours, pixel_values = theirs.double(), ours.double(), pixel_values.double()
    if name.startswith("mae_"):
        noise = torch.rand(2, 49, generator=torch.Generator().manual_seed(2))
        theirs(pixel_values, mask=UnitMask.from_noise(noise, 0.6).keep_mask)[0].backward()
        ours(pixel_values, noise=noise).loss.backward()
    else:
        labels = torch.tensor([7, 8])
        F.cross_entropy(theirs(pixel_values), labels).backward()
        ours(pixel_values, labels=labels).loss.backward()
    assert_gradients_equal(our_gradients(ours), gradients(theirs), per_tensor=True)


def test_encoder_of_a_pretraining_file(tmp_path: Path) -> None:
    """As the official classifiers load it: with the pooling that pre-training leaves out."""
    with without_initialization():
        pretrained, theirs = hiera.mae_hiera_tiny_224(), hiera.hiera_tiny_224().eval()
    randomize(pretrained)
    theirs.load_state_dict(pretrained.state_dict(), strict=False)
    path = tmp_path / "mae_hiera_tiny_224.pth"
    torch.save({"model_state": pretrained.state_dict()}, path)
    ours = create_model("hiera_tiny_224", pretrained=path, num_labels=10)
    pixel_values = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        _, maps = theirs(pixel_values, return_intermediates=True)
        output = ours(pixel_values, output_hidden_states=True)
    for our_map, their_map in zip(output.reshaped_hidden_states[1:], maps, strict=True):
        assert_equal(our_map, their_map)


def test_random_mask_keeps_as_many_units() -> None:
    theirs = hiera.mae_hiera_tiny_224()
    for mask_ratio in (0.6, 0.75, 0.9):
        noise = torch.rand(3, 49)
        kept = theirs.get_random_mask(torch.zeros(3, 1), mask_ratio).sum(1)
        assert torch.equal(UnitMask.from_noise(noise, mask_ratio).keep_mask.sum(1), kept)


@pytest.mark.parametrize("name", ["hiera_tiny_224", "mae_hiera_tiny_224"])
def test_drop_path_grows_from_block_to_block_at_the_same_rate(name: str) -> None:
    with without_initialization():
        theirs = getattr(hiera, name)(drop_path_rate=0.2)
    ours: Any = create_model(name, drop_path_rate=0.2)
    blocks = [block for stage in ours.hiera.encoder.stages for block in stage]
    # The official first block, of rate 0, has none.
    rates = [getattr(block.drop_path, "drop_prob", 0.0) for block in theirs.blocks]
    assert [block.drop_path.p for block in blocks] == pytest.approx(rates)
    assert (rates[0], rates[-1]) == (0, pytest.approx(0.2))
    assert {block.drop_path.mode for block in blocks} == {"row"}  # whole samples, each by itself
