"""Damaged video files by the thousand, and what the decoders make of them.

    python tests/robustness/damage.py --files 3000 --decoders pyav decord torchcodec

Each file is read by a process that may crash or hang; good files stand between the damaged ones,
and must come out bit-identical. A number seeds everything.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from hiera_video.decoding.decoders import DECODERS  # noqa: E402
from hiera_video.decoding.options import DecodingOptions  # noqa: E402
from hiera_video.decoding.reader import VideoReader  # noqa: E402
from hiera_video.errors import VideoError  # noqa: E402
from tests.support import write_video  # noqa: E402

#: Seconds that a file may take, by the readers' own limit and by the one that ends processes. Files
#: take hundredths of one: only what would never end comes near, however busy the machine.
READER_SECONDS, PROCESS_SECONDS = 120.0, 600.0

#: Whole files, and how they are written.
GOOD: dict[str, dict[str, Any]] = {
    "h264.mp4": {"faststart": True},
    "h264.mkv": {},
    "h264.ts": {},
    "h264.avi": {"b_frames": 0},
    "hevc.mp4": {"codec": "libx265"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "av1.mp4": {"codec": "libsvtav1"},
    "mpeg4.avi": {"codec": "mpeg4", "b_frames": 0},
}

#: Fields of headers: container -> (name before the number, bytes from its end to the number).
_FIELDS = {
    ".mp4": {
        "size": [(b"tkhd", 76), (b"tkhd", 80), (b"avc1", 24), (b"hvc1", 24), (b"av01", 24)],
        "duration": [(b"mvhd", 16), (b"tkhd", 20), (b"mdhd", 12), (b"mdhd", 16), (b"stts", 12)],
        "count": [(b"stts", 8), (b"stsz", 8), (b"stsz", 4), (b"ctts", 8), (b"stsc", 12)],
    },
    ".avi": {
        "size": [(b"avih", 36), (b"avih", 40), (b"strf", 8), (b"strf", 12)],
        "duration": [(b"avih", 4), (b"strh", 24), (b"strh", 28)],
        "count": [(b"avih", 20), (b"strh", 36), (b"idx1", 0), (b"idx1", 8)],
    },
    ".mkv": {
        "size": [(b"\xb0\x81", 0), (b"\xba\x81", 0), (b"\xb0\x82", 0), (b"\xba\x82", 0)],
        "duration": [(b"\x44\x89\x88", 0), (b"\x2a\xd7\xb1\x83", 0), (b"\x23\xe3\x83\x84", 0)],
        "count": [(b"\x1f\x43\xb6\x75", 0), (b"\x16\x54\xae\x6b", 0), (b"\x18\x53\x80\x67", 0)],
    },
}
_FIELDS[".webm"] = _FIELDS[".mkv"]


@dataclass(frozen=True)
class Sample:
    """A damaged file: its bytes, and the suffix of its name."""

    data: bytes
    suffix: str


def flipped(data: bytes, suffix: str, rng: random.Random) -> Sample:
    """A few bits, anywhere."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 3, 10, 100])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return Sample(bytes(changed), suffix)


