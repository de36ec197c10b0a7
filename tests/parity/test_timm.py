"""``timm``'s Hiera models of images and its image encoders of SAM 2, against ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from hiera_video.errors import CheckpointError
from hiera_video.models.config import HieraConfig
from hiera_video.models.convert import convert
from hiera_video.models.hiera import HieraModel
from hiera_video.models.layouts import bare_name
from hiera_video.models.layouts import timm as layout
from hiera_video.models.pretrained import PretrainedModel
from hiera_video.models.registry import load_model
from tests.models.small import IMAGE, VIDEO
from tests.parity.compare import assert_equal

SAM2 = ("sam2_hiera_tiny", "sam2_hiera_small", "sam2_hiera_base_plus", "sam2_hiera_large")
ABSWIN = ("hiera_small_abswin_256", "hiera_base_abswin_256")
#: Pixels: of one window of SAM 2's three smaller encoders, of one of the largest, and rectangular,
#: with several windows that are not full.
SIZES = ((224, 224), (256, 256), (288, 480))
QUICK = ("sam2_hiera_tiny", "hiera_small_abswin_256")
EACH = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.long)
    for name in (*SAM2, *ABSWIN, "hiera_tiny_224")
]
QUICK_SIZES = [(name, (256, 256)) for name in QUICK]
EACH_SIZE = [
    pytest.param(name, size, marks=() if (name, size) in QUICK_SIZES else pytest.mark.long)
    for name in (*SAM2, *ABSWIN, "hiera_tiny_224")
    for size in SIZES
    if name != "hiera_tiny_224" or size == (224, 224)  # its positions have one size
]


def make(name: str, **arguments: Any) -> nn.Module:
    """A model of timm with random weights, all of which matter."""
    torch.manual_seed(0)
    model = timm.create_model(name, **arguments).eval()
    for parameter_name, parameter in model.named_parameters():
        if parameter_name.endswith("gamma"):
            nn.init.normal_(parameter)
        elif parameter.ndim == 1:
            nn.init.normal_(parameter, std=0.1)
    return model


def saved(model: nn.Module, path: Path) -> Path:
    save_file(model.state_dict(), path)
    return path


def in_size(name: str, size: tuple[int, int]) -> nn.Module:
    """A model for images of that size: that of SAM 2 is for any."""
    return make(name) if name in SAM2 else make(name, img_size=size)


def stages_of(model: PretrainedModel, pixels: Tensor) -> list[Tensor]:
    encoder: Any = getattr(model, "hiera", model)
    output = encoder(pixels, output_hidden_states=True, interpolate_pos_encoding=True)
    return [state.movedim(-1, 1) for state in output.reshaped_hidden_states[1:]]


@pytest.mark.parametrize(("name", "size"), EACH_SIZE)
def test_all_stages_and_gradients(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    """In double precision: in single, two tokens under a maximum that hardly differ may swap."""
    theirs: Any = in_size(name, size)
    ours = load_model(saved(theirs, tmp_path / "theirs.safetensors"))
    pixels = torch.randn(1, 3, *size)
    with torch.no_grad():
        pairs = zip(stages_of(ours, pixels), theirs.forward_intermediates(pixels)[1], strict=True)
        for mine, other in pairs:
            assert_equal(mine, other, tolerance=1e-5)
    pixels = pixels.double()
    wanted = theirs.double().forward_intermediates(pixels)[1]
    (wanted[-1].square().mean() + wanted[1].mean()).backward()
    found = stages_of(ours.double(), pixels)
    (found[-1].square().mean() + found[1].mean()).backward()
    reference = {name: p.grad for name, p in theirs.named_parameters() if p.grad is not None}
    expected = layout.read(None, reference, ours.config).weights
    gradients = {bare_name(n): p.grad for n, p in ours.named_parameters() if p.grad is not None}
    assert gradients.keys() == expected.keys()
    for key, gradient in gradients.items():
        assert_equal(gradient, expected[key], tolerance=1e-4)


@pytest.mark.parametrize("name", ABSWIN[:1])
def test_logits_and_names_of_labels(name: str, tmp_path: Path) -> None:
    theirs = make(name, num_classes=3)
    (tmp_path / "config.json").write_text(
        f'{{"architecture": "{name}", "label_names": ["a", "b", "c"]}}'
    )
    saved(theirs, tmp_path / "model.safetensors")
    ours: Any = load_model(tmp_path)
    assert ours.config.id2label == {0: "a", 1: "b", 2: "c"}
    pixels = torch.randn(2, 3, 256, 256)
    assert_equal(ours(pixels).logits, theirs(pixels), tolerance=1e-5)


@pytest.mark.parametrize("name", EACH)
def test_round_trip(name: str, tmp_path: Path) -> None:
    """timm -> ours -> timm, read by timm itself."""
    theirs = make(name)
    convert(saved(theirs, tmp_path / "theirs.safetensors"), tmp_path / "ours", "hiera_video")
    convert(tmp_path / "ours", tmp_path / "timm", "timm")
    back = timm.create_model(f"local-dir:{tmp_path / 'timm'}", pretrained=True)
    weights = back.state_dict()
    assert weights.keys() == theirs.state_dict().keys()
    for key, tensor in theirs.state_dict().items():
        assert torch.equal(weights[key], tensor), key


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (VIDEO, "no HieraModel of clips"),
        (IMAGE, r"no Hiera of timm has .*embed_dim=24"),
        ({"window_units": 3}, r"no Hiera of timm has .*window_units=3"),
    ],
)
def test_what_timm_has_not(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    with torch.device("meta"):
        model = HieraModel(HieraConfig(**fields))
    HieraModel(model.config).save_pretrained(tmp_path / "ours")
    with pytest.raises(CheckpointError, match=message):
        convert(tmp_path / "ours", tmp_path / "timm", "timm")
