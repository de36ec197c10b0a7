"""The demo dataset: its files, its videos, what it refuses, and that only time tells the class."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from hiera_video.preparation import demo_videos
from tests.support import HANG_SECONDS, ROOT, run_here

SCRIPT = ROOT / "datasets" / "demo" / "generate.py"
TINY = ("--num-train", "16", "--num-val", "8", "--size", "48", "--num-frames", "16")


def run(output_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(output_dir), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG_SECONDS)


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 training and 8 validation videos, made by one worker. Tests only read it."""
    folder = tmp_path_factory.mktemp("demo") / "dataset"
    result = run(folder, *TINY, "--workers", "1")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert f"{folder}: 24 videos, rendered 24 in " in result.stdout
    return folder


def test_files_and_balance(dataset: Path) -> None:
    classes = (dataset / "classes.txt").read_text().splitlines()
    assert classes == list(demo_videos.CLASSES)
    listed = set()
    for split, per_class in (("train", 2), ("val", 1)):
        with (dataset / f"{split}.csv").open(newline="") as file:
            assert file.readline() == "path,label\n"
            rows = list(csv.reader(file))
        assert sorted(label for _, label in rows) == sorted(classes * per_class)
        assert all(path.startswith(f"videos/{split}/{label}/") for path, label in rows)
        listed |= {path for path, _ in rows}
    described = {"train.csv", "val.csv", "classes.txt", "dataset.json"}
    assert set(contents(dataset)) == listed | described
    assert json.loads((dataset / "dataset.json").read_text())["num_train"] == 16


def test_stream_is_h264_with_b_frames(dataset: Path) -> None:
    for path in sorted(dataset.glob("videos/*/*/*.mp4")):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert stream.codec_context.pix_fmt == "yuv420p"
            assert (stream.width, stream.height, stream.average_rate) == (48, 48, 15)
            packets = [packet for packet in container.demux(stream) if packet.size]
        presented = [packet.pts for packet in packets]
        assert presented != sorted(presented)
        assert sum(packet.is_keyframe for packet in packets) == 2
        with av.open(str(path)) as container:
            kinds = [PictureType(f.pict_type) for f in container.decode(video=0)]
        assert len(kinds) == 16
        assert PictureType.B in kinds


def test_bytes_depend_on_the_seed_and_not_on_the_workers(dataset: Path, tmp_path: Path) -> None:
    assert run(tmp_path / "two", *TINY, "--workers", "2").returncode == 0
    assert contents(tmp_path / "two") == contents(dataset)
    assert run(tmp_path / "seed", *TINY, "--seed", "1").returncode == 0
    ours, other = contents(dataset), contents(tmp_path / "seed")
    assert set(ours) == set(other)
    assert all(ours[name] != other[name] for name in ours if name.endswith(".mp4"))


def test_second_run_reuses_and_other_settings_are_refused(dataset: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in dataset.rglob("*")}
    again = run(dataset, *TINY)
    assert again.returncode == 0
    assert again.stdout == (f"{dataset}: 24 videos, the dataset is there already and is reused\n")
    refused = run(dataset, *TINY, "--seed", "5")
    assert refused.returncode == 2
    assert refused.stderr == (
        f"generate.py: error: {dataset} holds a dataset with other settings: "
        "remove it, or name another\n"
    )
    assert {path: path.stat().st_mtime_ns for path in dataset.rglob("*")} == before


