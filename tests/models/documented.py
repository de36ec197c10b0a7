"""The models and inputs that the checks of documented behaviour run on."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from hiera_video import (
    HieraBackbone,
    HieraConfig,
    HieraForImageClassification,
    HieraForPreTraining,
    HieraForVideoClassification,
    HieraModel,
)
from tests.models.small import DECODER, IMAGE, VIDEO, clips, images


class Case(NamedTuple):
    """A class of models, and what it takes: "image" or "clip"."""

    cls: type[Any]
    kind: str

    @property
    def config(self) -> HieraConfig:
        fields = {**(VIDEO if self.kind == "clip" else IMAGE), "num_labels": 3}
        return HieraConfig(**{**fields, **(DECODER if self.trains_alone else {})})

    @property
    def trains_alone(self) -> bool:
        return self.cls is HieraForPreTraining

    @property
    def gives_a_loss(self) -> bool:
        return self.cls not in (HieraModel, HieraBackbone)

    @property
    def arguments(self) -> dict[str, Tensor]:
        """An input, with noise where the model would draw it."""
        arguments = {"pixel_values": clips() if self.kind == "clip" else images()}
        if self.trains_alone:
            num_units = self.config.num_units
            generator = torch.Generator().manual_seed(1)
            arguments["noise"] = torch.rand(2, num_units, generator=generator)
        return arguments

    @property
    def arguments_with_labels(self) -> dict[str, Tensor]:
        labelled = self.gives_a_loss and not self.trains_alone
        return {**self.arguments, **({"labels": torch.tensor([0, 2])} if labelled else {})}

    def model(self, **changes: Any) -> Any:
        torch.manual_seed(0)
        return self.cls(HieraConfig.from_dict(self.config.to_dict(), **changes)).eval()


CASES = [
    Case(HieraModel, "image"),
    Case(HieraModel, "clip"),
    Case(HieraBackbone, "image"),
    Case(HieraBackbone, "clip"),
    Case(HieraForPreTraining, "image"),
    Case(HieraForPreTraining, "clip"),
    Case(HieraForImageClassification, "image"),
    Case(HieraForVideoClassification, "clip"),
]
NAMES = [f"{case.cls.__name__}-{case.kind}" for case in CASES]


def flat(output: Any) -> list[Tensor]:
    """All tensors of an output, in order."""
    if isinstance(output, Tensor):
        return [output]
    if hasattr(output, "to_tuple"):
        output = output.to_tuple()
    return [tensor for value in output for tensor in flat(value)]
