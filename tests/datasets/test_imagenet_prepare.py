"""ImageNet's folders, solution and words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.datasets.preparation import complaint, prepare, rows, touch, write

TRAIN = ["train/n03126707/n03126707_1.JPEG", "train/n02012849/n02012849_7.JPEG"]
WORDS = ["n02012849 crane", "n01440764 tench, Tinca tinca", "n03126707 crane"]
SOLUTION = [
    "ImageId,PredictionString",
    "ILSVRC2012_val_00048981,n03126707 85 1 499 272 ",
    "ILSVRC2012_val_00037956,n02012849 131 0 499 254 n02012849 1 2 3 4 ",
]


def test_folders_alone_give_synsets(tmp_path: Path) -> None:
    touch(tmp_path, *TRAIN, "val/n03126707/ILSVRC2012_val_00048981.JPEG")
    assert prepare("imagenet", tmp_path, tmp_path / "out") == 0
    assert rows(tmp_path / "out/train.csv", tmp_path) == [
        (TRAIN[1], "n02012849", 0),
        (TRAIN[0], "n03126707", 1),
    ]
    val = rows(tmp_path / "out/val.csv", tmp_path)
    assert val == [("val/n03126707/ILSVRC2012_val_00048981.JPEG", "n03126707", 1)]


def test_words_and_solution(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, *TRAIN, "train/n01440764/n01440764_3.JPEG")
    touch(tmp_path, "val/ILSVRC2012_val_00037956.JPEG", "val/ILSVRC2012_val_00048981.JPEG")
    words = write(tmp_path / "LOC_synset_mapping.txt", WORDS)
    solution = write(tmp_path / "LOC_val_solution.csv", SOLUTION)
    arguments = (tmp_path, tmp_path / "out", "--words", words, "--val-solution", solution)
    assert prepare("imagenet", *arguments) == 0
    classes = (tmp_path / "out/classes.txt").read_text().splitlines()
    assert classes == ["tench, Tinca tinca", "crane (n02012849)", "crane (n03126707)"]
    assert [row[1:] for row in rows(tmp_path / "out/train.csv", tmp_path)] == [
        ("tench, Tinca tinca", 0),
        ("crane (n02012849)", 1),
        ("crane (n03126707)", 2),
    ]
    assert [row[2] for row in rows(tmp_path / "out/val.csv", tmp_path)] == [1, 2]

    touch(tmp_path, "val/ILSVRC2012_val_00000001.JPEG")
    line = complaint(capsys, "imagenet", *arguments)
    assert line == f"{solution}: has no line for ILSVRC2012_val_00000001.JPEG"
    line = complaint(capsys, "imagenet", *arguments[:2])
    assert "label 'val' is not one of the 3 classes" in line
    (tmp_path / "val/ILSVRC2012_val_00000001.JPEG").unlink()
    write(words, ["n01440764"])
    line = complaint(capsys, "imagenet", *arguments)
    assert line == (
        f"{words}, line 1: wanted such as 'n01440764 tench, Tinca tinca', got 'n01440764'"
    )
    write(words, WORDS[:2])
    assert complaint(capsys, "imagenet", *arguments) == f"{words}: has no line for n03126707"
