"""Show a pre-trained model's reconstructions of masked video.

python scripts/visualize_mae.py --checkpoint DIR --output OUT VIDEO [VIDEO ...]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from hiera_video.command import run_command
from hiera_video.config.groups import Decoder
from hiera_video.config.machinery import CommandLine
from hiera_video.files import make_output_directory
from hiera_video.visualization.reconstruction import (
    VideoReconstruction,
    hidden_errors,
    mean_errors,
    reconstruct_videos,
)
from hiera_video.visualization.rendering import write_film, write_sheet


def main() -> None:
    parser = CommandLine(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO")
    parser.add_argument("--checkpoint", required=True, help="directory, file or hub id")
    parser.add_argument("--output", required=True, type=Path, help="folder to write to")
    parser.add_argument("--mask-ratio", type=float, help="default: the checkpoint's own")
    parser.add_argument("--seed", type=int, default=0, help="of what is hidden (default 0)")
    parser.add_argument("--num-videos", type=int, default=8, help="videos to show (default 8)")
    parser.add_argument("--num-frames", type=int, help="frames to show of each (default: all)")
    parser.add_argument("--decoder", default="pyav", choices=get_args(Decoder))
    options = parser.parse_args()
    for name, least in (("seed", 0), ("num_videos", 1), ("num_frames", 1)):
        value = getattr(options, name)
        if value is not None and value < least:
            parser.error(f"--{name.replace('_', '-')}={value}: wanted at least {least}")
    output = make_output_directory(options.output, "--output")
    shown: list[VideoReconstruction] = []
    errors = []
    for video in reconstruct_videos(
        options.checkpoint,
        options.videos,
        mask_ratio=options.mask_ratio,
        seed=options.seed,
        decoder=options.decoder,
    ):
        errors.append(hidden_errors(video.frames))
        if len(shown) < options.num_videos:
            shown.append(video)
    write_sheet(shown, output / "reconstruction.png", num_frames=options.num_frames)
    write_film(shown, output / "reconstruction.mp4")
    mean = mean_errors(errors)
    print(
        f"mean squared error over the hidden patches of {len(errors)} videos, colours from 0 to 1\n"
        f"reconstruction                       {mean.reconstruction:.4f}\n"
        f"mean colour of the visible patches   {mean.visible_colour:.4f}\n"
        f"mean colour of each hidden patch     {mean.patch_colour:.4f}\n"
        f"-> {output}/reconstruction.png, {output}/reconstruction.mp4"
    )


if __name__ == "__main__":
    run_command(main)
