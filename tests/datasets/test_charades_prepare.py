"""Charades' annotation files, made up: segments to train on, whole videos to test on."""

from __future__ import annotations

from pathlib import Path

import pytest

from hiera_video.data.label_sets import LabelSets
from hiera_video.data.manifest import Manifest
from tests.datasets.preparation import complaint, missing, prepare, touch, write

HEADER = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"
CLASSES = ["c000 Holding some clothes", "c001 Putting clothes somewhere", "c002 Smiling, at a book"]


def line(key: str, actions: str, length: str = "20.5") -> str:
    return f'{key},S1,Bedroom,6,7,Yes,"A person, at home.",bed,"Waits;sits.",{actions},{length}'


TRAIN = [
    HEADER,
    # An action that ends with the video, one that overlaps it, and one before both; one twice.
    line("AAAA1", "c000 10.00 25.00;c001 0.00 4.00;c002 12.50 15.00;c001 0.00 4.00"),
    line("BBBB2", ""),
    line("CCCC3", "c000 1.00 2.00;c001 1.00 2.00;c002 30.00 31.00;c002 5.00 5.00"),
    line("GONE4", "c000 1.00 2.00;c001 3.00 4.00"),
]
TEST = [HEADER, line("DDDD5", "c002 0.00 5.00;c000 1.00 9.00;c002 8.00 9.50"), line("EEEE6", "")]


def annotated(folder: Path, train: list[str]) -> Path:
    write(folder / "Charades_v1_train.csv", train)
    write(folder / "Charades_v1_test.csv", TEST)
    write(folder / "Charades_v1_classes.txt", CLASSES)
    return folder


def test_actions_become_segments_and_sets_of_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos, output = tmp_path / "videos", tmp_path / "data"
    touch(videos, *(f"{key}.mp4" for key in ("AAAA1", "BBBB2", "CCCC3", "DDDD5", "EEEE6")))
    assert prepare("charades", videos, annotated(tmp_path / "annotations", TRAIN), output) == 0
    labels = LabelSets()
    train = Manifest(output / "train.csv", targets=labels)
    assert labels.classes == [
        "Holding some clothes",
        "Putting clothes somewhere",
        "Smiling, at a book",
    ]
    train.check_files()
    rows = [train[index] for index in range(len(train))]
    assert [
        (row.file.stem, row.start_seconds, row.end_seconds, row.targets["labels"])
        for row in rows
        if isinstance(row.file, Path)
    ] == [
        ("AAAA1", 0, 4, [False, True, False]),
        ("AAAA1", 10, 20.5, [True, False, True]),
        ("AAAA1", 12.5, 15, [True, False, True]),
        ("BBBB2", 0, None, [False, False, False]),
        ("CCCC3", 1, 2, [True, True, False]),
    ]
    val = Manifest(output / "val.csv", targets=LabelSets(labels.classes))
    assert val.column("labels") == [[True, False, True]]
    assert val.segments == [(None, None)]
    # A file is missing once, however many segments it has.
    first = ("train", "GONE4", "Holding some clothes")
    assert missing(output) == [first]
    said = capsys.readouterr().out
    assert "3 classes: 5 train, 1 val" in said
    assert "1 of 5 files (20.0%) are missing: 1 train" in said
    assert "1 videos of the test have no action, and are left out" in said
    assert prepare("charades", videos, tmp_path / "annotations", output) == 0  # replaces its own


@pytest.mark.parametrize(
    ("actions", "length"),
    [
        ("c009 1.00 2.00", "20.5"),
        ("c000 1.00", "20.5"),
        ("c000 one 2.00", "20.5"),
        ("c000 -1.00 2.00", "20.5"),
        ("c000 1.00 2.00", "long"),
    ],
)
def test_what_is_no_action_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], actions: str, length: str
) -> None:
    folder = annotated(tmp_path / "annotations", [*TRAIN[:2], line("BAD", actions, length)])
    touch(tmp_path / "videos", "AAAA1.mp4")
    said = complaint(capsys, "charades", tmp_path / "videos", folder, tmp_path / "data")
    assert said == (
        f"{folder}/Charades_v1_train.csv, line 3: wanted actions such as 'c092 11.90 "
        f"21.20;c147 0.00 12.60' and a length in seconds, got {actions!r} and {length!r}"
    )
