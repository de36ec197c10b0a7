"""Shared by all layouts: checkpoints in memory, and translation of names and shapes.

In memory, weights have *bare* names: those of the model's ``state_dict`` without the ``hiera.``
that a model with a head puts before the encoder's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod

from einops import rearrange
from torch import Tensor

from hiera_video.errors import CheckpointError
from hiera_video.models.config import HieraConfig
from hiera_video.models.kinds import KINDS, Kind
from hiera_video.models.mask_units import TokenGrid

TRUNK = ("patch_embedding", "position_embedding", "encoder", "norm")


@dataclass
class Checkpoint:
    """A model's class name, its configuration, and its weights under bare names.

    ``preprocessor`` and ``targets`` have the bytes of ``preprocessor.json`` and ``targets.json``,
    which exist or not; layouts do not interpret them. ``inflated``: whether it was made from an
    image checkpoint. ``companions``: checkpoints by the name of the folder, below its own, into
    which each is written with it. ``source`` is where it was read from, for messages.
    """

    architecture: str
    config: HieraConfig
    weights: dict[str, Tensor]
    preprocessor: bytes | None = None
    targets: bytes | None = None
    inflated: bool = False
    companions: dict[str, Checkpoint] = field(default_factory=dict)
    source: str = "checkpoint"

    @property
    def kind(self) -> Kind | None:
        """The kind of its model; None for an unknown class."""
        return KINDS.get(self.architecture)


def has_linear_head(checkpoint: Checkpoint) -> bool:
    """Whether its head, if it has one, is linear; the reference packages know no other."""
    config = checkpoint.config
    has_head = checkpoint.kind == "classification" and config.num_labels > 0
    return not has_head or config.head == "linear"


def bare_name(name: str) -> str:
    """A name in any of our models' ``state_dict`` -> its bare form."""
    return name.removeprefix("hiera.")


def full_name(name: str, architecture: str) -> str:
    """A bare name -> the name in the ``state_dict`` of our class ``architecture``."""
    in_trunk = name.partition(".")[0] in TRUNK
    return f"hiera.{name}" if in_trunk and KINDS.get(architecture) != "encoder" else name


class NameTable:
    """Pairs of beginnings of names, ours and a reference's; ``#`` stands for a number in both.

    A name that matches no pair stays unchanged; strict loading then reports it.
    """

    def __init__(self, pairs: Mapping[str, str]) -> None:
        self._to_reference = [(_pattern(ours), theirs) for ours, theirs in pairs.items()]
        self._from_reference = [(_pattern(theirs), ours) for ours, theirs in pairs.items()]

    def to_reference(self, name: str) -> str:
        return _translate(name, self._to_reference)

    def from_reference(self, name: str) -> str:
        return _translate(name, self._from_reference)


def _pattern(beginning: str) -> re.Pattern[str]:
    return re.compile(r"(\d+)".join(map(re.escape, beginning.split("#"))) + r"(?=\.|$)")


def _translate(name: str, table: Iterable[tuple[re.Pattern[str], str]]) -> str:
    for pattern, beginning in table:
        if match := pattern.match(name):
            start = beginning.replace("#", "{}").format(*match.groups())
            return start + name[match.end() :]
    return name


def to_reference_shape(name: str, tensor: Tensor, config: HieraConfig) -> Tensor:
    """One of our tensors in the shape of both references; tables become ``(1, N, D)``."""
    if name in _table_sizes(config) or name == "decoder.mask_token":
        return tensor.reshape(1, -1, tensor.shape[-1])
    if match := re.fullmatch(r"fusion\.layers\.(\d+)\.weight", name):
        kernel = _fusion_kernel(config, int(match[1]))
        units = tensor.unflatten(1, (1, kernel.tokens_per_unit, -1))
        return rearrange(kernel.reroll(units), "o ... i -> o i ...").contiguous()
    return tensor


def from_reference_shape(name: str, tensor: Tensor, config: HieraConfig) -> Tensor:
    """The inverse of :func:`to_reference_shape`.

    Raises:
        CheckpointError: if a position table does not have the size that the config needs.
    """
    if name == "decoder.mask_token":
        return tensor.flatten()
    if (size := _table_sizes(config).get(name)) is not None:
        if tensor.shape[:-1] != (1, prod(size)):
            raise CheckpointError(
                f"{name}: has shape {tuple(tensor.shape)}, and image_size={config.image_size} "
                f"needs {prod(size)} positions"
            )
        return tensor.reshape(*size, -1)
    match = re.fullmatch(r"fusion\.layers\.(\d+)\.weight", name)
    if match and tensor.ndim == 2 + len(config.image_size):
        kernel = _fusion_kernel(config, int(match[1]))
        if tensor.shape[2:] == kernel.size:
            return kernel.unroll(rearrange(tensor, "o i ... -> o ... i")).flatten(1)
    return tensor


def _table_sizes(config: HieraConfig) -> dict[str, tuple[int, ...]]:
    grid = config.token_grid
    decoder = TokenGrid.of_input(config, tuple(config.image_size)).pooled(config.num_query_pool)
    return {
        "position_embedding.joint": grid,
        "position_embedding.spatial": (1, *grid[1:]),
        "position_embedding.temporal": (grid[0], 1, 1),
        "decoder.position_embedding": decoder.size,
    }


def _fusion_kernel(config: HieraConfig, stage: int) -> TokenGrid:
    """The tokens under the kernel of a stage's fusion, as one mask unit in our memory order."""
    levels = config.num_query_pool - stage
    size = tuple(stride**levels for stride in config.query_stride)
    return TokenGrid(size, size, tuple(config.query_stride), levels)
