"""Videos, datasets, checkpoints and processes that tests are made of.

Axes: T frames, H rows, W columns.
"""

from __future__ import annotations

import csv
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol
from unittest.mock import patch

import av
import numpy as np
import psutil
import torch
from accelerate.state import AcceleratorState, GradientState
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from hiera_video.config.clip_groups import ClipSettings
from hiera_video.data.class_labels import ClassLabels
from hiera_video.data.manifest import Manifest
from hiera_video.models.classification import HieraForVideoClassification
from hiera_video.models.preprocessor import dump_preprocessor
from hiera_video.models.variants import variant_config
from hiera_video.training.optimizer_state import OPTIMIZER_FOLDER
from hiera_video.training.saving import (
    CHECKSUMS_FILE,
    STATE_FILE,
    write_checksums,
)

ROOT = Path(__file__).resolve().parents[1]

#: Colours are so far apart that any model tells them.
CLASS_COLOURS = {"blue": (30, 30, 220), "green": (30, 220, 30), "red": (220, 30, 30)}

#: Overrides of ``hiera_base_16x224`` that run in milliseconds. Mask units span 32 pixels and two
#: frames.
TINY_MODEL: dict[str, Any] = {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 4, 8]}
TINY_CLIP: dict[str, Any] = {"num_frames": 4, "stride": 2, "crop_size": 32}
#: An image of the same size.
TINY_IMAGE: dict[str, Any] = {**TINY_CLIP, "num_frames": 1, "stride": 1}
#: The same for the command line.
TINY_ARGUMENTS = [
    *(f"model.{key}={value}" for key, value in TINY_MODEL.items()),
    *(f"clip.{key}={value}" for key, value in TINY_CLIP.items()),
]
#: To pre-train. Two mask units per axis and half of them hidden.
TINY_PRETRAINING_ARGUMENTS = [
    *TINY_ARGUMENTS,
    "clip.crop_size=64",
    "model.mask_ratio=0.5",
    "model.decoder_hidden_size=16",
    "model.decoder_depth=1",
    "model.decoder_num_heads=2",
]
TINY_IMAGE_ARGUMENTS = [
    "model.name=hiera_base_224",
    *(f"model.{key}={value}" for key, value in TINY_MODEL.items()),
    *(f"clip.{key}={value}" for key, value in TINY_IMAGE.items()),
]

#: What scripts are started with.
CPU_ENVIRONMENT = {
    "ACCELERATE_USE_CPU": "true",
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HOME": "/nonexistent",  # no settings of `accelerate config` either
}

#: What is to be called when a test is over: it ends scripts that are left behind.
at_end_of_test = ExitStack()

_PROGRESS_BAR = re.compile(
    r"^(epoch|evaluate|extract|index|inspect|pack)\b.*\[.*(batch|shard|window|video)"
)

#: Tests wait until a thing happens or its process ends. Only what hangs takes so many seconds: no
#: healthy run comes near, however busy the machine.
HANG_SECONDS = 1800

#: The frame number is written into the picture as this many black and white blocks.
_NUMBER_BITS = 8


