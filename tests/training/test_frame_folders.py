"""Frame folders from end to end: the commands give what they give of the videos."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from hiera_video import open_video
from hiera_video.data.failures import SKIPPED_FILE
from tests.decoding.test_frame_folders import NEEDS_RATE, PACK
from tests.forked import run_forked
from tests.support import (
    ROOT,
    TINY_PRETRAINING_ARGUMENTS,
    TinyDataset,
    error_line,
    read_manifest,
    run_here,
    succeed,
    weights,
    write_dataset,
    write_manifest,
    write_pictures,
)
from tests.training.runs import train_here

TRAINING = ("train.batch_size=6", "train.checkpoint_steps=1", "train.keep_checkpoints=9")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> TinyDataset:
    return write_dataset(tmp_path_factory.mktemp("videos"), num_train=12, num_val=6)


@pytest.fixture(scope="module")
def frames(videos: TinyDataset, tmp_path_factory: pytest.TempPathFactory) -> TinyDataset:
    """The same videos as folders, zip and tar archives of their frames, in PNG."""
    root = tmp_path_factory.mktemp("frames")
    for split in (videos.train, videos.val):
        rows = []
        for row, (path, label) in enumerate(read_manifest(split)):
            folder = root / Path(path).with_suffix("")
            with open_video(videos.folder / path) as video:
                pictures = video.frames(range(video.num_frames)).permute(0, 2, 3, 1).numpy()
            write_pictures(folder, pictures, "frame_{:010d}.png")
            if row % 3:
                suffix = ("zip", "tar")[row % 3 - 1]
                folder = PACK[suffix][1](folder, folder.with_suffix(f".{suffix}"))
            rows.append((folder.relative_to(root), label))
        write_manifest(root / split.name, rows)
    shutil.copy(videos.folder / "classes.txt", root)
    return TinyDataset(root, videos.classes)


@pytest.fixture(scope="module")
def trained(
    videos: TinyDataset, frames: TinyDataset, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Runs of two passes on videos and on frames."""
    runs = {}
    for name, dataset in (("videos", videos), ("frames", frames)):
        runs[name] = tmp_path_factory.mktemp(name) / "run"
        train_here(
            dataset, runs[name], *TRAINING, "train.epochs=2", f"data.val.manifest={dataset.val}"
        )
    return runs


def same_weights(first: Path, second: Path) -> bool:
    ours, theirs = weights(first), weights(second)
    return all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


def test_training_learns_the_same(trained: dict[str, Path]) -> None:
    assert same_weights(trained["videos"], trained["frames"])


def test_a_resumed_run_ends_as_one_that_was_not_interrupted(
    trained: dict[str, Path], frames: TinyDataset, tmp_path: Path
) -> None:
    middle = trained["frames"] / "checkpoints" / "step-00000001"
    more = (*TRAINING, "train.epochs=2", f"data.val.manifest={frames.val}", "data.num_workers=1")
    log = train_here(frames, tmp_path / "run", *more, f"resume={middle}")
    assert [record["step"] for record in log if "val/top1" in record] == [2, 4]
    assert same_weights(tmp_path / "run", trained["frames"])


def predictions(output_dir: Path) -> list[list[float]]:
    table = pq.read_table(output_dir / "predictions.parquet")
    scores: list[list[float]] = table["scores"].to_pylist()
    return scores


def test_an_evaluation_has_the_same_scores(
    trained: dict[str, Path], videos: TinyDataset, frames: TinyDataset, tmp_path: Path
) -> None:
    """With a rate that only the frames need, since the clips count seconds."""
    shared = (
        f"checkpoint={trained['videos'] / 'last'}",
        "data.num_workers=0",
        "clip.frames_per_second=9",
    )
    for dataset, more in ((videos, []), (frames, ["data.frame_rate=12"])):
        arguments = [
            f"data.val.manifest={dataset.val}",
            f"output_dir={tmp_path / dataset.folder.name}",
        ]
        succeed(run_forked("evaluate", *shared, *arguments, *more))
    assert predictions(tmp_path / frames.folder.name) == predictions(tmp_path / videos.folder.name)
    first = frames.folder / read_manifest(frames.val)[0][0]
    arguments = [f"data.val.manifest={frames.val}", f"output_dir={tmp_path / 'other'}"]
    assert error_line(run_forked("evaluate", *shared, *arguments, "data.on_error=skip")) == (
        f"{frames.val}, line 2: {first}: {NEEDS_RATE}"
    )


