"""Classify videos or images with a trained model.

python scripts/predict.py --checkpoint DIR FILE [FILE ...]

FILE can be a folder, for all videos (or images, as the model takes) below it, and a pattern. Files
that cannot be read are listed at the end, each with its reason; the exit status is 2 then.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hiera_video.command import run_command, say_error
from hiera_video.config.groups import Decoder, EvaluateSettings
from hiera_video.config.machinery import CommandLine, apply_override
from hiera_video.data.manifest import read_classes
from hiera_video.evaluation.predict import predict


def main() -> None:
    parser = CommandLine(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--checkpoint", required=True, help="directory, file or hub id")
    parser.add_argument(
        "--num-clips", type=int, help="clips per video (default 5; 1 where a clip spans the video)"
    )
    parser.add_argument("--num-crops", type=int, help="crops per clip (default 3; 1 of an image)")
    parser.add_argument(
        "--classes",
        type=Path,
        metavar="FILE",
        help="classes.txt, a name a line, for published weights, which come without names",
    )
    parser.add_argument("--top-k", type=int, default=5, help="classes to show (default 5)")
    parser.add_argument("--decoder", default="pyav", choices=get_args(Decoder))
    parser.add_argument(
        "--clip",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of clips in place of the checkpoint's own, such as frames_per_second=30; "
        "can be repeated",
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON per file")
    options = parser.parse_args()
    overrides: dict[str, Any] = {}
    for override in options.clip:
        apply_override(overrides, override)
    predictions = predict(
        options.checkpoint,
        options.files,
        EvaluateSettings.given(options.num_clips, options.num_crops),
        overrides=overrides,
        classes=read_classes(options.classes) if options.classes else None,
        decoder=options.decoder,
        top_k=options.top_k,
    )
    failures = []
    for prediction in predictions:
        path, failed = prediction.path, prediction.reason is not None
        if failed:
            failures.append(prediction)
        if options.json:
            told = {"error": prediction.reason} if failed else {"classes": prediction.classes}
            print(json.dumps({"path": path, **told}), flush=True)
        if failed or options.json:
            continue
        print(path)
        table = Table(min_width=40)
        table.add_column("class")
        table.add_column("probability", justify="right")
        for name, probability in prediction.classes:
            table.add_row(Text(name), f"{probability:.4f}")
        Console().print(table)
    for failure in failures:
        say_error(f"error: {failure.path}: {failure.reason}")
    if failures:
        sys.exit(2)


if __name__ == "__main__":
    run_command(main)
