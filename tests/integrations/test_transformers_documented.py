"""The checks of documented behaviour, which hold for our own classes, on those around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from hiera_video import HieraConfig
from hiera_video.integrations import transformers as integration
from hiera_video.integrations.transformers import HieraVideoConfig
from tests.models import test_documented_outputs as outputs
from tests.models import test_documented_surface as surface
from tests.models.documented import CASES, NAMES, Case


class Wrapped(Case):
    """A case whose models are those of ``transformers`` around ours."""

    def model(self, **changes: Any) -> Any:
        torch.manual_seed(0)
        fields = HieraConfig.from_dict(self.config.to_dict(), **changes).to_dict()
        name = self.cls.__name__.replace("Hiera", "HieraVideo", 1)
        return getattr(integration, name)(HieraVideoConfig(**fields)).eval()


#: Where a check is for some of the classes only.
LOSSES = (
    outputs.test_grey_pixels,
    surface.test_training_gives_every_parameter_a_gradient,
    surface.test_inputs_of_frozen_models_may_require_gradients,
)
CHECKS = (
    outputs.test_the_first_argument_is_the_pixels,
    outputs.test_attentions,
    outputs.test_hidden_states,
    outputs.test_tuples_hold_what_named_outputs_do,
    outputs.test_the_same_input_gives_the_same_output,
    outputs.test_samples_do_not_depend_on_their_batch,
    outputs.test_losses_on_states_and_attentions_train,
    outputs.test_sizes_of_outputs,
    surface.test_embeddings,
    *LOSSES,
)


PAIRS = [
    pytest.param(check, Wrapped(*case), id=f"{check.__name__}-{name}")
    for check in CHECKS
    for case, name in zip(CASES, NAMES, strict=True)
    if case.gives_a_loss or check not in LOSSES
]


@pytest.mark.parametrize(("check", "case"), PAIRS)
def test_documented_checks(check: Callable[[Case], None], case: Case) -> None:
    check(case)
