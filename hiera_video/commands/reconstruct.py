"""Show a pre-trained model's reconstructions of masked video.

hiera-video reconstruct checkpoint=DIR output_dir=OUT VIDEO [VIDEO ...]
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from hiera_video.config.groups import DecoderSettings
from hiera_video.config.limits import at_least
from hiera_video.config.machinery import Settings


class ReconstructRun(Settings):
    """Show reconstructions."""

    positional: ClassVar[tuple[str, ...]] = ("videos",)
    flags: ClassVar[Mapping[str, str]] = {
        "--checkpoint": "checkpoint",
        "--output": "output_dir",
        "--mask-ratio": "mask_ratio",
        "--seed": "seed",
        "--num-videos": "num_videos",
        "--num-frames": "num_frames",
        "--decoder": "data.decoder",
    }

    videos: list[Path] = Field(description="videos, or images, as the model takes")
    checkpoint: str = Field(description="directory, file or hub id of a pre-trained model")
    output_dir: Path = Field(description="folder that everything is written to")
    mask_ratio: float | None = Field(
        None, description="share of mask units that are hidden; default: the checkpoint's own"
    )
    seed: Annotated[int, at_least(0)] = Field(0, description="of what is hidden")
    num_videos: Annotated[int, at_least(1)] = Field(8, description="videos to show")
    num_frames: Annotated[int, at_least(1)] | None = Field(
        None, description="frames to show of each; default: all"
    )
    data: DecoderSettings = Field(default_factory=DecoderSettings)


SETTINGS = ReconstructRun


def start(run: ReconstructRun) -> None:
    """Write a sheet and a film; print how far the reconstructions are from what was hidden."""
    from hiera_video.files import make_output_directory
    from hiera_video.visualization.reconstruction import (
        VideoReconstruction,
        hidden_errors,
        mean_errors,
        reconstruct_videos,
    )
    from hiera_video.visualization.rendering import write_film, write_sheet

    output = make_output_directory(run.output_dir)
    shown: list[VideoReconstruction] = []
    errors = []
    for video in reconstruct_videos(
        run.checkpoint,
        run.videos,
        mask_ratio=run.mask_ratio,
        seed=run.seed,
        decoder=run.data.decoder,
    ):
        errors.append(hidden_errors(video.frames))
        if len(shown) < run.num_videos:
            shown.append(video)
    write_sheet(shown, output / "reconstruction.png", num_frames=run.num_frames)
    write_film(shown, output / "reconstruction.mp4")
    mean = mean_errors(errors)
    print(
        f"mean squared error over the hidden patches of {len(errors)} videos, colours from 0 to 1\n"
        f"reconstruction                       {mean.reconstruction:.4f}\n"
        f"mean colour of the visible patches   {mean.visible_colour:.4f}\n"
        f"mean colour of each hidden patch     {mean.patch_colour:.4f}\n"
        f"-> {output}/reconstruction.png, {output}/reconstruction.mp4"
    )
