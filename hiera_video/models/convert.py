"""Converting checkpoints from one layout to another."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from hiera_video.errors import CheckpointError
from hiera_video.files import make_output_directory
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
    is_new = not Path(directory).exists()
    try:
        return write_checkpoint(model.to_checkpoint(), make_output_directory(directory), layout)
    except CheckpointError:
        if is_new:
            with suppress(OSError):  # of a folder that is not empty
                Path(directory).rmdir()
        raise
