"""Random weights of ordinary size, and the distance between two results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch
from torch import Tensor, nn

#: Largest difference allowed, relative to the largest value.
TOLERANCE = 1e-4
GRADIENT_TOLERANCE = 1e-3


def randomize(model: nn.Module, seed: int = 0) -> None:
    """Give every parameter random values of the size that trained ones have.

    Fresh heads may be scaled down a thousandfold and fresh norms are all alike, which hides faults.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1 and name.endswith("weight"):
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
            elif "norm" in name and name.endswith("weight"):
                parameter.copy_(1 + 0.2 * noise)
            else:
                parameter.copy_(0.2 * noise)


@contextmanager
def without_initialization() -> Iterator[None]:
    """Build models quickly: their weights are replaced right away."""
    with ExitStack() as stack:
        for name in ("trunc_normal_", "kaiming_uniform_", "xavier_uniform_"):
            stack.enter_context(patch(f"torch.nn.init.{name}"))
        yield


def difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, relative to the largest value of the reference."""
    assert ours.shape == theirs.shape, f"{tuple(ours.shape)} and {tuple(theirs.shape)}"
    largest = theirs.abs().max().item()
    return (ours - theirs).abs().max().item() / max(largest, 1e-12)


def assert_equal(ours: Tensor, theirs: Tensor, tolerance: float = TOLERANCE) -> None:
    """``ours`` is ``theirs`` up to ``tolerance``; masks and indices are equal."""
    if not theirs.is_floating_point():
        assert torch.equal(ours, theirs)
        return
    found = difference(ours, theirs)
    assert found < tolerance, f"relative difference {found:.2e}"


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """All gradients by parameter name; every parameter must have one."""
    found = {}
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{name} has no gradient"
        found[name] = parameter.grad
    return found


def assert_gradients_equal(
    ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], *, per_tensor: bool
) -> None:
    """Gradients under the reference's names are equal, relative to the largest value.

    That is the largest value of each tensor in 64 bits, and of the whole gradient in 32: there, two
    tokens under a maximum that differ by less than the arithmetic's error may swap, and the
    gradient goes to the other one. It happens to one or two tokens in millions, and shows in small
    tensors.
    """
    assert ours.keys() == theirs.keys()
    if per_tensor:
        found = max((difference(ours[name], theirs[name]), name) for name in theirs)
    else:
        largest = max(gradient.abs().max().item() for gradient in theirs.values())
        found = max(
            ((ours[name] - theirs[name]).abs().max().item() / largest, name) for name in theirs
        )
    assert found[0] < GRADIENT_TOLERANCE, f"{found[1]}: relative difference {found[0]:.2e}"
