"""Checks whether the package reads a video correctly: number of frames, pictures, times.

Axes: T frames, H rows, W columns.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from hiera_video import open_video
from hiera_video.decoding.open_video import Video
from hiera_video.errors import VideoError
from tests.decoding.truth import LARGEST_ERROR, Truth

#: The number of random sets of frames to read from each file.
_RANDOM_SETS = 6


def fault(path: Path, decoder: str, truths: Sequence[Truth]) -> str:
    """The first error in how the package reads a file; empty if it matches one of the ``truths``.

    ``refused: REASON`` if the package raises a ``VideoError``. Any other exception is a bug of the
    reader and propagates.
    """
    try:
        with open_video(path, decoder=decoder) as video:
            if not truths:
                video.frames(range(video.num_frames))
                return "read, although neither the program nor PyAV gives frames of one size"
            return min((_fault(video, truth) for truth in truths), key=len)
    except VideoError as error:
        return f"refused: {error.reason}" if error.path == str(path) else f"path {error.path}"


def _fault(video: Video, truth: Truth) -> str:
    frame_fault = wrong_frames(video.num_frames, video.frames, truth)
    return frame_fault or _wrong_times(video, truth)


def wrong_frames(count: int, read: Callable[[list[int]], Tensor], truth: Truth) -> str:
    """The first error in the frames that ``read`` returns of a video of ``count`` frames."""
    total = len(truth.frames)
    if count != total:
        return f"{count} frames instead of {total}"
    return next(
        filter(None, (wrong_frame(read(order), order, truth) for order in _orders(total))), ""
    )


def _orders(total: int) -> Iterator[list[int]]:
    """Requests for all frames in order, each frame alone, and random sets: half of them sorted, the
    others unsorted and with repetitions."""
    yield list(range(total))
    yield from ([number] for number in range(total))
    dice = random.Random(total)
    for number in range(_RANDOM_SETS):
        wanted = dice.choices(range(total), k=min(8, total))
        yield sorted(set(wanted)) if number % 2 else wanted


def wrong_frame(frames: Tensor, wanted: Sequence[int], truth: Truth) -> str:
    """The most wrong of the frames ``(T, C, H, W)`` that were read as ``wanted``; empty if none."""
    actual = frames.permute(0, 2, 3, 1).numpy()
    expected = truth.frames[list(wanted)]
    if actual.shape != expected.shape:
        return f"shape {actual.shape} instead of {expected.shape}"
    errors = [_error(one, other) for one, other in zip(actual, expected, strict=True)]
    worst = int(np.argmax(errors))
    if errors[worst] <= LARGEST_ERROR:
        return ""
    nearest = int(np.argmin([_error(actual[worst], frame) for frame in truth.frames]))
    kind = "has other colours" if nearest == wanted[worst] else f"is {nearest}"
    return (
        f"frame {wanted[worst]} {kind}: mean error {errors[worst]:.1f} when {_shortened(wanted)} "
        f"of {len(truth.frames)} are read"
    )


def _error(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())


def _shortened(wanted: Sequence[int]) -> str:
    return "many" if len(wanted) > 8 else ", ".join(map(str, wanted))


def _wrong_times(video: Video, truth: Truth) -> str:
    starts, ends = np.asarray(video.start_seconds), np.asarray(video.end_seconds)
    if starts.shape != ends.shape or starts.shape != (video.num_frames,) or starts[0] != 0:
        return f"times of shapes {starts.shape} and {ends.shape}, the first {starts[:1]}"
    if (ends <= starts).any() or (starts[1:] != ends[:-1]).any():
        return "times that do not follow each other"
    if not np.isclose(ends[-1], video.duration_seconds):
        return f"the last frame ends at {ends[-1]} s of {video.duration_seconds} s"
    if not truth.seconds:
        return ""
    expected = np.array(truth.seconds)
    # Containers round timestamps; a constant rate evens them out.
    tolerance = 0.5 * np.diff(expected).min(initial=np.inf) if len(expected) > 1 else 0.0
    errors = np.abs(starts - expected)
    if (errors <= tolerance).all():
        return ""
    worst = int(errors.argmax())
    return f"frame {worst} starts at {starts[worst]:.3f} s instead of {expected[worst]:.3f} s"