def overwritten(data: bytes, suffix: str, rng: random.Random) -> Sample:
    """A stretch of zeros or noise."""
    length = rng.randrange(1, len(data) // 4)
    begin = rng.randrange(len(data) - length)
    patch = bytes(length) if rng.random() < 0.5 else rng.randbytes(length)
    return Sample(data[:begin] + patch + data[begin + length :], suffix)


def header_flipped(data: bytes, suffix: str, rng: random.Random) -> Sample:
    """Bytes near the start, where headers are."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 3, 10])):
        changed[rng.randrange(min(1200, len(changed)))] = rng.randrange(256)
    return Sample(bytes(changed), suffix)


def truncated(data: bytes, suffix: str, rng: random.Random) -> Sample:
    return Sample(data[: rng.randrange(1, len(data))], suffix)


def spliced(data: bytes, suffix: str, rng: random.Random) -> Sample:
    """A stretch is missing, or is there twice."""
    begin, end = rng.randrange(len(data)), rng.randrange(len(data))
    return Sample(data[:begin] + data[end:], suffix)


def renamed(data: bytes, suffix: str, rng: random.Random) -> Sample:
    """Whole, under another container's suffix."""
    return Sample(data, rng.choice([".mp4", ".mkv", ".avi", ".ts", ".jpg", ".mp3", ".txt", ""]))


def absurd(data: bytes, suffix: str, rng: random.Random) -> Sample:
    """Sizes, durations and counts in the header are as large as their fields allow."""
    fields = _FIELDS.get(suffix)
    if fields is None:
        return header_flipped(data, suffix, rng)
    changed = bytearray(data)
    for name, distance in fields[rng.choice(["size", "duration", "count"])]:
        found = data.find(name)
        begin = found + len(name) + distance
        if found >= 0 and begin + 4 < len(data):
            number = rng.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00"])
            changed[begin : begin + 4] = number
    return Sample(bytes(changed), suffix)


DAMAGES: list[Callable[[bytes, str, random.Random], Sample]] = [
    flipped,
    overwritten,
    header_flipped,
    truncated,
    spliced,
    renamed,
    absurd,
]


def write_files(folder: Path, num_damaged: int, seed: int) -> list[Path]:
    """Damaged files, with a good one after every ninth; the same for the same seed."""
    good = [
        write_video(folder / "good" / name, num_frames=30, size=(64, 96), **options)
        for name, options in GOOD.items()
    ]
    paths = []
    for number in range(num_damaged):
        rng = random.Random(f"{seed} {number}")
        damage = DAMAGES[number % len(DAMAGES)]
        source = good[number // len(DAMAGES) % len(good)]
        sample = damage(source.read_bytes(), source.suffix, rng)
        path = folder / f"{number:05d}-{damage.__name__}-{source.stem}{sample.suffix}"
        path.write_bytes(sample.data)
        paths.append(path)
        if number % 9 == 8:
            paths.append(good[number // 9 % len(good)])
    return paths


@dataclass(frozen=True)
class Outcome:
    """What came of reading a file: a digest of frames, the reason why there are none, or a fault.

    A fault is what must not be: a crash, a hang, an error that is no ``VideoError``.
    """

    path: Path
    seconds: float
    peak_mib: float = 0.0
    digest: str = ""
    reason: str = ""
    fault: str = ""


def read_files(decoder: str, paths: Sequence[Path]) -> Iterator[Outcome]:
    """Read files in a process of their own; after a crash or a hang, the rest in another one."""
    context = get_context("spawn")
    begin = 0
    while begin < len(paths):
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_read_all, args=(decoder, paths[begin:], sender))
        child.start()
        sender.close()
        receiver.recv()  # it has started
        try:
            while begin < len(paths):
                if not receiver.poll(PROCESS_SECONDS):
                    yield Outcome(paths[begin], PROCESS_SECONDS, fault="hangs")
                    break
                yield receiver.recv()
                begin += 1
        except EOFError:
            child.join()
            yield Outcome(paths[begin], 0, fault=f"crashes (exit status {child.exitcode})")
        begin += 1  # past the one that ended it
        child.kill()
        child.join()


def _read_all(decoder: str, paths: Sequence[Path], sender: Connection) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # decoders write to it
    sender.send("started")
    for path in paths:
        sender.send(read_file(decoder, path))


def read_file(decoder: str, path: Path) -> Outcome:
    """Sixteen frames, spread over the video."""
    begin = time.monotonic()
    digest, reason, fault = "", "", ""
    try:
        with VideoReader(path, DecodingOptions(decoder, READER_SECONDS)) as reader:
            num_frames = reader.index.num_frames
            frames = reader.frames(sorted({i * num_frames // 16 for i in range(16)}))
            digest = hashlib.sha256(frames.contiguous().numpy().tobytes()).hexdigest()
    except VideoError as error:
        reason = error.reason
    except Exception as error:
        fault = f"raises {error!r}"
    # Of the process so far. Not getrusage: what it says of a child begins with its parent's peak.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak_mib = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]
    return Outcome(path, time.monotonic() - begin, peak_mib, digest, reason, fault)


@dataclass
class Report:
    """What became of all files, and of the good ones ``alone``, before there were damaged ones."""

    outcomes: list[Outcome]
    alone: dict[Path, Outcome]

    @property
    def faults(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.fault]

    @property
    def harmed(self) -> list[Outcome]:
        """Good files that did not come out as they do alone."""
        return [
            outcome
            for outcome in self.outcomes
            if outcome.path in self.alone and outcome.digest != self.alone[outcome.path].digest
        ]

    def counts(self) -> dict[str, Counter[str]]:
        """Damage -> how many of its files were refused, gave the source's frames, gave others."""
        right = {outcome.digest for outcome in self.alone.values()} - {""}
        counts: dict[str, Counter[str]] = {}
        for outcome in self.outcomes:
            damage = (
                "good" if outcome.path.parent.name == "good" else outcome.path.name.split("-")[1]
            )
            kind = "fault" if outcome.fault else "refused" if outcome.reason else "other frames"
            kind = "right frames" if outcome.digest in right else kind
            counts.setdefault(damage, Counter())[kind] += 1
        return counts


def try_decoder(decoder: str, folder: Path, num_damaged: int, seed: int) -> Report:
    """Write damaged files, and read all of them."""
    paths = write_files(folder, num_damaged, seed)
    good = sorted((folder / "good").iterdir())
    alone = {outcome.path: outcome for outcome in read_files(decoder, good)}
    return Report(list(read_files(decoder, paths)), alone)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--decoders", nargs="+", default=["pyav", "decord"], choices=DECODERS)
    arguments = parser.parse_args()
    os.environ["SVT_LOG"] = "1"  # the encoder of AV1 prints its settings otherwise
    for decoder in arguments.decoders:
        with tempfile.TemporaryDirectory() as folder:
            report = try_decoder(decoder, Path(folder), arguments.files, arguments.seed)
        print(f"{decoder}: {len(report.faults)} faults, {len(report.harmed)} good files harmed")
        for damage, counts in report.counts().items():
            print(f"  {damage:16}", ", ".join(f"{n} {kind}" for kind, n in counts.most_common()))
        slowest = max(report.outcomes, key=lambda outcome: outcome.seconds)
        print(f"  slowest: {slowest.path.name}, {slowest.seconds:.1f} s")
        print(f"  memory: {max(outcome.peak_mib for outcome in report.outcomes):.0f} MiB at most")
        for outcome in report.faults + report.harmed:
            print(f"  {outcome.path.name}: {outcome.fault or outcome.reason or 'other frames'}")
        for reason, count in Counter(outcome.reason for outcome in report.outcomes).most_common(30):
            print(f"  {count:5} {reason or '(read)'}")


if __name__ == "__main__":
    main()
