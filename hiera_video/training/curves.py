"""``curves.png``, drawn while a run trains."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from accelerate.tracking import GeneralTracker, on_main_process

from hiera_video.jsonlines import read_lines
from hiera_video.visualization.curves import plot_curves

CURVES_FILE = "curves.png"
#: Drawing takes a few tenths of a second; it may take this share of a run's time.
_MOST_TIME = 0.01

logger = logging.getLogger(__name__)


class CurvesTracker(GeneralTracker):
    """Draws the log after each validation, or after each epoch if nothing is validated.

    Drawing takes at most a hundredth of the run's time: where epochs are shorter, some are skipped.
    The end of a run is always drawn, also when it is stopped.
    """

    name = "curves"
    requires_logging_directory = False

    def __init__(self, log: Path, picture: Path) -> None:
        super().__init__()
        self._log = log
        self.picture = picture
        self._epoch = 0
        self._not_before = 0.0

    @property
    def tracker(self) -> Path:
        return self.picture

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """Not drawn."""

    @on_main_process
    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        """Draw, if a validation or an epoch ends here. The log has been written by then."""
        epoch = int(values.get("epoch", 0))
        is_due = epoch > self._epoch or any(name.startswith("val/") for name in values)
        self._epoch = epoch
        if is_due and time.monotonic() >= self._not_before:
            self._draw()

    @on_main_process
    def finish(self) -> None:
        """Draw the whole run."""
        self._draw()

    def _draw(self) -> None:
        begin = time.monotonic()
        try:
            plot_curves(read_lines(self._log), self.picture)
        except OSError as error:  # a full disk: a picture is not what a run is for
            logger.warning("%s: cannot be written (%s)", self.picture, error.strerror)
        now = time.monotonic()
        self._not_before = now + (now - begin) / _MOST_TIME
