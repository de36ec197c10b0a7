"""The reference frames of a file: from the ffmpeg program, and from PyAV reading from the start.

Axes: T frames, H rows, W columns.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream

from tests.support import HANG_SECONDS

#: The largest mean error of a correct frame, of 255.
LARGEST_ERROR = 1.0
#: Words in lines of the program's output that do not indicate a damaged file.
_HARMLESS = ("monoton", "repeated")


@dataclass(frozen=True)
class Truth:
    """``frames``: RGB ``(T, H, W, 3)``. ``seconds``: when they are shown, after the first one;
    empty where the decoder's timestamps do not ascend."""

    frames: np.ndarray
    seconds: tuple[float, ...] = ()


def by_program(path: Path) -> Truth | None:
    """The ffmpeg program's frames; ``None`` where it reports an error or returns none."""
    size = _shown_size(path)
    if size is None:
        return None
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(path), "-map", "0:v:0", "-an"]
    command += ["-vf", "scale=flags=neighbor:interl=-1,format=rgb24", "-fps_mode", "passthrough"]
    run = subprocess.run(
        [*command, "-f", "rawvideo", "-"], capture_output=True, timeout=HANG_SECONDS, check=False
    )
    lines = [line for line in run.stderr.decode(errors="replace").splitlines() if line.strip()]
    if [line for line in lines if not any(word in line for word in _HARMLESS)]:
        return None
    width, height = size
    if not run.stdout or len(run.stdout) % (width * height * 3):
        return None
    return Truth(np.frombuffer(run.stdout, np.uint8).reshape(-1, height, width, 3))


def _shown_size(path: Path) -> tuple[int, int] | None:
    """Width and height of the upright picture."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-of", "json"]
    command += ["-show_entries", "stream=width,height:stream_side_data=rotation", str(path)]
    run = subprocess.run(command, capture_output=True, timeout=HANG_SECONDS, check=False)
    streams = json.loads(run.stdout or b"{}").get("streams")
    if not streams:
        return None
    width, height = streams[0]["width"], streams[0]["height"]
    turns = [data.get("rotation", 0) for data in streams[0].get("side_data_list", [])]
    return (height, width) if any(abs(turn) % 180 == 90 for turn in turns) else (width, height)


def by_pyav(path: Path, upright: bool = True) -> Truth | None:
    """The frames that PyAV decodes from the start; ``None`` where it fails, or returns frames of
    several sizes. ``upright``: turn and mirror them by the display matrix."""
    frames: list[np.ndarray] = []
    stamps: list[float | None] = []
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            stream = container.streams.best("video")
            assert isinstance(stream, VideoStream)
            stream.codec_context.thread_count = 1
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    return None
                rgb = frame.reformat(format="rgb24", interpolation=Interpolation.POINT)
                image = rgb.to_ndarray()
                frames.append(_turned(image, frame) if upright else image)
                stamps.append(frame.time)
    except (av.FFmpegError, ValueError):
        return None
    if not frames or len({image.shape for image in frames}) > 1:
        return None
    return Truth(np.stack(frames), _ascending(stamps))


def _ascending(stamps: list[float | None]) -> tuple[float, ...]:
    known = [stamp for stamp in stamps if stamp is not None]
    if len(known) < len(stamps) or any(b <= a for a, b in pairwise(known)):
        return ()
    return tuple(stamp - known[0] for stamp in known)


def _turned(image: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """Apply the frame's display matrix (quarter turns): move each pixel to its target."""
    data: Any
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV does not know all kinds of side data
        data = None
    if data is None:
        return image
    a, b, _, c, d = np.sign(np.frombuffer(bytes(data), np.int32)[:5]).tolist()
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    across, down = a * columns + c * rows, b * columns + d * rows
    across, down = across - across.min(), down - down.min()
    turned = np.empty((down.max() + 1, across.max() + 1, 3), np.uint8)
    turned[down, across] = image
    return turned
