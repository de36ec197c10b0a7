"""What models return: by name, by place, as a dictionary, and through ``torch.export``."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hiera_video import (
    HieraBackbone,
    HieraConfig,
    HieraForPreTraining,
    HieraForVideoClassification,
    HieraModel,
)
from hiera_video.models.outputs import ModelOutput
from tests.models.small import DECODER, VIDEO

CLIPS = torch.randn(3, 3, *VIDEO["image_size"], generator=torch.Generator().manual_seed(0))


def test_fields_that_are_none_do_not_count() -> None:
    model = HieraForVideoClassification(HieraConfig(**VIDEO, num_labels=5)).eval()
    with torch.no_grad():
        output: Any = model(CLIPS)
        with_loss: Any = model(CLIPS, labels=torch.tensor([0, 1, 2]))
    assert output.loss is None
    assert "loss" not in output
    assert output[0] is output["logits"] is output.logits
    assert len(output) == 1
    assert list(dict(with_loss)) == ["loss", "logits"]
    assert dict(with_loss)["loss"] is with_loss[0]


@pytest.mark.parametrize("learns", [True, False])  # other kernels, on CPUs
@pytest.mark.parametrize("kind", [HieraModel, HieraForVideoClassification, HieraBackbone])
def test_models_are_exported_for_batches_of_any_size(
    kind: type[Any], learns: bool, tmp_path: Path
) -> None:
    model = kind(HieraConfig(**VIDEO)).eval().requires_grad_(learns)
    batch = {"pixel_values": {0: torch.export.Dim("batch")}}
    program = torch.export.export(model, (CLIPS[:2],), dynamic_shapes=batch)
    torch.export.save(program, tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2")
    with torch.no_grad():
        expected = model(CLIPS)
        assert_same_output(program.module()(CLIPS), expected)
        assert_same_output(loaded.module()(CLIPS), expected)


class Shifted(nn.Module):
    """Gives an output whose fields are given tensors, each shifted by the input."""

    def __init__(self, output: type[ModelOutput], given: dict[str, Tensor]) -> None:
        super().__init__()
        self.output, self.given = output, given

    def forward(self, offset: Tensor) -> ModelOutput:
        return self.output(**{name: tensor + offset for name, tensor in self.given.items()})


@pytest.mark.parametrize("output", ModelOutput.__subclasses__())
def test_every_output_survives_a_file(output: type[ModelOutput], tmp_path: Path) -> None:
    """With all its fields, and with those that it must have."""
    every = {field.name: CLIPS + number for number, field in enumerate(fields(output))}
    needed = {
        field.name: every[field.name] for field in fields(output) if field.default is MISSING
    } or {"logits": CLIPS}
    for number, given in enumerate((every, needed)):
        model = Shifted(output, given)
        path = tmp_path / f"{number}.pt2"
        torch.export.save(torch.export.export(model, (CLIPS[:1],)), path)
        made = torch.export.load(path).module()(CLIPS[:1])
        assert_same_output(made, model(CLIPS[:1]))
        assert made.keys() == list(given)


def test_masked_models_are_exported_with_their_masks(tmp_path: Path) -> None:
    model = HieraForPreTraining(HieraConfig(**VIDEO, **DECODER)).eval()
    noise = torch.rand(3, model.config.num_units, generator=torch.Generator().manual_seed(1))
    torch.export.save(torch.export.export(model, (CLIPS, noise)), tmp_path / "model.pt2")
    with torch.no_grad():
        expected = model(CLIPS, noise)
        assert_same_output(
            torch.export.load(tmp_path / "model.pt2").module()(CLIPS, noise), expected
        )


def assert_same_output(output: Any, expected: Any) -> None:
    assert type(output) is type(expected)
    found, wanted = (torch.utils._pytree.tree_leaves(x) for x in (output, expected))
    assert len(found) == len(wanted) > 0
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)
