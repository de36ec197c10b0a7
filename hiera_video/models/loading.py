"""Putting weights into a model, and where and as what a loaded model is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import torch
from torch import Tensor, nn

from hiera_video.errors import CheckpointError, ConfigError
from hiera_video.models.layouts import bare_name
from hiera_video.models.layouts.base import full_name


class LoadingInfo(TypedDict):
    """How weights and model differed, by names as in the model's ``state_dict``.

    ``missing_keys`` started anew; ``unexpected_keys`` were left out; ``mismatched_keys`` started
    anew since they had another shape (name, shape in the checkpoint, shape in the model);
    ``error_msgs`` is always empty: errors are raised.
    """

    missing_keys: set[str]
    unexpected_keys: set[str]
    mismatched_keys: set[tuple[str, tuple[int, ...], tuple[int, ...]]]
    error_msgs: list[str]


def loading_info(
    model: nn.Module, saved: Mapping[str, Tensor], fresh: set[str], architecture: str
) -> LoadingInfo:
    """The difference between ``saved`` weights and the model, both under bare names.

    Args:
        fresh: weights of the model that started anew.
        architecture: the class of the model.
    """
    state = {bare_name(name): (name, tensor) for name, tensor in model.state_dict().items()}
    other_shape = {n for n in fresh & saved.keys() if saved[n].shape != state[n][1].shape}
    return LoadingInfo(
        missing_keys={state[name][0] for name in fresh - other_shape},
        unexpected_keys={full_name(name, architecture) for name in saved.keys() - state.keys()},
        mismatched_keys={
            (state[name][0], tuple(saved[name].shape), tuple(state[name][1].shape))
            for name in other_shape
        },
        error_msgs=[],
    )


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Replace the model's parameters by ``weights`` (bare names), strictly.

    Raises:
        CheckpointError: if tensors are missing, left over, or of another shape; the message names
            them.
    """
    state = model.state_dict()
    names = {bare_name(name): name for name in state}
    missing = sorted(names.keys() - weights.keys())
    unexpected = sorted(weights.keys() - names.keys())
    reshaped = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(state[full].shape)}"
        for name, full in sorted(names.items())
        if name in weights and weights[name].shape != state[full].shape
    ]
    faults = [
        f"{fault}: {', '.join(tensors[:3])}"
        + (f" and {len(tensors) - 3} more" if tensors[3:] else "")
        for fault, tensors in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", reshaped),
        )
        if tensors
    ]
    if faults:
        raise CheckpointError(f"{source}: weights do not fit the model ({'; '.join(faults)})")
    # Copies: models are float32 for any precision of the file, share no memory with it, and have
    # the usual memory order, which their optimizer's tensors follow: safetensors take no other.
    copies = {
        full: weights[name].to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        for name, full in names.items()
    }
    model.load_state_dict(copies, assign=True)


def wanted_dtype(
    dtype: str | torch.dtype | None, torch_dtype: str | torch.dtype | None
) -> torch.dtype | None:
    """The type of a loaded model's parameters; None is "auto", the type in the file.

    Args:
        dtype: a type or its name; default: float32, whatever the file has.
        torch_dtype: an older name of the same argument.

    Raises:
        ConfigError: if it is no type of floating-point numbers, or both name different ones.
    """
    if dtype is not None and torch_dtype is not None and _as_dtype(dtype) != _as_dtype(torch_dtype):
        raise ConfigError(f"dtype={dtype} and torch_dtype={torch_dtype}: one argument, two names")
    given = torch_dtype if dtype is None else dtype
    return torch.float32 if given is None else _as_dtype(given)


def _as_dtype(given: str | torch.dtype) -> torch.dtype | None:
    if given == "auto":
        return None
    found = getattr(torch, given.removeprefix("torch."), None) if isinstance(given, str) else given
    if not isinstance(found, torch.dtype) or not found.is_floating_point or found.itemsize < 2:
        raise ConfigError(f"dtype={given!r}: wanted float32, bfloat16, float16, float64 or auto")
    return found


def dtype_of(weights: Mapping[str, Tensor]) -> torch.dtype:
    """The type of the first weights with floating-point numbers."""
    types = (tensor.dtype for tensor in weights.values() if tensor.is_floating_point())
    return next(types, torch.float32)


def wanted_device(device_map: object) -> torch.device:
    """The device of a loaded model.

    Args:
        device_map: a device, its name or number; ``{"": device}``; "auto", the machine's
            accelerator if there is one; None, PyTorch's default device.

    Raises:
        ConfigError: if it spreads a model over several devices or disks, or names no device: these
            models fit one, and training shards them by ``accelerate``.
    """
    if isinstance(device_map, Mapping) and set(device_map) == {""}:
        return wanted_device(device_map[""])
    if device_map is None:
        device = torch.get_default_device()
    elif device_map == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        device = accelerator or torch.device("cpu")
    elif isinstance(device_map, str | int | torch.device) and not isinstance(device_map, bool):
        try:
            device = torch.device(device_map)
        except RuntimeError:
            raise ConfigError(_device_fault(device_map)) from None
    else:
        raise ConfigError(_device_fault(device_map))
    if device.type == "meta":
        raise ConfigError("a model on the meta device has no weights: load it on another one")
    return device


def _device_fault(device_map: object) -> str:
    return (
        f"device_map={device_map!r}: wanted one device, such as cpu, cuda:1, 1, {{'': 1}} or auto: "
        "these models fit one device, and are not spread over several"
    )
