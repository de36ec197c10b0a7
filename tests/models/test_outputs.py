"""What models return: by name, by place, as a dictionary, and through ``torch.export``."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hiera_video import HieraBackbone, HieraConfig, HieraForVideoClassification, HieraModel
from tests.models.small import VIDEO

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
def test_models_are_exported_for_batches_of_any_size(kind: type[Any], learns: bool) -> None:
    model = kind(HieraConfig(**VIDEO)).eval().requires_grad_(learns)
    batch = {"pixel_values": {0: torch.export.Dim("batch")}}
    exported = torch.export.export(model, (CLIPS[:2],), dynamic_shapes=batch).module()
    with torch.no_grad():
        expected, output = model(CLIPS), exported(CLIPS)
    assert type(output) is type(expected)
    found, wanted = (torch.utils._pytree.tree_leaves(x) for x in (output, expected))
    assert len(found) == len(wanted) > 0
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)
