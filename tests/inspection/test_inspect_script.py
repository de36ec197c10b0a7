"""``scripts/inspect_videos.py``: what it finds, what it leaves out, and going on."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import av
import pyarrow.parquet as pq
import pytest

from hiera_video.config.groups import InspectData
from hiera_video.data.manifest import Manifest
from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.reader import VideoReader
from hiera_video.decoding.source import Source
from hiera_video.errors import UserError
from hiera_video.inspection.examine import Examined, examine
from hiera_video.inspection.examine_all import ExaminedFiles
from hiera_video.inspection.run import EXAMINED_FILE, inspect_videos, read_examined
from tests.forked import run_forked, start_forked
from tests.robustness.deadly_reader import DeadlyReader
from tests.support import (
    HANG_SECONDS,
    ROOT,
    cut_off,
    files_below,
    open_labelled,
    run_here,
    run_script,
    succeed,
    wait_until,
    write_manifest,
    write_video,
)

DEADLY_READER = ROOT / "tests" / "robustness" / "deadly_reader.py"


def rotate(source: Path, target: Path, clockwise: int) -> Path:
    """The same packets, to be shown turned, as telephones store them."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        stream.set_display_rotation(-clockwise)
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return target


def damage(source: Path, target: Path, frame: int) -> Path:
    """A file whose container is whole and whose picture is not: FFmpeg hides that."""
    with av.open(str(source)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data = bytearray(source.read_bytes())
    begin, size = packets[frame].pos or 0, packets[frame].size
    data[begin + size // 2 : begin + size] = bytes(size - size // 2)
    target.write_bytes(data)
    return target


def examine_until_death(file: Path, decode: bool, options: DecodingOptions) -> Examined:
    """Looks at files as ever, but for one that it dies of."""
    if file.name == "b.mkv":
        os._exit(139)
    return examine(file, decode, options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes: whole videos, duplicates within and across classes, and broken files."""
    root = tmp_path_factory.mktemp("videos")
    first = write_video(root / "pour/a.mp4", num_frames=24, size=(48, 64))
    write_video(root / "pour/b.mkv", num_frames=12, frame_rate=12)
    rotate(first, root / "pour/c.mp4", 90)
    (root / "pour/copy of a.mp4").write_bytes(first.read_bytes())
    write_video(root / "stir/a.avi", codec="mpeg4", num_frames=30)
    (root / "stir/b.mp4").write_bytes(first.read_bytes())
    (root / "stir/empty.mp4").touch()
    cut_off(first, root / "stir/cut.mp4", 0.5)
    (root / "stir/text.webm").write_text("not a video\n" * 50)
    return root


@pytest.fixture(scope="module")
def inspected(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output_dir = tmp_path_factory.mktemp("inspected") / "new"
    said = succeed(run_script("inspect_videos", folder, output_dir, "--num-workers", 2))
    assert said.startswith("9 videos: 4 kept, 5 left out, 9 files examined now")
    return output_dir


def read(output_dir: Path) -> dict[str, dict[str, Any]]:
    rows = pq.read_table(output_dir / "videos.parquet").to_pylist()
    return {row["path"]: row for row in rows}


def test_the_files_it_writes(inspected: Path) -> None:
    names = ["clean.csv", "classes.txt", EXAMINED_FILE, "report.html", "videos.parquet"]
    assert files_below(inspected) == sorted(names)


def test_what_is_known_of_a_video(inspected: Path, folder: Path) -> None:
    video = read(inspected)["pour/a.mp4"]
    assert video["file"] == str(folder / "pour/a.mp4")
    assert video["label"] == "pour"
    assert (video["num_frames"], video["frames_per_second"]) == (24, 24.0)
    assert (video["width"], video["height"], video["rotation_degrees"]) == (64, 48, 0)
    assert (video["codec"], video["duration_seconds"]) == ("h264", 1.0)
    assert video["size_bytes"] == (folder / "pour/a.mp4").stat().st_size
    assert len(video["sha256"]) == 64
    assert (video["reason"], video["left_out"], video["decoded"]) == (None, None, False)
    turned = read(inspected)["pour/c.mp4"]
    assert (turned["width"], turned["height"], turned["rotation_degrees"]) == (64, 48, 90)


def test_what_is_left_out_and_why(inspected: Path) -> None:
    left_out = {path: row["left_out"] for path, row in read(inspected).items() if row["left_out"]}
    assert left_out.pop("stir/cut.mp4")
    assert left_out == {
        "pour/copy of a.mp4": "duplicate",
        "stir/b.mp4": "duplicate with another label (pour)",
        "stir/empty.mp4": "the file is empty (0 bytes)",
        "stir/text.webm": "invalid data found when processing input",
    }
    assert read(inspected)["stir/b.mp4"]["duplicate_of"] == "pour/a.mp4"
    page = (inspected / "report.html").read_text()
    assert all(path in page for path in left_out)


def test_the_clean_manifest_can_be_trained_on(inspected: Path, folder: Path) -> None:
    manifest, labels = open_labelled(inspected / "clean.csv")
    manifest.check_files()
    files = [manifest[index].file for index in range(len(manifest))]
    rows = list(zip(files, manifest.column("labels"), strict=True))
    names = [("pour/a.mp4", 0), ("pour/b.mkv", 0), ("pour/c.mp4", 0), ("stir/a.avi", 1)]
    assert rows == [(folder / name, label) for name, label in names]
    assert labels.classes == ["pour", "stir"]
    header, first, *_ = (inspected / "clean.csv").read_text().splitlines()
    assert (header, first) == ("path,label", f"{folder / 'pour/a.mp4'},pour")


def test_the_clean_manifest_moves_with_its_videos(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder / "pour", tmp_path / "there/pour")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    inspect_videos(Path("../there"), Path("../there"), InspectData())
    inspect_videos(Path("../there"), Path("beside"), InspectData())
    (tmp_path / "there").rename(tmp_path / "moved")
    clean = Manifest(tmp_path / "moved/clean.csv")
    assert clean.paths == ["pour/a.mp4", "pour/b.mkv", "pour/c.mp4"]
    clean.check_files()
    beside = Manifest(Path("beside/clean.csv"))
    assert beside.paths == [f"{tmp_path}/there/{path}" for path in clean.paths]


def test_a_manifest_keeps_its_order_classes_and_seconds(folder: Path, tmp_path: Path) -> None:
    header = "path,label,start_seconds,end_seconds"
    rows: list[tuple[object, ...]] = [
        ("stir/a.avi", "stir", 0.25, 1),
        ("pour/a.mp4", "pour", "", ""),
        ("stir/a.avi", "stir", 0.5, 1),  # other seconds: not a duplicate
        ("stir/a.avi", "stir", 0.25, 1),
        ("pour/a.mp4", "pour", 2, 3),
        ("gone.mp4", "pour", "", ""),
    ]
    manifest = write_manifest(tmp_path / "train.csv", rows, header.replace("label", '"label"'))
    (tmp_path / "classes.txt").write_text("stir\nwait\npour\n")
    inspect_videos(manifest, tmp_path / "out", InspectData(root=folder))
    table = pq.read_table(tmp_path / "out/videos.parquet").to_pylist()
    assert [row["left_out"] for row in table] == [
        None,
        None,
        None,
        "duplicate",
        "starts past the video's end (1.000 s)",
        "no such file or directory",
    ]
    clean, labels = open_labelled(tmp_path / "out/clean.csv")
    assert labels.classes == ["stir", "wait", "pour"]
    rows_kept = [clean[index] for index in range(3)]
    found = [
        (row.file, row.targets["labels"], row.start_seconds, row.end_seconds) for row in rows_kept
    ]
    assert found == [
        (folder / "stir/a.avi", 0, 0.25, 1.0),
        (folder / "pour/a.mp4", 2, 0.0, None),
        (folder / "stir/a.avi", 0, 0.5, 1.0),
    ]


def test_duplicates_may_stay_and_labels_may_lack(folder: Path, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "m.csv", [("pour/a.mp4",), ("stir/b.mp4",)], "path")
    inspect_videos(manifest, tmp_path / "out", InspectData(root=folder), keep_duplicates=True)
    assert len(Manifest(tmp_path / "out/clean.csv")) == 2
    assert read(tmp_path / "out")["stir/b.mp4"]["duplicate_of"] == "pour/a.mp4"
    assert not (tmp_path / "out/classes.txt").exists()


def test_a_file_beside_class_folders_is_left_out(folder: Path, tmp_path: Path) -> None:
    data = (folder / "pour/a.mp4").read_bytes()
    for name in ("a.mp4", "pour/b.mp4", "pour/c.mp4"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).write_bytes(data)
    inspect_videos(tmp_path / "videos", tmp_path / "out", InspectData())
    left_out = {path: row["left_out"] for path, row in read(tmp_path / "out").items()}
    assert left_out == {
        "a.mp4": "is in no class folder",
        "pour/b.mp4": None,
        "pour/c.mp4": "duplicate",
    }


def test_decoding_everything_finds_damage_inside_frames(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    whole = write_video(videos / "whole.mp4", num_frames=240, size=64, b_frames=0)
    damage(whole, videos / "damaged.mp4", frame=65)
    inspect_videos(videos, tmp_path / "out", InspectData())
    # A look decodes a few groups of pictures: the damage lies in another one.
    assert {row["left_out"] for row in read(tmp_path / "out").values()} == {None}
    inspect_videos(videos, tmp_path / "out", InspectData(), decode=True)
    rows = read(tmp_path / "out")
    assert rows["whole.mp4"]["reason"] is None
    assert rows["whole.mp4"]["decoded"]
    assert "a frame is damaged" in rows["damaged.mp4"]["reason"]


def test_a_second_run_examines_what_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = tmp_path / "videos"
    for name in ("a.mp4", "b.mp4"):
        write_video(videos / name, num_frames=6 if name == "a.mp4" else 8)
    inspect_videos(videos, tmp_path / "out", InspectData())
    inspect_videos(videos, tmp_path / "out", InspectData())
    write_video(videos / "b.mp4", num_frames=10)
    inspect_videos(videos, tmp_path / "out", InspectData())
    said = capsys.readouterr().out.splitlines()
    assert [line.split(",")[2].split()[0] for line in said] == ["2", "0", "1"]
    assert read(tmp_path / "out")["b.mp4"]["num_frames"] == 10


def test_a_file_whose_bytes_could_not_be_read_is_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = tmp_path / "videos"
    write_video(videos / "a.mp4", num_frames=6)
    inspect_videos(videos, tmp_path / "out", InspectData())
    log = tmp_path / "out" / EXAMINED_FILE
    failed = {"sha256": None, "reason": "permission denied"}  # as it was, but for the right to it
    log.write_text(json.dumps({**json.loads(log.read_text().strip()), **failed}) + "\n")
    inspect_videos(videos, tmp_path / "out", InspectData())
    said = capsys.readouterr().out.splitlines()
    assert said[-1].startswith("1 videos: 1 kept, 0 left out, 1 files examined now")


def test_a_killed_run_goes_on(folder: Path, tmp_path: Path) -> None:
    videos, output_dir = tmp_path / "videos", tmp_path / "out"
    videos.mkdir()
    data = (folder / "pour/a.mp4").read_bytes()
    for index in range(200):
        (videos / f"{index:03d}.mp4").write_bytes(data)
    (videos / "199.mp4").rename(videos / "blocking.mp4")  # here it waits: it is never over
    common = ("--num-workers", 1, "--decode", "--timeout-seconds", HANG_SECONDS)
    script, arguments = ROOT / "scripts" / "inspect_videos.py", (videos, output_dir, *common)
    run = start_forked(DEADLY_READER, [script, *arguments], tmp_path / "said")
    log = output_dir / EXAMINED_FILE
    wait_until(run, lambda: log.exists() and log.stat().st_size > 2000)
    run.kill()
    (videos / "blocking.mp4").rename(videos / "199.mp4")
    assert not (output_dir / "videos.parquet").exists()
    with log.open("a") as file:
        file.write('{"file": "half a li')
    known = len(read_examined(log))
    assert 0 < known < 200
    said = succeed(run_forked(script, *arguments))
    assert f"200 videos: 1 kept, 199 left out, {200 - known} files examined now" in said
    assert len(read_examined(log)) == 200


def test_a_file_that_kills_its_reader_is_found(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hiera_video.inspection.examine_all.examine", examine_until_death)
    inspect_videos(folder, tmp_path / "out", InspectData(num_workers=2))
    rows = read(tmp_path / "out")
    assert rows["pour/b.mkv"]["left_out"] == "the worker that read it ended with status 139"
    assert sum(row["left_out"] is None for row in rows.values()) == 3


def test_a_file_that_keeps_its_reader_waiting_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another run tries it again."""
    videos, output_dir = tmp_path / "videos", tmp_path / "out"
    for index in range(4):
        write_video(videos / f"pour/{index}.mp4", num_frames=6 + index)
    write_video(videos / "pour/hanging.mp4", num_frames=12)
    script = ROOT / "scripts" / "inspect_videos.py"
    arguments = (script, videos, output_dir, "--num-workers", 2, "--timeout-seconds", HANG_SECONDS)
    with monkeypatch.context() as while_it_hangs:
        while_it_hangs.setattr("hiera_video.inspection.examine.VideoReader", DeadlyReader)
        assert run_here(*arguments) == 0
    assert "5 videos: 4 kept, 1 left out" in capsys.readouterr().out
    row = read(output_dir)["pour/hanging.mp4"]
    assert row["left_out"] == f"reading took longer than --timeout-seconds={HANG_SECONDS}"
    assert run_here(*arguments) == 0
    assert "5 videos: 5 kept, 0 left out, 1 files examined now" in capsys.readouterr().out


def test_readers_may_take_as_long_as_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A film of hours takes long to open, too: there is no other limit."""
    write_video(tmp_path / "videos/a.mp4", num_frames=6)
    given = []

    class RecordingReader(VideoReader):
        def __init__(self, source: Source, options: DecodingOptions) -> None:
            given.append(options.timeout_seconds)
            super().__init__(source, options)

    monkeypatch.setattr("hiera_video.inspection.examine.VideoReader", RecordingReader)
    for options in (DecodingOptions(timeout_seconds=1234.0), DecodingOptions(timeout_seconds=1e-9)):
        files = ExaminedFiles([tmp_path / "videos/a.mp4"], decode=True, options=options)
        assert files.watch.timeout_seconds == options.timeout_seconds
        reasons = [files[0].reason]
    assert given == [1234.0, 1e-9]
    assert reasons == ["no frame came within 1e-09 s"]


def test_a_pipe_is_left_out_at_once(tmp_path: Path) -> None:
    """Nobody writes into it: opening it would never end."""
    write_video(tmp_path / "videos/a.mp4", num_frames=6)
    os.mkfifo(tmp_path / "videos/b.mp4")
    (tmp_path / "videos/c.mp4").symlink_to("b.mp4")
    inspect_videos(tmp_path / "videos", tmp_path / "out", InspectData())
    left_out = {path: row["left_out"] for path, row in read(tmp_path / "out").items()}
    reason = "is a pipe or a device, and wanted is a file"
    assert left_out == {"a.mp4": None, "b.mp4": reason, "c.mp4": reason}


def test_a_title_that_is_not_in_utf8_does_no_harm(tmp_path: Path) -> None:
    path = write_video(tmp_path / "videos/a.mkv", num_frames=6)
    head, tag, tail = path.read_bytes().partition(b"ENCODER")
    path.write_bytes(head + tag + tail.replace(b"Lavf", b"\xe9\xe8\xff\xfe", 1))
    found = examine(path, decode=True)
    assert (found.reason, found.num_frames, found.width) == (None, 6, 64)


def test_an_error_that_nobody_knows_of_is_about_one_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(file: Path) -> str:
        if file.name == "b.mkv":
            raise LookupError("No such thing\nin line 3")
        return file.name

    monkeypatch.setattr("hiera_video.inspection.examine.sha256", fail)
    inspect_videos(folder, tmp_path / "out", InspectData())
    assert read(tmp_path / "out")["pour/b.mkv"]["left_out"] == "no such thing"


def test_a_name_that_no_manifest_can_hold(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / os.fsdecode(b"videos/caf\xe9.mp4")).touch()
    with pytest.raises(UserError, match=r"caf\\udce9.mp4': its name is not in UTF-8"):
        inspect_videos(tmp_path / "videos", tmp_path / "out", InspectData())


@pytest.mark.parametrize(
    ("source", "more", "message"),
    [
        ("empty", [], "empty: no video files in it, nor in folders below"),
        ("none.csv", [], "none.csv: cannot be read (no such file or directory)"),
        ("empty", ["--num-workers=0"], "--num-workers=0: wanted at least 1"),
        ("empty", ["--timeout-seconds=0"], "-seconds=0: wanted a number of seconds above 0"),
    ],
)
def test_mistakes_end_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, more: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    script = ROOT / "scripts" / "inspect_videos.py"
    assert run_here(script, tmp_path / source, tmp_path / "out", *more) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert errors.endswith(f"{message}\n")