def test_a_missing_picture_ends_the_run_or_is_skipped(
    trained: dict[str, Path], frames: TinyDataset, tmp_path: Path
) -> None:
    copy = shutil.copytree(frames.folder, tmp_path / "copy")
    folder = copy / read_manifest(frames.val)[3][0]
    (folder / "frame_0000000004.png").unlink()
    reason = "frame_0000000004.png is missing: numbers go from 1 to 12"
    arguments = [
        f"checkpoint={trained['frames'] / 'last'}",
        f"data.val.manifest={copy / 'val.csv'}",
    ]
    arguments += ["data.num_workers=1"]
    line = error_line(run_forked("evaluate", *arguments, f"output_dir={tmp_path / 'a'}"))
    assert line == f"{folder}: {reason}"
    skip = (f"output_dir={tmp_path / 'b'}", "data.on_error=skip")
    succeed(run_forked("evaluate", *arguments, *skip))
    assert json.loads((tmp_path / "b" / SKIPPED_FILE).read_text()) == {
        "path": str(folder),
        "reason": reason,
    }
    assert json.loads((tmp_path / "b" / "metrics.json").read_text())["num_failed"] == 1


def test_windows_have_the_same_features_and_seconds(
    trained: dict[str, Path], videos: TinyDataset, frames: TinyDataset, tmp_path: Path
) -> None:
    shared = [f"checkpoint={trained['videos'] / 'last'}", "data.num_workers=0"]
    shared += ["features.window_seconds=0.5", "features.stride_seconds=0.2"]
    for name, dataset, more in (("v", videos, []), ("f", frames, ["data.frame_rate=12"])):
        arguments = [f"data.manifest={dataset.val}", f"output_dir={tmp_path / name}", *more]
        succeed(run_forked("extract_features", *shared, *arguments))
    index = [pq.read_table(tmp_path / name / "index.parquet") for name in "vf"]
    files = [table["features"].to_pylist() for table in index]
    for video, clip in zip(*files, strict=True):
        ours, theirs = load_file(tmp_path / "f" / clip), load_file(tmp_path / "v" / video)
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    arguments = [f"data.manifest={frames.val}", f"output_dir={tmp_path / 'other'}"]
    line = error_line(run_forked("extract_features", *shared, *arguments))
    assert line.endswith(NEEDS_RATE)
    again = ["data.frame_rate=24", f"data.manifest={frames.val}", f"output_dir={tmp_path / 'f'}"]
    assert "6 extracted, 0 were there" in succeed(run_forked("extract_features", *shared, *again))


def test_pretraining(videos: TinyDataset, frames: TinyDataset, tmp_path: Path) -> None:
    for dataset in (videos, frames):
        arguments = [
            *TINY_PRETRAINING_ARGUMENTS,
            f"data.train.manifest={dataset.train}",
            f"output_dir={tmp_path / dataset.folder.name}",
            *("train.epochs=1", "train.batch_size=6", "data.num_workers=0", "trackers=[]"),
        ]
        succeed(run_forked("pretrain", *arguments))
    assert same_weights(*(tmp_path / dataset.folder.name for dataset in (videos, frames)))
    archive = frames.folder / read_manifest(frames.val)[1][0]
    checkpoint = f"checkpoint={tmp_path / frames.folder.name / 'last'}"
    films = run_forked("visualize_mae", checkpoint, archive, f"output_dir={tmp_path / 'films'}")
    assert error_line(films) == f"{archive}: its frames are pictures, which have no times"


def test_predict_takes_an_archive_and_searches_a_folder(
    trained: dict[str, Path], videos: TinyDataset, frames: TinyDataset, tmp_path: Path
) -> None:
    checkpoint = f"checkpoint={trained['frames'] / 'last'}"
    archive, video = (d.folder / read_manifest(d.val)[1][0] for d in (frames, videos))
    folder = frames.folder / read_manifest(frames.val)[0][0]
    output = succeed(run_forked("predict", checkpoint, archive, video, "json_lines=true"))
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert lines[0]["classes"] == lines[1]["classes"]
    assert error_line(run_forked("predict", checkpoint, folder)) == (
        f"{folder}: no videos in this folder, nor in those below it; its pictures are the frames "
        "of a clip where a manifest names their folder"
    )
    timed = (checkpoint, archive, "clip.frames_per_second=9")
    assert error_line(run_forked("predict", *timed)) == f"{archive}: {NEEDS_RATE}"
    succeed(run_forked("predict", *timed, "data.frame_rate=12"))


INSPECT, SHARDS, INDEX = (
    ROOT / f"scripts/{name}.py" for name in ("inspect_videos", "make_shards", "index_shards")
)


