"""Make the videos of the demo: one object each, labelled by how it moves.

hiera-video demo [FOLDER] [num_train=640] [num_val=160] [motions=2]

Eight classes in four opposite pairs, and no single frame tells which one it is. With motions=2 an
object moves in two ways at once and has two labels (task=multi_label). The same seed gives the same
bytes. A run that was interrupted is completed by the same command.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from hiera_video.config.limits import at_least
from hiera_video.config.machinery import Settings
from hiera_video.errors import Interrupted, UserError

_NUM_CLASSES = 8


class DemoRun(Settings):
    """Make the demo's videos."""

    positional: ClassVar[tuple[str, ...]] = ("output_dir",)
    flags: ClassVar[Mapping[str, str]] = {
        "--num-train": "num_train",
        "--num-val": "num_val",
        "--seed": "seed",
        "--size": "size",
        "--num-frames": "num_frames",
        "--frame-rate": "frame_rate",
        "--workers": "num_workers",
    }

    output_dir: Path = Field(Path("data/demo"), description="folder that everything is written to")
    num_train: int = Field(640, description="training videos")
    num_val: int = Field(160, description="validation videos")
    seed: Annotated[int, at_least(0)] = 0
    size: int = Field(96, description="height and width in pixels")
    # The motion spans the video, whatever its length; training clips span 16 frames of it.
    num_frames: Annotated[int, at_least(16)] = Field(24, description="per video")
    frame_rate: Annotated[int, at_least(1)] = Field(15, description="per second")
    motions: Literal[1, 2] = Field(1, description="at once: of two, each video has two labels")
    num_workers: Annotated[int, at_least(1)] = Field(
        default_factory=lambda: os.cpu_count() or 1,
        description="processes that draw; default: one per core",
    )

    @field_validator("num_train", "num_val")
    @classmethod
    def _check_balance(cls, value: int) -> int:
        if value <= 0 or value % _NUM_CLASSES:
            raise ValueError(f"wanted a positive multiple of {_NUM_CLASSES} classes")
        return value

    @field_validator("size")
    @classmethod
    def _check_size(cls, value: int) -> int:
        if value < 32 or value % 2:
            raise ValueError("wanted an even number of at least 32 pixels")
        return value


SETTINGS = DemoRun


def start(run: DemoRun) -> None:
    """Write what is not there yet."""
    from hiera_video.preparation.demo import generate_demo
    from hiera_video.preparation.demo_videos import DemoSettings

    settings = DemoSettings(
        run.num_train,
        run.num_val,
        run.seed,
        run.size,
        run.num_frames,
        run.frame_rate,
        motions=run.motions,
    )
    begin = time.perf_counter()
    try:
        num_rendered = generate_demo(settings, run.output_dir, run.num_workers)
    except OSError as error:
        raise UserError(str(error)) from None
    except KeyboardInterrupt:
        message = "interrupted; the same command completes it"
        raise Interrupted(message, signal.SIGINT) from None
    total = run.num_train + run.num_val
    done = f"rendered {num_rendered} in {time.perf_counter() - begin:.0f} s"
    reused = "the dataset is there already and is reused"
    print(f"{run.output_dir}: {total} videos, {done if num_rendered else reused}")
