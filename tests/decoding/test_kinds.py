"""Every decoder reads every kind of odd file correctly, or refuses it for the right reason."""

from __future__ import annotations

import faulthandler
import random
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from hiera_video import open_video
from hiera_video.errors import VideoError
from tests.decoding.comparison import fault, wrong_frame
from tests.decoding.kind import Kind
from tests.decoding.odd_videos import CORE, KINDS
from tests.decoding.truth import Truth, by_program, by_pyav
from tests.support import HANG_SECONDS

DECODERS = ("pyav", "decord", "torchcodec")
NUM_CLIPS = 3000

Read = Callable[[Kind], tuple[Path, list[Truth]]]


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """Kill a test that hangs in a decoder's native code, where no exception can interrupt it."""
    faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="module")
def by_pyav_alone(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """A file, and its frames by PyAV from the start."""
    folder = tmp_path_factory.mktemp("core")

    @cache
    def read(kind: Kind) -> tuple[Path, list[Truth]]:
        path = kind.write(folder)
        return path, [truth for truth in [by_pyav(path)] if truth]

    return read


@pytest.fixture(scope="module")
def by_both(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """A file, and its frames by the ffmpeg program and by PyAV, which has another FFmpeg."""
    folder = tmp_path_factory.mktemp("kinds")

    @cache
    def read(kind: Kind) -> tuple[Path, list[Truth]]:
        path = kind.write(folder)
        return path, [truth for truth in (by_program(path), by_pyav(path)) if truth]

    return read


def check(path: Path, kind: Kind, truths: list[Truth], decoder: str) -> None:
    """Read a file of a kind in many ways, and assert that each is correct, or refused rightly."""
    message = fault(path, decoder, truths)
    if kind.refused:
        assert message.startswith("refused: ")
        assert kind.refused in message
    else:
        assert truths, "neither the program nor PyAV reads it"
        assert not message
    if kind.duration_seconds is not None:
        with open_video(path, decoder=decoder) as video:
            assert video.duration_seconds == pytest.approx(kind.duration_seconds)


@pytest.mark.parametrize("kind", CORE, ids=lambda kind: kind.file)
def test_a_kind_of_the_core_is_read_right(by_pyav_alone: Read, kind: Kind) -> None:
    path, truths = by_pyav_alone(kind)
    check(path, kind, truths, "pyav")


@pytest.mark.ffmpeg
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.file)
@pytest.mark.parametrize("decoder", DECODERS)
def test_a_kind_is_read_right(by_both: Read, kind: Kind, decoder: str) -> None:
    path, truths = by_both(kind)
    check(path, kind, truths, decoder)


def test_kinds_have_files_of_their_own() -> None:
    assert len({kind.file for kind in KINDS}) == len(KINDS)


def test_core_frames_can_be_told_apart(by_pyav_alone: Read) -> None:
    """Otherwise a reader that confuses two frames would go unnoticed."""
    for kind in CORE:
        for truth in by_pyav_alone(kind)[1]:
            steps = np.abs(np.diff(truth.frames.astype(np.int16), axis=0)).mean(axis=(1, 2, 3))
            assert (steps < 2).sum() <= 1, kind.file  # edit lists may show one twice


def random_clip(total: int, dice: random.Random) -> list[int]:
    """Frame numbers as in a training clip (strided), sorted, or in any order."""
    pattern = dice.randrange(3)
    if pattern == 0:  # short videos repeat their last frame
        start, stride = dice.randrange(total), dice.randint(1, 4)
        return [min(start + stride * step, total - 1) for step in range(8)]
    wanted = [dice.randrange(total) for _ in range(dice.randint(1, 8))]
    return sorted(wanted) if pattern == 1 else wanted


def read_random_clips(read: Read, kinds: list[Kind], num_clips: int) -> dict[str, int]:
    """The numbers of right, wrong and refused clips, over files that are readable."""
    dice = random.Random(0)
    readable = [kind for kind in kinds if not kind.refused and read(kind)[1]]
    counts = {"right": 0, "wrong": 0, "refused": 0}
    for number in range(num_clips):
        kind, decoder = readable[number % len(readable)], DECODERS[number // len(readable) % 3]
        path, truths = read(kind)
        try:
            with open_video(path, decoder=decoder) as video:
                wanted = random_clip(video.num_frames, dice)
                frames = video.frames(wanted)
        except VideoError as error:
            counts["refused"] += 1
            print(f"{kind.file} with {decoder}: {error.reason}")
            continue
        comparable = [truth for truth in truths if len(truth.frames) == video.num_frames]
        faults = [wrong_frame(frames, wanted, truth) for truth in comparable]
        is_right = bool(comparable) and min(map(len, faults)) == 0
        counts["right" if is_right else "wrong"] += 1
        if not is_right:
            print(f"{kind.file} with {decoder}: {min(faults, key=len, default='count')}")
    print(f"{num_clips} random clips of {len(readable)} files: {counts}")
    return counts


@pytest.mark.ffmpeg
def test_random_clips_of_all_kinds(by_both: Read) -> None:
    counts = read_random_clips(by_both, KINDS, NUM_CLIPS)
    assert counts == {"right": NUM_CLIPS, "wrong": 0, "refused": 0}
