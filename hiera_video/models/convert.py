"""The work of ``scripts/convert_checkpoint.py``: one layout in, another one out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hiera_video.config.machinery import CommandLine
from hiera_video.errors import CheckpointError
from hiera_video.files import make_output_directory
from hiera_video.models.finite import describe_not_finite_weight
from hiera_video.models.layouts import LAYOUTS, write_checkpoint
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


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: prints what was written, one file a line."""
    parser = CommandLine(description="Write a checkpoint in another layout.")
    parser.add_argument("source", help="directory, file or hub id")
    parser.add_argument("target_dir", type=Path, help="folder to write to; made if missing")
    parser.add_argument("--layout", choices=LAYOUTS, default="hiera_video")
    options = parser.parse_args(arguments)
    for path in convert(options.source, options.target_dir, options.layout):
        print(f"{path} ({path.stat().st_size:,} bytes)")
