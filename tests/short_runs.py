"""What runs of tests leave out: drawing their curves, and counting the memory of a step.

Each takes a processor as long as dozens of steps of a tiny model. Scripts that are started as users
start them leave out nothing, nor do tests that use the fixture ``whole_runs``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image


def draw_nothing(_: object, path: Path) -> None:
    """A picture of one pixel, whatever was logged."""
    picture = BytesIO()
    Image.new("RGB", (1, 1)).save(picture, "png")
    path.write_bytes(picture.getvalue())


def count_nothing(*_: object, **__: object) -> int:
    """Bytes of a step, whatever the model."""
    return 1_000_000


#: What is left out, and what takes its place.
LEFT_OUT: dict[tuple[str, str], Callable[..., Any]] = {
    ("hiera_video.training.curves", "plot_curves"): draw_nothing,
    ("hiera_video.training.memory", "_peak_of_step"): count_nothing,
}


class ShortRuns:
    """Leaves these out of runs in this process, as far as they are imported when it begins."""

    def __init__(self) -> None:
        self._whole: dict[tuple[str, str], Callable[..., Any]] = {}

    def begin(self) -> None:
        for (module, name), instead in LEFT_OUT.items():
            if module in sys.modules:
                self._whole[module, name] = getattr(sys.modules[module], name)
                setattr(sys.modules[module], name, instead)

    def end(self) -> None:
        for (module, name), whole in self._whole.items():
            setattr(sys.modules[module], name, whole)
        self._whole.clear()
