"""Converting checkpoints from one layout to another."""

from __future__ import annotations

from pathlib import Path

from hiera_video.errors import CheckpointError
from hiera_video.files import output_directory
from hiera_video.models.finite import describe_not_finite_weight
from hiera_video.models.layouts import write_checkpoint
from hiera_video.models.registry import load_model


def convert(source: str | Path, directory: str | Path, layout: str) -> list[Path]:
    """Read a checkpoint in any layout and write it in ``layout``; returns the written files.

    The weights are first loaded strictly into their model, so that nothing is written that could
    not be read again. ``preprocessor.json`` is kept.

    Raises:
        CheckpointError: if the checkpoint cannot be read, a weight is not finite, or ``layout``
            cannot express the model.
    """
    model = load_model(source)
    if fault := describe_not_finite_weight(model.state_dict()):
        raise CheckpointError(f"{source}: the weight {fault}")
    with output_directory(directory) as output:
        return write_checkpoint(model.to_checkpoint(), output, layout)
