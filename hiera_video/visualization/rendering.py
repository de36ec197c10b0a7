"""Rendering of reconstructions, as a picture (PNG) and as a film (MP4).

Axes: F frames, H W rows and columns, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import ceil
from pathlib import Path

import av
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave
from torch import Tensor

from hiera_video.errors import ConfigError
from hiera_video.files import atomic_path
from hiera_video.visualization.reconstruction import Reconstruction, VideoReconstruction

_DPI = 100
_MAX_SIDE = 2**16 - 1  # matplotlib's limit, in pixels
#: Layout, in pixels: page margin, gap between frames, height of a line of text, width of row names.
_MARGIN, _GAP, _LINE = 12, 4, 22
_NAMES_WIDTH = 116
_ROW_NAMES = ("original", "masked", "reconstruction")
_STATISTICS_NOTE = "mean and deviation of each hidden patch are the original's"


class _Page:
    """A white page, measured in pixels from its upper left corner."""

    def __init__(self, width: int, height: int) -> None:
        if max(width, height) > _MAX_SIDE:
            raise ConfigError(
                f"the picture would have {width}x{height} pixels, more than the {_MAX_SIDE} per "
                "side that can be drawn: show fewer videos or frames"
            )
        self.width = width
        self.height = height
        self._figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
        self._canvas = FigureCanvasAgg(self._figure)

    def picture(self, pixels: np.ndarray, left: int, top: int) -> None:
        """Draw ``pixels``, uint8 ``(H, W, C)``, without scaling."""
        bottom = self.height - top - pixels.shape[0]
        self._figure.figimage(pixels, left, bottom, origin="upper")

    def text(
        self, text: str, left: int, top: int, *, centred: bool = False, small: bool = False
    ) -> None:
        """Write a line of text, vertically centred half a line below ``top``."""
        self._figure.text(
            left / self.width,
            1 - (top + _LINE / 2) / self.height,
            text,
            fontsize=8 if small else 9.5,
            color="0.35" if small else "0",
            horizontalalignment="center" if centred else "left",
            verticalalignment="center",
            parse_math=False,
        )

    def pixels(self) -> np.ndarray:
        """The page ``(H, W, 3)``, uint8."""
        self._canvas.draw()
        return np.array(self._canvas.buffer_rgba())[..., :3]


def write_sheet(
    videos: Sequence[VideoReconstruction], path: Path, *, num_frames: int | None = None
) -> None:
    """Write a PNG with three rows per video (original, masked, reconstruction) and one column per
    frame; of at most ``num_frames`` frames, evenly spaced.

    Raises:
        ConfigError: if the picture would be too large.
    """
    pictures = [_pictures(video.frames, target_height=128) for video in videos]
    count, height, width = pictures[0].shape[1:4]
    columns = np.linspace(0, count - 1, min(num_frames or count, count)).round().astype(int)
    left = _MARGIN + _NAMES_WIDTH
    block_height = _LINE + len(_ROW_NAMES) * (height + _GAP) + _LINE
    page = _Page(
        left + len(columns) * (width + _GAP) - _GAP + _MARGIN,
        2 * _MARGIN + len(videos) * block_height + _LINE,
    )
    top = _MARGIN
    for video, rows in zip(videos, pictures, strict=True):
        page.text("/".join(video.path.parts[-2:]), _MARGIN, top)
        top += _LINE
        for name, row in zip(_ROW_NAMES, rows, strict=True):
            page.text(name, _MARGIN, top + (height - _LINE) // 2)
            for column, frame in enumerate(columns):
                page.picture(row[frame], left + column * (width + _GAP), top)
            top += height + _GAP
        for column, frame in enumerate(columns):
            centre = left + column * (width + _GAP) + width // 2
            seconds = video.start_seconds + frame * video.frame_seconds
            page.text(f"{seconds:.2f} s", centre, top - _GAP, centred=True, small=True)
        top += _LINE
    if videos[0].frames.uses_original_statistics:
        page.text(_STATISTICS_NOTE, _MARGIN, top, small=True)
    with atomic_path(path) as temporary:
        imsave(temporary, page.pixels())


def write_film(
    videos: Sequence[VideoReconstruction],
    path: Path,
    *,
    min_seconds: float = 3.0,
    frame_rate: int = 30,
) -> None:
    """Write an H.264 film in MP4: original, masked and reconstruction side by side.

    Videos play one after the other, each at its own speed, repeated until it lasts at least
    ``min_seconds``.
    """
    with (
        atomic_path(path) as temporary,
        av.open(str(temporary), "w", options={"movflags": "+faststart"}) as container,
    ):
        stream = container.add_stream("libx264", rate=frame_rate, options={"crf": "18"})
        stream.pix_fmt = "yuv420p"  # the one pixel format that every player supports
        for number, page in enumerate(_film_pages(videos, min_seconds, frame_rate)):
            if not number:
                stream.height, stream.width = page.shape[:2]
            frame = av.VideoFrame.from_ndarray(page, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, frame_rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _film_pages(
    videos: Sequence[VideoReconstruction], min_seconds: float, frame_rate: int
) -> Iterator[np.ndarray]:
    """The film's frames ``(H, W, 3)``, at ``frame_rate`` per second."""
    for video in videos:
        pictures = _pictures(video.frames, target_height=256)
        count, height, width = pictures.shape[1:4]
        pages = []
        for frame in range(count):
            page = _Page(
                _even(2 * _MARGIN + 3 * (width + _GAP) - _GAP), _even(2 * _MARGIN + _LINE + height)
            )
            for column, name in enumerate(_ROW_NAMES):
                left = _MARGIN + column * (width + _GAP)
                page.text(name, left + width // 2, _MARGIN - _GAP, centred=True)
                page.picture(pictures[column, frame], left, _MARGIN + _LINE)
            pages.append(page.pixels())
        seconds = video.frame_seconds * count
        total = ceil(min_seconds / seconds) * seconds
        for number in range(round(total * frame_rate)):
            yield pages[int(number / frame_rate / video.frame_seconds) % count]


def _pictures(frames: Reconstruction, target_height: int) -> np.ndarray:
    """Original, masked, reconstruction: uint8 ``(3, F, H, W, C)``, enlarged by the whole factor
    that brings their height nearest to ``target_height``."""
    rows = np.stack([_bytes(x) for x in (frames.original, frames.masked, frames.reconstructed)])
    factor = max(1, round(target_height / rows.shape[2]))
    return rows.repeat(factor, axis=2).repeat(factor, axis=3)


def _bytes(frames: Tensor) -> np.ndarray:
    return (frames[0].permute(1, 2, 3, 0) * 255).round().byte().cpu().numpy()


def _even(size: int) -> int:
    """The next even size, as 4:2:0 chroma needs."""
    return size + size % 2