def test_interrupted_run_is_completed_but_not_by_other_settings(
    dataset: Path, tmp_path: Path
) -> None:
    whole = contents(dataset)
    interrupted = {n: b for n, b in whole.items() if n.startswith("videos/train/moving")}
    interrupted["dataset.unfinished.json"] = whole["dataset.json"]
    for name, data in interrupted.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    refused = run(tmp_path, *TINY, "--seed", "5")
    assert refused.returncode == 2
    assert "holds a dataset with other settings" in refused.stderr
    completed = run(tmp_path, *TINY)
    assert completed.returncode == 0
    assert "24 videos, rendered 16 in" in completed.stdout
    assert contents(tmp_path) == whole


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num-train", "12"], "--num-train=12: wanted a positive multiple of 8 classes"),
        (["--num-val", "0"], "--num-val=0: wanted a positive multiple of 8 classes"),
        (["--size", "49"], "--size=49: wanted an even number of at least 32 pixels"),
        (["--size", "16"], "--size=16: wanted an even number of at least 32 pixels"),
        (["--num-frames", "15"], "--num-frames=15: wanted at least 16"),
        (["--frame-rate", "0"], "--frame-rate=0: wanted at least 1"),
        (["--workers", "0"], "--workers=0: wanted at least 1"),
        (["--seed", "-1"], "--seed=-1: wanted at least 0"),
        (
            ["--size", "big"],
            "--size=big: input should be a valid integer, unable to parse string as an integer",
        ),
    ],
)
def test_senseless_arguments(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    assert run_here(SCRIPT, tmp_path / "new", *arguments) == 2
    assert capsys.readouterr().err == f"generate.py: error: {message}\n"
    assert not (tmp_path / "new").exists()


def test_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("path,label\n")
    refused = run(tmp_path, *TINY)
    assert refused.returncode == 2
    assert refused.stderr == (
        f"generate.py: error: {tmp_path} holds something else (no dataset.json): "
        "name another folder\n"
    )
    refused = run(tmp_path / "train.csv", *TINY)
    assert refused.returncode == 2
    assert refused.stderr.endswith("train.csv is a file: name a folder\n")
    assert contents(tmp_path) == {"train.csv": b"path,label\n"}


def test_opposite_classes_are_time_reversals() -> None:
    labels = list(demo_videos.CLASSES)
    for one, other in zip(labels[::2], labels[1::2], strict=True):
        coordinate = demo_videos.CLASSES[one][0]
        for seed in range(20):
            ours = demo_videos.draw_trajectory(np.random.default_rng(seed), [one], 24)
            theirs = demo_videos.draw_trajectory(np.random.default_rng(seed), [other], 24)
            for name in demo_videos.COORDINATES:
                np.testing.assert_allclose(ours[name], theirs[name][::-1], rtol=0, atol=1e-12)
                assert (np.ptp(ours[name]) > 0) == (name == coordinate)


def test_no_coordinate_of_a_single_frame_tells_the_class() -> None:
    """Over all frames, each coordinate is distributed alike in all eight classes."""
    rng = np.random.default_rng(0)
    for name, (low, high, _, _) in demo_videos.COORDINATES.items():
        quantiles = []
        for label in demo_videos.CLASSES:
            drawn = [demo_videos.draw_trajectory(rng, [label], 24)[name] for _ in range(1000)]
            quantiles.append(np.quantile(np.stack(drawn), [0.1, 0.3, 0.5, 0.7, 0.9]))
        spread = np.ptp(np.stack(quantiles), axis=0) / (high - low)
        assert spread.max() < 0.08, (name, spread)


def test_rendered_motion_is_what_the_label_says(dataset: Path) -> None:
    """The object is bright on a dull background: its centre and its area can be measured."""

    def measure(label: str) -> np.ndarray:
        changes = []
        for path in sorted(dataset.glob(f"videos/*/{label}/*.mp4")):
            frames = decode(path).mean(-1)
            mask = frames > (np.median(frames) + frames.max()) / 2
            t, y, x = np.nonzero(mask)
            first, last = t < 3, t >= len(frames) - 3
            growth = last.sum() / first.sum()
            changes.append([x[last].mean() - x[first].mean(), y[last].mean() - y[first].mean()])
            changes[-1].append(growth)
        return np.array(changes)

    assert (measure("moving_left")[:, 0] < -10).all()
    assert (measure("moving_right")[:, 0] > 10).all()
    assert (measure("moving_up")[:, 1] < -10).all()
    assert (measure("moving_down")[:, 1] > 10).all()
    assert (measure("approaching")[:, 2] > 1.5).all()
    assert (measure("receding")[:, 2] < 0.67).all()


def test_growing_angle_turns_clockwise() -> None:
    size = demo_videos.TEXTURE_SIZE
    sprite = np.zeros((size, size, 4), np.float32)
    sprite[size * 3 // 8 : size * 5 // 8, size * 3 // 4 : size * 7 // 8] = 1  # a mark on the right
    frame = np.zeros((64, 64, 3), np.float32)
    pose = {"x": 0.5, "y": 0.5, "angle": np.pi / 2, "log_size": np.log(0.3)}
    demo_videos.paste_object(frame, sprite, pose)
    rows, columns, _ = np.nonzero(frame > 0.5)
    assert rows.min() > 38  # a quarter turn clockwise takes it to the bottom
    assert 25 < columns.min() < columns.max() < 39