def numbered_frames(num_frames: int, height: int, width: int) -> np.ndarray:
    """RGB frames ``(T, H, W, 3)`` that differ from each other; :func:`frame_numbers` reads them.

    The number stands in binary in blocks along the top; the rest is a pattern that moves.
    """
    rows, columns = np.mgrid[0:height, 0:width]
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    blocks = np.minimum(columns[: height // 2] * _NUMBER_BITS // width, _NUMBER_BITS - 1)
    for number, frame in enumerate(frames):
        frame[..., 0] = (rows * 3 + number * 5) % 200
        frame[..., 1] = (columns * 2 + number * 7) % 200
        frame[..., 2] = (rows + columns) % 200
        frame[: height // 2] = (((number >> blocks) & 1) * 255)[..., None]
    return frames


def frame_numbers(frames: Tensor) -> list[int]:
    """The numbers in frames ``(T, C, H, W)`` made by :func:`numbered_frames`, uncropped."""
    height, width = frames.shape[-2:]
    centres = [(2 * bit + 1) * width // (2 * _NUMBER_BITS) for bit in range(_NUMBER_BITS)]
    bits = frames[:, 0, height // 4, centres] > 127
    return (bits * 2 ** torch.arange(_NUMBER_BITS)).sum(1).tolist()


@contextmanager
def usual_scheduling() -> Iterator[None]:
    """Around whatever may encode AV1: SVT-AV1 makes a process of root's a real-time one for good.
    Nothing of the machine runs beside that, and threads that wait for each other wait for ever."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def write_video(
    path: Path,
    *,
    num_frames: int = 24,
    size: int | tuple[int, int] = 64,
    codec: str = "libx264",
    b_frames: int = 2,
    gop: int = 12,
    frame_rate: int = 24,
    first_timestamp: int = 0,
    timestamps: Sequence[int] | None = None,
    frames: np.ndarray | None = None,
    faststart: bool = False,
    open_gop: bool = False,
) -> Path:
    """Write ``frames`` ``(T, H, W, 3)``, by default numbered ones, with constant GOPs.

    The container follows from the suffix. ``size`` is a side or ``(height, width)`` in pixels;
    ``first_timestamp`` is that of the first frame, in frames, or ``timestamps`` those of all.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if frames is None:
        frames = numbered_frames(num_frames, height, width)
    path.parent.mkdir(parents=True, exist_ok=True)
    if timestamps is None:
        timestamps = range(first_timestamp, first_timestamp + len(frames))
    options = {"movflags": "+faststart"} if faststart else {}
    with usual_scheduling(), av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=frame_rate)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1
        if codec != "libvpx-vp9":
            stream.codec_context.max_b_frames = b_frames
        stream.options = dict(_encoder_options(codec, b_frames, gop, open_gop))
        for timestamp, image in zip(timestamps, frames, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = timestamp
            frame.time_base = Fraction(1, frame_rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _encoder_options(codec: str, b_frames: int, gop: int, open_gop: bool) -> dict[str, str]:
    common = f"bframes={b_frames}:b-adapt=0:keyint={gop}:scenecut=0:open-gop={int(open_gop)}"
    if codec == "libx264":
        return {"preset": "ultrafast", "x264-params": f"{common}:threads=1"}
    if codec == "libx265":
        return {"preset": "ultrafast", "x265-params": f"{common}:pools=1:log-level=none"}
    if codec == "libvpx-vp9":
        return {"deadline": "realtime", "cpu-used": "8"}
    if codec == "libsvtav1":
        return {"preset": "12"}
    return {"qscale": "3"}


def write_pictures(
    folder: Path, frames: np.ndarray, name: str = "{:05d}.png", first: int = 1
) -> Path:
    """Write frames ``(T, H, W, 3)`` as numbered pictures, by default lossless ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, start=first):
        Image.fromarray(frame).save(folder / name.format(number))
    return folder


def write_audio(path: Path, *, seconds: float = 1.0, rate: int = 16000) -> Path:
    """A file with sound and no picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=rate)
        assert isinstance(stream, AudioStream)
        stream.layout = "mono"
        tone = np.sin(np.arange(int(seconds * rate)) / 20).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.rate, frame.pts = rate, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def coloured_frames(name: str, seed: int, num_frames: int = 12, side: int = 32) -> np.ndarray:
    """Frames ``(T, H, W, 3)`` of one of the ``CLASS_COLOURS``, with noise of their own."""
    noise = np.random.default_rng(seed).integers(-25, 26, (num_frames, side, side, 3))
    return np.clip(np.array(CLASS_COLOURS[name]) + noise, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class TinyDataset:
    """A folder with ``train.csv``, ``val.csv`` and ``classes.txt``."""

    folder: Path
    classes: tuple[str, ...]

    @property
    def train(self) -> Path:
        return self.folder / "train.csv"

    @property
    def val(self) -> Path:
        return self.folder / "val.csv"


def write_dataset(
    folder: Path,
    num_train: int,
    num_val: int,
    *,
    classes: Sequence[str] = tuple(CLASS_COLOURS),
    num_frames: int = 12,
) -> TinyDataset:
    """Videos of one colour each; the colour is the class. Classes take turns."""
    for split, count in (("train", num_train), ("val", num_val)):
        rows = []
        for index in range(count):
            name = classes[index % len(classes)]
            path = Path(split) / name / f"{index:03d}.mp4"
            frames = coloured_frames(name, seed=index + 1000 * (split == "val"))
            write_video(folder / path, frames=frames[:num_frames], frame_rate=12, gop=6)
            rows.append((path.as_posix(), name))
        write_manifest(folder / f"{split}.csv", rows)
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in classes))
    return TinyDataset(folder, tuple(classes))


def write_image_dataset(folder: Path, num_train: int, num_val: int) -> TinyDataset:
    """Pictures of one colour each, of several formats and sizes; the colour is the class."""
    classes = tuple(CLASS_COLOURS)
    for split, count in (("train", num_train), ("val", num_val)):
        rows = []
        for index in range(count):
            name, suffix = classes[index % len(classes)], ("jpg", "png")[index % 2]
            path = Path(split) / name / f"{index:03d}.{suffix}"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            seed = index + 1000 * (split == "val")
            frame = coloured_frames(name, seed, num_frames=1, side=40 + index % 5)[0]
            Image.fromarray(frame[:, :36]).save(folder / path)
            rows.append((path.as_posix(), name))
        write_manifest(folder / f"{split}.csv", rows)
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in classes))
    return TinyDataset(folder, classes)


def write_manifest(
    path: Path, rows: Sequence[Sequence[object]], header: str = "path,label"
) -> Path:
    """A manifest with these rows."""
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(header + "\n")
        csv.writer(file).writerows(rows)
    return path


def open_labelled(
    path: Path, classes: Sequence[str] | None = None, root: Path | None = None
) -> tuple[Manifest, ClassLabels]:
    """A manifest with its labels as classes, and what is known of these."""
    labels = ClassLabels(classes)
    return Manifest(path, targets=labels, root=root), labels


def read_manifest(path: Path) -> list[tuple[str, str]]:
    """``(path, label)`` of each row."""
    with path.open(newline="", encoding="utf-8") as file:
        return [(row["path"], row["label"]) for row in csv.DictReader(file)]


def save_as_0_1_0(checkpoint: Path, optimizer: dict[str, Any]) -> None:
    """Replace the optimizer of a training checkpoint by this ``state_dict``, whole and with
    numbered parameters, as version 0.1.0 saved it."""
    shutil.rmtree(checkpoint / OPTIMIZER_FOLDER, ignore_errors=True)
    (checkpoint / CHECKSUMS_FILE).unlink()
    values = torch.load(checkpoint / STATE_FILE, weights_only=True)
    torch.save({**values, "optimizer": optimizer}, checkpoint / STATE_FILE)
    write_checksums(checkpoint)


def save_checkpoint(
    folder: Path,
    *,
    classes: Sequence[str] = tuple(CLASS_COLOURS),
    clip: ClipSettings | None = None,
    seed: int = 0,
    **overrides: Any,
) -> Path:
    """A random tiny classifier whose scores differ from video to video."""
    clip = clip or ClipSettings(**TINY_CLIP)
    config = variant_config(
        "hiera_base_16x224",
        **{
            **TINY_MODEL,
            "image_size": [clip.num_frames, clip.crop_size, clip.crop_size],
            "num_labels": len(classes),
            "id2label": dict(enumerate(classes)),
            **overrides,
        },
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = HieraForVideoClassification(config)
        # Classifiers start with a small head: give it one whose scores differ.
        if isinstance(model.classifier, nn.Linear):
            nn.init.normal_(model.classifier.weight)
    model.preprocessor = dump_preprocessor(clip)
    model.save_pretrained(folder)
    return folder


class Run(Protocol):
    """A script that was started, in whatever way."""

    @property
    def is_running(self) -> bool:
        """Whether all processes that were started run."""

    def end(self) -> str:
        """End it at once if it runs; what it printed."""


class StartedScript(subprocess.Popen[str]):
    """A script that was started in processes of its own."""

    @property
    def is_running(self) -> bool:
        return self.poll() is None

    def end(self) -> str:
        kill_script(self)
        return "\n".join(self.communicate())


def wait_until(run: Run, condition: Callable[[], bool]) -> None:
    """Wait for something that a run does; if it ends before, fail with what it printed."""
    deadline = time.monotonic() + HANG_SECONDS
    while not condition():
        assert run.is_running, f"the run ended\n{run.end()}"
        assert time.monotonic() < deadline, f"it hangs\n{run.end()}"
        time.sleep(0.001)


def run_script(
    name: str | Path,
    *arguments: object,
    num_processes: int = 1,
    accelerate: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Start ``scripts/NAME.py`` (or another file) as users do, on CPUs, and wait for it.

    One process starts bare, or by ``accelerate launch``; several start by ``torchrun``: on CPUs
    ``accelerate launch --num_processes 2`` starts one. Launchers add lines of their own to standard
    error and end with status 1 whatever the script's was.
    """
    process = start_script(
        name,
        *arguments,
        num_processes=num_processes,
        accelerate=accelerate,
    )
    try:
        output, errors = process.communicate(timeout=HANG_SECONDS)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"{name} hangs\n{process.end()}") from None
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def start_script(
    name: str | Path,
    *arguments: object,
    num_processes: int = 1,
    accelerate: bool = False,
) -> StartedScript:
    """Start a script as :func:`run_script` does, without waiting for it.

    Where it still runs when the test is over, it is killed.
    """
    launcher: list[str] = []
    if num_processes > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone"]
        launcher += [f"--nproc_per_node={num_processes}"]
    elif accelerate:
        launcher = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes=1"]
    script = name if isinstance(name, Path) else ROOT / "scripts" / f"{name}.py"
    command = [sys.executable, *launcher, str(script)]
    process = StartedScript(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **CPU_ENVIRONMENT},
        cwd=ROOT,
        start_new_session=True,
    )
    at_end_of_test.callback(kill_script, process)
    return process


def run_here(script: Path, *arguments: object) -> int:
    """Run a script in this process, for those that start neither devices nor processes.

    Gives its exit status.
    """
    with patch.object(sys, "argv", [str(script), *map(str, arguments)]):
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as end:
            return int(end.code or 0)
    return 0


def kill_script(process: subprocess.Popen[str]) -> None:
    """End a script and its workers at once, as a crash or a power cut would."""
    if process.poll() is None:
        kill_tree(process.pid)
        process.wait()


def kill_tree(pid: int) -> None:
    """End a process of ours, those that it started, and so on: launchers give those that they
    start a session of their own."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                one.kill()


def forget_accelerator() -> None:
    """Let the next run in this process start devices and processes in its own way."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def succeed(result: subprocess.CompletedProcess[str]) -> str:
    """Standard output of a script that must have ended well."""
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    return result.stdout


def error_line(result: subprocess.CompletedProcess[str]) -> str:
    """The one line of a user's mistake: status 2, and but for progress bars nothing else."""
    assert result.returncode == 2, f"{result.stdout}\n{result.stderr}"
    lines = [
        line
        for line in result.stderr.replace("\r", "\n").splitlines()
        if line.strip() and not _PROGRESS_BAR.search(line)
    ]
    assert len(lines) == 1, result.stderr
    line = re.fullmatch(r"\w+\.py: error: (.+)", lines[0])
    assert line, result.stderr
    return line[1]


def files_below(folder: Path) -> list[str]:
    """All files and links below a folder, hidden ones too, as sorted relative paths."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    )


def cut_off(source: Path, target: Path, share: float) -> Path:
    """The first ``share`` of a file's bytes."""
    data = source.read_bytes()
    target.write_bytes(data[: int(share * len(data))])
    return target


def flip_byte(path: Path, position: int | None = None) -> None:
    """Change one byte of a file, by default the one in its middle, as a bad disk would."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if position is None else position] ^= 0b100
    path.write_bytes(data)


def read_log(output_dir: Path) -> list[dict[str, Any]]:
    """The records of a run's log."""
    return [json.loads(line) for line in (output_dir / "log.jsonl").read_text().splitlines()]


def logged(output_dir: Path, name: str) -> list[float]:
    """A figure of a run's log, such as ``train/loss``, from first to last."""
    return [record[name] for record in read_log(output_dir) if name in record]


def weights(output_dir: Path, part: str = ".") -> dict[str, Tensor]:
    """What a run shares in the end; ``part`` is a folder in it, as ``images``."""
    return load_file(output_dir / "last" / part / "model.safetensors")


def copy_dataset(dataset: TinyDataset, folder: Path) -> TinyDataset:
    """A dataset of one's own, to break videos in."""
    shutil.copytree(dataset.folder, folder)
    return TinyDataset(folder, dataset.classes)
