"""From one layout of checkpoints to another one."""

from __future__ import annotations

from pathlib import Path

from hiera_video.errors import CheckpointError
from hiera_video.files import make_output_directory
from hiera_video.models.finite import describe_not_finite_weight
from hiera_video.models.layouts import write_checkpoint
from hiera_video.models.registry import load_model


def convert(source: str | Path, directory: str | Path, layout: str) -> list[Path]:
    """Read a checkpoint in any layout and write it in ``layout``; returns what was written.

    The weights are first loaded strictly into the model they are for, so that nothing is written
    that could not be read again. What is known about pixels (``preprocessor.json``) comes along.

    Raises:
        CheckpointError: if it cannot be read, a weight is not finite, or ``layout`` cannot express
            the model.
    """
    model = load_model(source)
    if fault := describe_not_finite_weight(model.state_dict()):
        raise CheckpointError(f"{source}: the weight {fault}")
    return write_checkpoint(model.to_checkpoint(), make_output_directory(directory), layout)
