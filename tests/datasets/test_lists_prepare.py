"""``path label`` lists become manifests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.datasets.preparation import complaint, missing, prepare, rows, touch, write


def test_indices_into_a_list_of_classes(tmp_path: Path) -> None:
    """PySlowFast's: absolute or relative paths, spaces in them, an index."""
    touch(tmp_path, "videos/a b.mp4", "videos/c.mp4", "videos/d.mp4")
    train = write(tmp_path / "train.csv", ["a b.mp4 1", "gone.mp4 0"])
    val = write(tmp_path / "val.csv", [f"{tmp_path}/videos/c.mp4 0", f"{tmp_path}/videos/d.mp4 1"])
    classes = write(tmp_path / "names.txt", ["run", "jump"])
    output = tmp_path / "out"
    lists = ("--train", train, "--val", val, "--classes", classes)
    assert prepare("lists", output, *lists, "--root", tmp_path / "videos") == 0
    assert rows(output / "train.csv", tmp_path) == [("videos/a b.mp4", "jump", 1)]
    assert rows(output / "val.csv", tmp_path) == [
        ("videos/c.mp4", "run", 0),
        ("videos/d.mp4", "jump", 1),
    ]
    assert missing(output) == [("train", "gone.mp4", "run")]


def test_paths_are_relative_to_the_manifest_or_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "work/out/a.mp4", "beside/b.mp4")
    monkeypatch.chdir(tmp_path / "work")
    train = write(tmp_path / "list.txt", ["out/a.mp4 0", "../beside/b.mp4 1"])
    assert prepare("lists", "../work/out", "--train", train) == 0
    lines = (tmp_path / "work/out/train.csv").read_text().splitlines()
    assert lines == ["path,label", "a.mp4,0", f"{tmp_path}/beside/b.mp4,1"]


@pytest.mark.parametrize(
    ("labels", "classes"), [(["10", "9", "10"], ["9", "10"]), (["b", "a", "b"], ["a", "b"])]
)
def test_without_class_names(tmp_path: Path, labels: list[str], classes: list[str]) -> None:
    names = ["x.mp4", "y.mp4", "z.mp4"]
    touch(tmp_path, *names)
    lines = [f"{name},{label}" for name, label in zip(names, labels, strict=True)]
    train = write(tmp_path / "list.txt", lines)
    arguments = ("--train", train, "--root", tmp_path, "--separator", ",")
    assert prepare("lists", tmp_path / "out", *arguments) == 0
    assert (tmp_path / "out/classes.txt").read_text().splitlines() == classes
    assert [row[1] for row in rows(tmp_path / "out/train.csv", tmp_path)] == labels


def test_byte_order_marks_and_classes_in_place(tmp_path: Path) -> None:
    """Classes that stand where they are to be written are kept in their order."""
    touch(tmp_path, "a.mp4", "b.mp4")
    train = write(tmp_path / "list.txt", "\ufeffa.mp4 1\nb.mp4 0\n")
    classes = write(tmp_path / "out/classes.txt", "\ufeffrun\njump\n")
    arguments = ("--train", train, "--root", tmp_path, "--classes", classes)
    assert prepare("lists", tmp_path / "out", *arguments) == 0
    assert rows(tmp_path / "out/train.csv", tmp_path) == [("a.mp4", "jump", 1), ("b.mp4", "run", 0)]
    assert classes.read_text() == "run\njump\n"


def test_lists_are_not_replaced_by_manifests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, "a.mp4")
    train = write(tmp_path / "train.csv", ["a.mp4 0"])
    line = complaint(capsys, "lists", tmp_path, "--train", train, "--root", tmp_path)
    assert line == f"{train}: is an input that an output would replace; name another folder"
    assert train.read_text() == "a.mp4 0\n"


def test_mistakes_end_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    assert "no lines to read: give train, val or test a list" in complaint(capsys, "lists", output)
    path = write(tmp_path / "list.txt", ["a.mp4 0", "b.mp4"])
    line = complaint(capsys, "lists", output, "--val", path)
    assert line == f"{path}, line 2: wanted a path and a label, got b.mp4"
    write(path, ["a.mp4 2"])
    classes = write(tmp_path / "names.txt", ["run", "jump"])
    line = complaint(capsys, "lists", output, "--val", path, "--classes", classes)
    assert line == f"{path}, line 1: label 2 is past the 2 classes"
    line = complaint(capsys, "lists", output, "--val", path, "--classes", tmp_path / "none.txt")
    assert line == f"{tmp_path / 'none.txt'}: cannot be read (no such file or directory)"
    classes.write_bytes(b"\xff\xfer\x00u\x00n\x00")
    line = complaint(capsys, "lists", output, "--val", path, "--classes", classes)
    assert line.startswith(f"{classes}: cannot be read ('utf-8' codec can't decode byte 0xff")
    line = complaint(capsys, "lists", output, "--val", path, "--separator", "")
    assert line == "--separator: wanted at least one character"
