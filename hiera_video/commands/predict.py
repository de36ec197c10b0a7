"""What a trained model makes of videos or images: classes, labels or numbers, as its task is.

hiera-video predict checkpoint=DIR FILE [FILE ...]

FILE can be a folder, for all videos (or images, as the model takes) below it, and a pattern; and a
.zip or .tar of numbered pictures, which is a video. (A folder of them is one where a manifest names
it: see `evaluate`.) Files that cannot be read are listed at the end, each with its reason; the exit
status is 2 then.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from hiera_video.command import say_error
from hiera_video.commands.checkpoint import CHECKPOINT, CheckpointClip
from hiera_video.config.clip_groups import EvaluateSettings
from hiera_video.config.groups import PredictData
from hiera_video.config.machinery import Settings

if TYPE_CHECKING:
    from hiera_video.evaluation.predict import Prediction


class PredictionViews(Settings):
    """Views of a file whose scores are averaged."""

    num_clips: int | None = Field(
        None, ge=1, description="clips per video; default: 5, or 1 where a clip spans the video"
    )
    num_crops: int | None = Field(
        None, ge=1, description="crops per clip; default: 3, or 1 of an image"
    )


class PredictRun(Settings):
    """Classify single files."""

    positional: ClassVar[tuple[str, ...]] = ("files",)
    flags: ClassVar[Mapping[str, str]] = {
        "--checkpoint": "checkpoint",
        "--num-clips": "evaluate.num_clips",
        "--num-crops": "evaluate.num_crops",
        "--classes": "classes",
        "--top-k": "top_k",
        "--decoder": "data.decoder",
        "--clip": "clip.*",
        "--json": "json_lines",
    }

    files: list[str] = Field(description="videos or images, folders, patterns")
    checkpoint: str = Field(description=CHECKPOINT)
    classes: Path | None = Field(
        None,
        description="classes.txt, a name a line, for published weights, which come without names",
    )
    top_k: int = Field(5, description="classes to show, where a video has one")
    json_lines: bool = Field(False, description="one line of JSON per file")
    data: PredictData = Field(default_factory=PredictData)
    clip: CheckpointClip = Field(default_factory=CheckpointClip)
    evaluate: PredictionViews = Field(default_factory=PredictionViews)


SETTINGS = PredictRun


def start(run: PredictRun) -> None:
    """Print what the model makes of each file; what cannot be read, at the end."""
    from hiera_video.data.class_list import read_classes
    from hiera_video.evaluation.predict import PredictionOptions, predict

    options = PredictionOptions(
        run.clip.given,
        read_classes(run.classes) if run.classes else None,
        run.data.decoder,
        run.top_k,
        run.data.exact_frame_rate,
    )
    views = EvaluateSettings.given(run.evaluate.num_clips, run.evaluate.num_crops)
    predictions = predict(run.checkpoint, run.files, views, options)
    failures = []
    for prediction in predictions:
        if prediction.reason is not None:
            failures.append(prediction)
        _show(prediction, run.json_lines)
    for failure in failures:
        say_error(f"error: {failure.path}: {failure.reason}")
    if failures:
        sys.exit(2)


def _show(prediction: Prediction, as_json: bool) -> None:
    """One line of JSON, or a table; of a file that cannot be read, no table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    failed = prediction.reason is not None
    if as_json:
        told = {"error": prediction.reason} if failed else {prediction.kind: prediction.classes}
        print(json.dumps({"path": prediction.path, **told}), flush=True)
    elif not failed:
        print(prediction.path)
        if not prediction.classes:
            print("no label reaches its threshold")
            return
        is_number = prediction.kind == "values"
        table = Table(min_width=40)
        table.add_column("target" if is_number else "class")
        table.add_column("value" if is_number else "probability", justify="right")
        for name, value in prediction.classes:
            table.add_row(Text(name), f"{value:.6g}" if is_number else f"{value:.4f}")
        Console().print(table)
