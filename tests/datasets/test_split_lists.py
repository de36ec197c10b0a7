"""UCF101, HMDB51 and Something-Something v2: their own lists, in their own formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hiera_video.data.manifest import Manifest
from tests.datasets.preparation import complaint, missing, prepare, rows, touch, write


def test_ucf101(tmp_path: Path) -> None:
    splits, videos, output = tmp_path / "ucfTrainTestlist", tmp_path / "UCF-101", tmp_path / "o"
    write(splits / "classInd.txt", ["1 ApplyEyeMakeup", "2 ApplyLipstick", "3 HandstandPushups"])
    train = [
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi",
        "ApplyLipstick/v_ApplyLipstick_g9.avi",
    ]
    # The file's name spells this class otherwise than the list of classes.
    val = ["HandstandPushups/v_HandStandPushups_g01_c01.avi"]
    write(splits / "trainlist02.txt", [f"{train[0]} 1", f"{train[1]} 2"])
    write(splits / "testlist02.txt", val)
    touch(videos, *train, *val)
    assert prepare("ucf101", videos, splits, output, "--split", 2) == 0
    assert rows(output / "train.csv", videos) == [
        (train[0], "ApplyEyeMakeup", 0),
        (train[1], "ApplyLipstick", 1),
    ]
    assert rows(output / "val.csv", videos) == [(val[0], "HandstandPushups", 2)]


def test_a_list_of_classes_without_numbers_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "classInd.txt", ["1 ApplyEyeMakeup", "2,ApplyLipstick"])
    line = complaint(capsys, "ucf101", tmp_path, tmp_path, tmp_path / "out")
    assert line == f"{path}, line 2: wanted such as '1 ApplyEyeMakeup', got '2,ApplyLipstick'"


def test_hmdb51(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    splits, videos, output = tmp_path / "testTrainMulti_7030_splits", tmp_path / "v", tmp_path / "o"
    same = "#20_Rhythm_clap_u_nm_np1_fr_goo_0.avi"
    other = "April_09_brush_hair_u_nm_np1_ba_goo_0.avi"
    # The published lists end their lines with a space.
    brush = [f"{other} 1 ", f"{same} 2 ", "unused_brush_hair_u_cm_np1_ba_med_0.avi 0 "]
    write(splits / "brush_hair_test_split1.txt", brush)
    write(splits / "clap_test_split1.txt", [f"{same} 1 ", "gone_clap_u_nm_np1_fr_med_1.avi 2 "])
    write(splits / "clap_test_split2.txt", [f"{same} 2 "])
    touch(videos, f"brush_hair/{other}", f"brush_hair/{same}", f"clap/{same}")
    assert prepare("hmdb51", videos, splits, output) == 0
    assert rows(output / "train.csv", videos) == [
        (f"brush_hair/{other}", "brush_hair", 0),
        (f"clap/{same}", "clap", 1),
    ]
    assert rows(output / "val.csv", videos) == [(f"brush_hair/{same}", "brush_hair", 0)]
    assert missing(output) == [("val", "clap/gone_clap_u_nm_np1_fr_med_1", "clap")]

    line = complaint(capsys, "hmdb51", videos, splits, output, "--split", 3)
    assert line == f"{splits}: wanted files named CLASS_test_split3.txt, found none"
    write(splits / "clap_test_split3.txt", ["x.avi 7"])
    line = complaint(capsys, "hmdb51", videos, splits, output, "--split", 3)
    assert "clap_test_split3.txt, line 1: wanted NAME 0, 1 or 2, got x.avi 7" in line


LABELS = {
    "Throwing something": "2",
    "Holding something next to something": "0",
    "Poking a hole": "1",
}
TRAIN = [
    {
        "id": "78687",
        "label": "holding potato next to vicks vaporub bottle",
        "template": "Holding [something] next to [something]",
        "placeholders": ["potato", "vicks vaporub bottle"],
    },
    {
        "id": "42326",
        "label": "throwing a pen",
        "template": "Throwing [something]",
        "placeholders": [],
    },
]
VAL = [{"id": "9", "label": "poking a hole", "template": "Poking a hole", "placeholders": []}]


@pytest.mark.parametrize("prefix", ["", "something-something-v2-"])
def test_ssv2(tmp_path: Path, prefix: str) -> None:
    labels, videos, output = tmp_path / "labels", tmp_path / "videos", tmp_path / "out"
    contents: dict[str, Any] = {
        "labels": LABELS,
        "train": TRAIN,
        "validation": VAL,
        "test": [{"id": "1420"}],
    }
    for name, content in contents.items():
        write(labels / f"{prefix}{name}.json", content)
    path = labels / f"{prefix}labels.json"
    write(path, "\ufeff" + path.read_text())  # a byte order mark, as some editors add
    touch(videos, "78687.webm", "42326.mp4", "9.webm", "1420.webm")
    assert prepare("ssv2", videos, labels, output) == 0
    assert rows(output / "train.csv", videos) == [
        ("78687.webm", "Holding something next to something", 0),
        ("42326.mp4", "Throwing something", 2),
    ]
    assert rows(output / "val.csv", videos) == [("9.webm", "Poking a hole", 1)]
    assert Manifest(output / "test.csv")[0].file == videos / "1420.webm"


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("[", "train.json: cannot be read (expecting value"),
        (["78687"], "train.json: wanted objects with id and template, got 78687"),
        ("7", "train.json: wanted objects with id and template, got 7"),
        (
            [{"id": "1", "template": "Trowing [something]"}],
            "1: label 'Trowing something' is not one of the 3 classes, did you mean Throwing some",
        ),
    ],
)
def test_ssv2_mistakes_end_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], train: Any, message: str
) -> None:
    contents = {"labels": LABELS, "train": train, "validation": VAL}
    for name, content in contents.items():
        path = tmp_path / f"{name}.json"
        write(path, str(content).replace("'", '"') if isinstance(content, list) else content)
    assert message in complaint(capsys, "ssv2", tmp_path, tmp_path, tmp_path / "out")


@pytest.mark.parametrize("labels", ['["Poking a hole"]', '{"Poking a hole": "one"}'])
def test_ssv2_labels_need_indices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], labels: str
) -> None:
    path = write(tmp_path / "labels.json", labels)
    line = complaint(capsys, "ssv2", tmp_path, tmp_path, tmp_path / "out")
    assert line == f"{path}: wanted an object of names and their indices"
