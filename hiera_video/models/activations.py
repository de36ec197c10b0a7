"""Activation functions by their names in configs."""

from __future__ import annotations

from typing import Any

from torch import nn

#: ``hidden_act`` by name, for each of :data:`hiera_video.models.config.ACTIVATION_NAMES`: the
#: ``torch.nn`` class and its arguments.
ACTIVATIONS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "gelu": (nn.GELU, {}),
    "gelu_pytorch_tanh": (nn.GELU, {"approximate": "tanh"}),
    "gelu_new": (nn.GELU, {"approximate": "tanh"}),
    "relu": (nn.ReLU, {}),
    "relu6": (nn.ReLU6, {}),
    "leaky_relu": (nn.LeakyReLU, {}),
    "selu": (nn.SELU, {}),
    "silu": (nn.SiLU, {}),
    "swish": (nn.SiLU, {}),
    "mish": (nn.Mish, {}),
    "tanh": (nn.Tanh, {}),
    "sigmoid": (nn.Sigmoid, {}),
}


def make_activation(name: str) -> nn.Module:
    """The activation called ``name``, one of :data:`ACTIVATIONS`."""
    cls, arguments = ACTIVATIONS[name]
    return cls(**arguments)
