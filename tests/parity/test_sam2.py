"""Image encoders of SAM 2 in the original layout and in that of ``transformers``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor
from transformers import Sam2HieraDetConfig, Sam2VisionConfig, Sam2VisionModel
from transformers.models.sam2.modeling_sam2 import Sam2HieraDetModel

from hiera_video import HieraBackbone, create_model
from hiera_video.models.registry import load_model
from tests.parity.compare import assert_equal, randomize
from tests.parity.test_timm import stages_of

PIXELS = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))


def original_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those of the package ``sam2`` for the names of timm, in a file of the whole model."""
    trunk = {
        name.replace("mlp.fc1", "mlp.layers.0").replace("mlp.fc2", "mlp.layers.1"): tensor
        for name, tensor in weights.items()
        if not name.startswith("head.")
    }
    return {
        **{f"image_encoder.trunk.{name}": tensor for name, tensor in trunk.items()},
        "image_encoder.neck.convs.0.conv.weight": torch.zeros(256, 768, 1, 1),
        "memory_encoder.out_proj.weight": torch.zeros(64, 256, 1, 1),
        "sam_mask_decoder.iou_token.weight": torch.zeros(1, 256),
    }


def test_the_original_file(tmp_path: Path) -> None:
    theirs: Any = timm.create_model("sam2_hiera_tiny").eval()
    randomize(theirs)
    path = tmp_path / "sam2.1_hiera_tiny.pt"
    torch.save({"model": original_names(theirs.state_dict())}, path)
    ours = load_model(path)
    assert (ours.kind, ours.config.image_size) == ("encoder", [224, 224])
    with torch.no_grad():
        wanted = theirs.forward_intermediates(PIXELS)[1]
        for mine, other in zip(stages_of(ours, PIXELS), wanted, strict=True):
            assert_equal(mine, other, tolerance=1e-5)
    named = create_model("hiera_tiny_16x224", pretrained=path, num_labels=3)
    assert (named.config.window_units, named.config.image_size) == (7, [16, 224, 224])
    backbone = HieraBackbone.from_pretrained(path, out_features=["stage1", "stage4"])
    assert backbone.channels == [96, 768]


@pytest.mark.parametrize("with_neck", [False, True])
def test_the_classes_of_transformers(with_neck: bool, tmp_path: Path) -> None:
    config = Sam2HieraDetConfig()
    theirs: Any = (
        Sam2VisionModel(Sam2VisionConfig(backbone_config=config))
        if with_neck
        else Sam2HieraDetModel(config)
    ).eval()
    randomize(theirs)
    theirs.save_pretrained(tmp_path)
    ours = load_model(tmp_path)
    backbone = theirs.backbone if with_neck else theirs
    with torch.no_grad():
        wanted = backbone(PIXELS).intermediate_hidden_states
        for mine, other in zip(stages_of(ours, PIXELS), wanted, strict=True):
            assert_equal(mine, other.movedim(-1, 1), tolerance=1e-5)
