"""Print the table of odd files: how each decoder reads each kind, alone and in this package.

usage: python -m tests.decoding.kinds_table [--core] [FILE ...]      (needs the ffmpeg program)

One row per file of ``odd_videos.py``, or per FILE named. "Alone" is a library without this
package: all frames in order, each by its number, and random sets. Decoders run in a separate
process, which may crash.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor

from tests.decoding.comparison import fault, wrong_frames
from tests.decoding.kind import Kind
from tests.decoding.odd_videos import CORE, KINDS
from tests.decoding.truth import Truth, by_program, by_pyav
from tests.support import HANG_SECONDS

#: Modules that the forkserver imports once for all processes.
_PRELOADED = ("hiera_video.decoding", "tests.decoding.comparison", "decord", "torchcodec.decoders")

Judge = Callable[[Path, list[Truth]], str]


def pyav_from_start(path: Path, truths: list[Truth]) -> str:
    """PyAV as in its documentation: ``for frame in container.decode(video=0)``."""
    decoded = by_pyav(path, upright=False)
    if decoded is None:
        return "refused: error"
    frames = torch.from_numpy(decoded.frames).permute(0, 3, 1, 2)
    return _judged(len(frames), lambda wanted: frames[wanted], truths)


def torchcodec_alone(path: Path, truths: list[Truth]) -> str:
    """torchcodec with default settings."""
    from torchcodec.decoders import VideoDecoder

    try:
        decoder = VideoDecoder(str(path))
        return _judged(len(decoder), lambda wanted: decoder.get_frames_at(wanted).data, truths)
    except (RuntimeError, IndexError, ValueError) as error:
        return f"refused: {error}"


def decord_alone(path: Path, truths: list[Truth]) -> str:
    """decord with default settings."""
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    try:
        reader = decord.VideoReader(str(path))

        def read(wanted: list[int]) -> Tensor:
            return torch.from_numpy(reader.get_batch(wanted).asnumpy()).permute(0, 3, 1, 2)

        return _judged(len(reader), read, truths)
    except (decord.DECORDError, RuntimeError, IndexError) as error:
        return f"refused: {error}"


def opencv_alone(path: Path, truths: list[Truth]) -> str:
    """OpenCV: all frames in order, and single frames after setting the position."""
    import cv2  # type: ignore[import-not-found, unused-ignore]

    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)

    def read_one(number: int | None = None) -> np.ndarray | None:
        if number is not None:
            capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        is_read, image = capture.read()
        return image[..., ::-1].copy() if is_read else None

    in_order = list(iter(read_one, None))
    if not in_order:
        return "refused: no frame"

    def read(wanted: list[int]) -> Tensor:
        is_all = wanted == list(range(len(in_order)))
        images = in_order if is_all else [read_one(number) for number in wanted]
        read_images = [image for image in images if image is not None]
        return torch.from_numpy(np.stack(read_images or in_order)).permute(0, 3, 1, 2)

    return _judged(len(in_order), read, truths)


def _judged(count: int, read: Callable[[list[int]], Tensor], truths: list[Truth]) -> str:
    return min((wrong_frames(count, read, truth) for truth in truths), key=len, default="")


def this_package(path: Path, truths: list[Truth]) -> str:
    """``hiera_video.open_video``, with the default decoder."""
    return fault(path, "pyav", truths)


def columns() -> dict[str, Judge]:
    """Column heading -> judge. OpenCV is not a dependency: included only if installed."""
    judges: dict[str, Judge] = {
        "PyAV from the start": pyav_from_start,
        "this package": this_package,
        "torchcodec alone": torchcodec_alone,
        "decord alone": decord_alone,
        "OpenCV alone": opencv_alone,
    }
    with contextlib.suppress(ImportError):
        import cv2  # type: ignore[import-not-found, unused-ignore]  # noqa: F401

        return judges
    del judges["OpenCV alone"]
    return judges


def answers_of(judges: dict[str, Judge], path: Path, truths: list[Truth]) -> dict[str, str]:
    """Each judge's answer, from a separate process; after a crash, the rest get a new one."""
    context = multiprocessing.get_context("forkserver")  # open videos must not cross a fork
    context.set_forkserver_preload([*_PRELOADED])
    answers: dict[str, str] = {}
    while remaining := [name for name in judges if name not in answers]:
        receiver, sender = context.Pipe(duplex=False)
        arguments = (sender, [judges[name] for name in remaining], path, truths)
        process = context.Process(target=_answer, args=arguments)
        process.start()
        sender.close()
        try:
            for name in remaining:
                answers[name] = str(receiver.recv()) if receiver.poll(HANG_SECONDS) else "hangs"
                if answers[name] == "hangs":
                    break
        except EOFError:
            answers[name] = "crash"
        finally:
            process.kill()
            process.join()
    return answers


def _answer(connection: Connection, judges: list[Judge], path: Path, truths: list[Truth]) -> None:
    for judge in judges:
        try:
            connection.send(judge(path, truths))
        except Exception as error:  # of any type: the table reports it
            connection.send(f"{type(error).__name__}: {error}")


def cell(answer: str) -> str:
    """An answer, shortened to a word or two."""
    for start, word in (("refused: ", "refused"), ("shape", "not upright")):
        if answer.startswith(start):
            return word
    if "other colours" in answer:
        return "other colours"
    if " frames instead of " in answer:
        return answer.partition(" instead")[0]
    if answer.startswith("frame ") and " starts at " in answer:
        return "other times"
    return "**wrong frames**" if answer.startswith("frame ") else answer or "yes"


def row(kind: Kind, folder: Path, judges: dict[str, Judge]) -> dict[str, Any]:
    """Column heading -> cell; the judges' full answers are under ``"answers"``."""
    path = kind.write(folder)
    truths = [truth for truth in (by_program(path), by_pyav(path)) if truth]
    with av.open(str(path), metadata_errors="replace") as container:
        context = container.streams.best("video").codec_context  # type: ignore[union-attr, unused-ignore]
        codec = context.name if context else "unknown"
        kind_of_file = f"{container.format.name.partition(',')[0]}, {codec}"
    answers = answers_of(judges, path, truths)
    return {
        "kind": kind.name,
        "container, codec": kind_of_file,
        "frames": len(truths[0].frames) if truths else "",
        **{name: cell(answer) for name, answer in answers.items()},
        "answers": answers,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", help="file names of odd_videos.py; default: all")
    parser.add_argument("--core", action="store_true", help="only the files that PyAV can make")
    parser.add_argument("--answers", action="store_true", help="print the errors to standard error")
    options = parser.parse_args()
    kinds = [k for k in (CORE if options.core else KINDS) if k.file in (options.files or [k.file])]
    judges, counts = columns(), Counter[str]()
    headings = ["kind", "container, codec", "frames", *judges]
    print(f"| {' | '.join(headings)} |\n|{'---|' * len(headings)}")
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds:
            cells = row(kind, Path(folder), judges)
            print("|", " | ".join(str(cells[name]) for name in headings), "|", flush=True)
            counts.update(name for name in judges if cells[name] == "yes")
            for name, answer in cells["answers"].items():
                if options.answers and answer:
                    print(f"{kind.file}: {name}: {answer}", file=sys.stderr, flush=True)
    print("| right, of", f"{len(kinds)} | | |", " | ".join(str(counts[n]) for n in judges), "|")


if __name__ == "__main__":
    main()
