"""Kinetics' annotation files, with their columns and their holes."""

from __future__ import annotations

from pathlib import Path

import pytest

from hiera_video.data.manifest import Manifest
from tests.datasets.preparation import complaint, contents, missing, prepare, rows, touch, write

TRAIN = [
    "label,youtube_id,time_start,time_end,split,is_cc",
    "testifying,---QUuC4vJs,84,94,train,0",
    "eating spaghetti,--3ouPhoy2A,20,30,train,0",
    '"massaging person\'s head",--4-0ihtnBU,58,68,train,1',
    "testifying,--7VUM9MKg4,131,141,train,0",
]
VAL = ["label,youtube_id,time_start,time_end,split", "testifying,--07WQ2iBlw,1,11,validate"]
TEST = ["youtube_id,time_start,time_end,split", "-bAIWQ2iBlw,7,17,test"]


def write_annotations(folder: Path) -> list[Path]:
    return [
        write(folder / f"{name}.csv", lines)
        for name, lines in (("train", TRAIN), ("val", VAL), ("test", TEST))
    ]


@pytest.mark.parametrize("in_folders", [True, False])
def test_annotations_become_manifests_of_the_videos_that_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], in_folders: bool
) -> None:
    videos, output = tmp_path / "videos", tmp_path / "data" / "kinetics400"
    folder = "train/testifying/" if in_folders else ""
    names = [f"{folder}---QUuC4vJs_000084_000094.mp4", f"{folder}--7VUM9MKg4_000131_000141.mkv"]
    others = ["--07WQ2iBlw_000001_000011.mp4", "-bAIWQ2iBlw_000007_000017.mp4"]
    touch(videos, *names, *others, "---QUuC4vJs_000000_000010.mp4", "notes.txt")
    assert prepare("kinetics", videos, output, "--annotations", *write_annotations(tmp_path)) == 0
    assert rows(output / "train.csv", videos) == [(name, "testifying", 2) for name in names]
    assert rows(output / "val.csv", videos) == [(others[0], "testifying", 2)]
    assert Manifest(output / "test.csv")[0].file == videos / others[1]
    # Classes are those of the annotations, whether their videos are there or not.
    classes = (output / "classes.txt").read_text().splitlines()
    assert classes == ["eating spaghetti", "massaging person's head", "testifying"]
    assert missing(output) == [
        ("train", "--3ouPhoy2A_000020_000030", "eating spaghetti"),
        ("train", "--4-0ihtnBU_000058_000068", "massaging person's head"),
    ]
    said = capsys.readouterr().out
    assert "3 classes: 2 train, 1 val, 1 test" in said
    assert "2 of 6 files (33.3%) are missing: 2 train" in said


def test_annotations_are_not_replaced_by_manifests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The dataset's own files have the names of manifests; ``test.csv`` was not even given."""
    touch(tmp_path, "videos/---QUuC4vJs_000084_000094.mp4")
    annotations = write_annotations(tmp_path)
    before = contents(tmp_path)
    arguments = ("kinetics", tmp_path / "videos", tmp_path, "--annotations")
    line = complaint(capsys, *arguments, *annotations[:2])
    assert (
        line == f"{annotations[0]}: is an input that an output would replace; name another folder"
    )
    copy = write(tmp_path / "elsewhere/train.csv", TRAIN)
    line = complaint(capsys, *arguments, copy)
    assert line.startswith(
        f"{annotations[0]}: would be replaced, but was not written by this command;"
    )
    copy.unlink()
    assert contents(tmp_path) == before


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    """Spreadsheets write one."""
    touch(tmp_path, "videos/---QUuC4vJs_000084_000094.mp4")
    csv = write(tmp_path / "train.csv", [f"\ufeff{TEST[0]}", "---QUuC4vJs,84,94,train"])
    assert prepare("kinetics", tmp_path / "videos", tmp_path / "out", "--annotations", csv) == 0


def test_a_list_of_missing_videos_goes_when_they_are_there(tmp_path: Path) -> None:
    videos, output = tmp_path / "videos", tmp_path / "out"
    csv = write(tmp_path / "train.csv", TRAIN[:3])
    touch(videos, "---QUuC4vJs_000084_000094.mp4")
    prepare("kinetics", videos, output, "--annotations", csv)
    assert len(missing(output)) == 1
    touch(videos, "--3ouPhoy2A_000020_000030.mp4")
    prepare("kinetics", videos, output, "--annotations", csv)
    assert not (output / "missing.csv").exists()
    assert len(rows(output / "train.csv", videos)) == 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["label,id", "a,b"],
            "wanted a header with youtube_id,time_start,time_end,split, got l",
        ),
        (
            [*TRAIN, "a,b,x,9,train,0"],
            "line 6: wanted youtube_id,time_start,time_end,split, got b,",
        ),
        ([*TRAIN, "a,b,1,9,dev,0"], "line 6: wanted youtube_id,time_start,time_end,split, got b,"),
        (TRAIN, "none of the 4 files in the annotations was found, such as ---QUuC4vJs_000084"),
    ],
)
def test_mistakes_end_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: list[str], message: str
) -> None:
    csv = write(tmp_path / "train.csv", lines)
    arguments = (tmp_path, tmp_path / "out", "--annotations", csv)
    assert message in complaint(capsys, "kinetics", *arguments)
    assert not (tmp_path / "out").exists()


def test_files_that_are_not_there_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv = tmp_path / "none.csv"
    arguments = (tmp_path, tmp_path / "out", "--annotations", csv)
    line = complaint(capsys, "kinetics", *arguments)
    assert line == f"{csv}: cannot be read (no such file or directory)"
    write(csv, TRAIN)
    arguments = (tmp_path / "nowhere", tmp_path / "out", "--annotations", csv)
    assert complaint(capsys, "kinetics", *arguments) == f"{tmp_path / 'nowhere'}: no such folder"
    assert "the following arguments are required: --annotations" in complaint(
        capsys, "kinetics", *arguments[:2]
    )