def test_inspection(
    frames: TinyDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = frames.folder / read_manifest(frames.val)[0][0]
    twin = copy_renamed(folder, tmp_path / "twin")
    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / "frame_0000000002.png").unlink()
    rows = [(frames.folder / path, label) for path, label in read_manifest(frames.val)]
    label = rows[0][1]
    manifest = write_manifest(tmp_path / "m.csv", [*rows, (twin, label), (broken, label)])
    inspect = (INSPECT, manifest, tmp_path / "out", "data.num_workers=1")
    assert run_here(*inspect) == 0
    table = pq.read_table(tmp_path / "out/videos.parquet").to_pylist()
    assert [row["left_out"] for row in table[-2:]] == [
        "duplicate",
        "frame_0000000002.png is missing: numbers go from 1 to 12",
    ]
    first = table[0]
    assert (first["num_frames"], first["width"], first["height"]) == (12, 32, 32)
    assert (first["codec"], first["frames_per_second"], first["duration_seconds"]) == (
        *("png", None),
        None,
    )
    assert first["size_bytes"] == sum(file.stat().st_size for file in folder.iterdir())
    assert "8 files examined now" in capsys.readouterr().out
    assert run_here(*inspect) == 0
    assert "1 files examined now" in capsys.readouterr().out  # what could not be read, again
    assert run_here(*inspect, "data.frame_rate=12", "decode=true") == 0
    assert "8 files examined now" in capsys.readouterr().out
    table = pq.read_table(tmp_path / "out/videos.parquet").to_pylist()
    assert (table[0]["frames_per_second"], table[0]["duration_seconds"]) == (12.0, 1.0)
    timed = write_manifest(tmp_path / "t.csv", [(folder, 0.5)], "path,start_seconds")
    assert run_here(INSPECT, timed, tmp_path / "timed") == 2
    assert f"t.csv, line 2: {folder}: {NEEDS_RATE}" in capsys.readouterr().err


def copy_renamed(folder: Path, target: Path) -> Path:
    """The same pictures, as another dataset would call them."""
    target.mkdir()
    for number, file in enumerate(sorted(folder.iterdir())):
        shutil.copy(file, target / f"{number}.png")
    return target


def test_shards_of_frames(trained: dict[str, Path], frames: TinyDataset, tmp_path: Path) -> None:
    """Folders become archives; the same bytes each time."""
    for name in ("a", "b"):
        assert run_here(SHARDS, frames.val, tmp_path / name, "--shard-videos", "4") == 0
    for shard in ("000000.tar", "000001.tar"):
        assert (tmp_path / "a" / shard).read_bytes() == (tmp_path / "b" / shard).read_bytes()
    assert run_here(INDEX, tmp_path / "index.csv", *sorted((tmp_path / "a").glob("*.tar"))) == 0
    checkpoint = f"checkpoint={trained['frames'] / 'last'}"
    manifests = {"files": frames.val, "shards": tmp_path / "a/manifest.csv"}
    manifests["index"] = tmp_path / "index.csv"
    scores = []
    for name, manifest in manifests.items():
        arguments = [f"data.val.manifest={manifest}", f"output_dir={tmp_path / name}"]
        succeed(run_forked("evaluate", checkpoint, *arguments, "data.num_workers=0"))
        scores.append(predictions(tmp_path / name))
    assert scores[0] == scores[1] == scores[2]
    timed = ("clip.frames_per_second=9", f"output_dir={tmp_path / 'timed'}")
    arguments = [f"data.val.manifest={manifests['shards']}", *timed]
    assert error_line(run_forked("evaluate", checkpoint, *arguments)).endswith(NEEDS_RATE)


def test_prepare_folder_finds_folders_and_archives(
    frames: TinyDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, prepare = tmp_path / "source", ROOT / "datasets/folder/prepare.py"
    shutil.copytree(frames.folder / "train", source)
    for archive in (*source.rglob("*.zip"), *source.rglob("*.tar")):
        shutil.rmtree(archive.with_suffix(""))
    assert run_here(prepare, source, tmp_path / "out", "frames=true", "val_share=0.5") == 0
    rows = read_manifest(tmp_path / "out/train.csv") + read_manifest(tmp_path / "out/val.csv")
    assert sorted(Path(path).suffix for path, _ in rows) == [""] * 4 + [".tar"] * 4 + [".zip"] * 4
    assert all(Path(path).parent.name == label for path, label in rows)
    assert run_here(prepare, source, tmp_path / "none", "frames=true", "images=true") == 2
    assert "images=true and frames=true: wanted one of them" in capsys.readouterr().err
    assert run_here(prepare, tmp_path / "out", tmp_path / "none", "frames=true") == 2
    assert "wanted one folder per class with folders of pictures in it" in capsys.readouterr().err


def test_lists_of_folders_may_have_the_number_of_pictures(
    frames: TinyDataset, tmp_path: Path
) -> None:
    """As mmaction2's lists of frames do."""
    rows = read_manifest(frames.val)
    lines = [f"{path} 12 {number}" for number, (path, _) in enumerate(rows)]
    (tmp_path / "list.txt").write_text("\n".join([*lines[:3], "none 12 0", f"{rows[3][0]} 3"]))
    prepare = ROOT / "datasets/lists/prepare.py"
    arguments = ["--train", tmp_path / "list.txt", "--root", frames.folder]
    assert run_here(prepare, tmp_path / "out", *arguments) == 0
    found = [(str(frames.folder / rows[number][0]), str(number)) for number in range(4)]
    assert read_manifest(tmp_path / "out/train.csv") == found
    with (tmp_path / "out/missing.csv").open(newline="") as file:
        assert [row["key"] for row in csv.DictReader(file)] == ["none 12"]
