"""Whether a video read by the package is what it should be: count, frames, times.

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

#: How many random sets of frames are read of each file.
_RANDOM_SETS = 6


def fault(path: Path, decoder: str, truths: Sequence[Truth]) -> str:
    """What is wrong with how the package reads a file; empty if it is all of one of the ``truths``.

    ``refused: REASON`` where it refuses the file. Whatever else is raised is a fault of the reader
    and passes through.
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
    wrong = wrong_frames(video.num_frames, video.frames, truth)
    return wrong or _wrong_times(video, truth)


def wrong_frames(count: int, read: Callable[[list[int]], Tensor], truth: Truth) -> str:
    """What is wrong with the frames that ``read`` gives of a video of ``count`` frames."""
    total = len(truth.frames)
    if count != total:
        return f"{count} frames instead of {total}"
    return next(
        filter(None, (wrong_frame(read(order), order, truth) for order in _orders(total))), ""
    )


def _orders(total: int) -> Iterator[list[int]]:
    """In order, each alone, and random sets: some sorted, some not and with repetitions."""
    yield list(range(total))
    yield from ([number] for number in range(total))
    dice = random.Random(total)
    for number in range(_RANDOM_SETS):
        wanted = dice.choices(range(total), k=min(8, total))
        yield sorted(set(wanted)) if number % 2 else wanted


def wrong_frame(frames: Tensor, wanted: Sequence[int], truth: Truth) -> str:
    """Which of the frames ``(T, C, H, W)`` read as ``wanted`` is not what it should be."""
    got = frames.permute(0, 2, 3, 1).numpy()
    right = truth.frames[list(wanted)]
    if got.shape != right.shape:
        return f"shape {got.shape} instead of {right.shape}"
    errors = [_error(one, other) for one, other in zip(got, right, strict=True)]
    worst = int(np.argmax(errors))
    if errors[worst] <= LARGEST_ERROR:
        return ""
    nearest = int(np.argmin([_error(got[worst], frame) for frame in truth.frames]))
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
    known = np.array(truth.seconds)
    # A constant rate may even out timestamps, which containers round.
    tolerance = 0.5 * np.diff(known).min(initial=np.inf) if len(known) > 1 else 0.0
    late = np.abs(starts - known)
    if (late <= tolerance).all():
        return ""
    worst = int(late.argmax())
    return f"frame {worst} starts at {starts[worst]:.3f} s instead of {known[worst]:.3f} s"
