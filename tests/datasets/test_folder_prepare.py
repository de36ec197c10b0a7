"""A tree of class folders becomes manifests."""

from __future__ import annotations

import errno
import os
from collections import Counter
from pathlib import Path

import pytest

from tests.datasets.preparation import DATASETS, complaint, contents, prepare, rows, touch, write
from tests.support import ROOT, run_here, run_script, succeed


def make_tree(root: Path) -> None:
    for name, count in (("pour", 10), ("stir", 5), ("wait", 1)):
        touch(root, *(f"{name}/day{index % 2}/{index}.MP4" for index in range(count)))
    touch(root, "pour/notes.txt", "pour/.hidden.mp4", "beside.mp4")
    (root / "empty").mkdir()


def test_the_split_is_stratified_and_complete(tmp_path: Path) -> None:
    videos, output = tmp_path / "videos", tmp_path / "out"
    make_tree(videos)
    script = DATASETS / "folder" / "prepare.py"
    said = succeed(run_script(script, videos, output, "--val-share", "0.2"))
    passed_over = "passed over: 1 .txt, 1 beside the class folders"
    assert said == f"{passed_over}\n3 classes: 13 train, 3 val  -> {output}\n"
    train, val = rows(output / "train.csv", videos), rows(output / "val.csv", videos)
    assert sorted(row[1] for row in val) == ["pour", "pour", "stir"]
    assert len({row[0] for row in train + val}) == 16
    assert (output / "classes.txt").read_text() == "pour\nstir\nwait\n"


def test_the_split_is_a_function_of_the_seed(tmp_path: Path) -> None:
    make_tree(tmp_path / "videos")
    splits = []
    for seed, output in ((0, "a"), (0, "b"), (1, "c")):
        prepare("folder", tmp_path / "videos", tmp_path / output, "--seed", seed)
        splits.append((tmp_path / output / "val.csv").read_text())
    assert splits[0] == splits[1] != splits[2]


def test_videos_of_a_group_stay_together(tmp_path: Path) -> None:
    videos, output = tmp_path / "videos", tmp_path / "out"
    touch(videos, *(f"a/s{session}_{take}.mp4" for session in range(6) for take in range(4)))
    touch(videos, "b/s0_0.mp4", "b/s0_1.mp4")
    prepare("folder", videos, output, "--group", r"^s\d+", "--val-share", 0.4)
    train, val = (
        {row[0].rpartition("_")[0] for row in rows(output / f"{split}.csv", videos)}
        for split in ("train", "val")
    )
    # Three whole sessions are the first to reach 40 % of 24 videos. The only one is trained on.
    assert not train & val
    assert len(val) == 3
    assert "b/s0" in train


def test_a_group_is_on_one_side_whatever_its_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As of actions that the same people were filmed at in the same minute."""
    videos, output = tmp_path / "videos", tmp_path / "out"
    names = (f"{label}/seq{number:02d}_{label}.avi" for label in "abcdef" for number in range(10))
    touch(videos, *names)
    for seed in range(5):
        prepare("folder", videos, output, "--group", r"seq\d+", "--seed", seed)
        train, val = (rows(output / f"{split}.csv", videos) for split in ("train", "val"))
        sequences = [{Path(row[0]).name[:5] for row in side} for side in (train, val)]
        assert not sequences[0] & sequences[1]
        assert Counter(row[1] for row in val) == dict.fromkeys("abcdef", 2)
        assert "10 groups: none is on both sides" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("zzz", "group=zzz: matches none of the 4 names"),
        ("^", "group=^: leaves nothing to validate on, since each class has one group only"),
    ],
)
def test_a_group_that_says_nothing_is_refused(
    group: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path / "videos", "a/1.mp4", "a/2.mp4", "b/1.mp4", "b/2.mp4")
    script = ROOT / "datasets/folder/prepare.py"
    assert run_here(script, tmp_path / "videos", tmp_path / "out", "--group", group) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_every_group_is_in_one_fold(tmp_path: Path) -> None:
    """And each fold has its part of each class, as far as whole groups allow."""
    videos, output = tmp_path / "videos", tmp_path / "out"
    touch(videos, *(f"a/s{s}_{take}.mp4" for s in range(10) for take in range(1 + s % 2)))
    touch(videos, *(f"b/s{s}_{take}.mp4" for s in range(5, 15) for take in range(2)))
    arguments = (videos, output, r"group=^s\d+", "folds=5", "seed=3")
    assert prepare("folder", *arguments) == 0
    everything = sorted(
        row[0] for split in ("train", "val") for row in rows(output / f"{split}.csv", videos)
    )
    validated: list[str] = []
    for fold in range(5):
        folder = output / f"fold_{fold}"
        train, val = (rows(folder / f"{split}.csv", videos) for split in ("train", "val"))
        assert sorted(row[0] for row in train + val) == everything
        sessions = [{Path(row[0]).name.split("_")[0] for row in side} for side in (train, val)]
        assert not sessions[0] & sessions[1]
        counts = Counter(row[1] for row in val)
        assert counts["b"] == 4
        assert 2 <= counts["a"] <= 4
        assert (folder / "classes.txt").read_text() == "a\nb\n"
        validated += [row[0] for row in val]
    assert sorted(validated) == everything

    before = contents(output)
    assert prepare("folder", *arguments) == 0
    assert contents(output) == before, "a function of names and seed"


def test_folds_without_groups_are_of_equal_size(tmp_path: Path) -> None:
    make_tree(tmp_path / "videos")
    assert prepare("folder", tmp_path / "videos", tmp_path / "out", "folds=4") == 0
    found = [rows(tmp_path / f"out/fold_{fold}/val.csv", tmp_path / "videos") for fold in range(4)]
    assert sorted(len(fold) for fold in found) == [4, 4, 4, 4]
    counts = [Counter(row[1] for row in fold) for fold in found]
    assert sorted(count["pour"] for count in counts) == [2, 2, 3, 3]
    assert sorted(count["stir"] for count in counts) == [1, 1, 1, 2]


def test_folds_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path / "videos", "a/s1_1.mp4", "a/s1_2.mp4", "a/s2_1.mp4", "b/s3_1.mp4")
    arguments = ("folder", tmp_path / "videos", tmp_path / "out", r"group=s\d+")
    line = complaint(capsys, *arguments, "folds=4")
    assert line == "folds=4: wanted at most as many as there are groups, 3"
    assert complaint(capsys, *arguments, "folds=1") == "folds: wanted at least 2, got 1"
    assert not (tmp_path / "out").exists()
    assert prepare(*arguments, "folds=3") == 0
    told = "warning: one group only, so that one fold validates on it and does not train on it: b"
    assert told in capsys.readouterr().out


def test_images_if_asked(tmp_path: Path) -> None:
    make_tree(tmp_path / "tree")
    touch(tmp_path, "tree/stir/a.JPEG", "tree/stir/b.png")
    prepare("folder", tmp_path / "tree", tmp_path / "out", "--images", "--val-share", 0)
    found = rows(tmp_path / "out/train.csv", tmp_path / "tree")
    assert found == [("stir/a.JPEG", "stir", 0), ("stir/b.png", "stir", 0)]
    assert not (tmp_path / "out/val.csv").exists()


def test_a_manifest_is_split_like_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, *(f"{label}/{index}.mp4" for label in "ab" for index in range(5)))
    lines = [f"{label}/{index}.mp4,{label}" for label in "ba" for index in range(4)]
    clean = write(tmp_path / "clean.csv", ["path,label", *lines])
    write(tmp_path / "classes.txt", ["b", "a", "empty"])
    assert prepare("folder", clean, tmp_path / "out") == 0
    train, val = (rows(tmp_path / f"out/{split}.csv", tmp_path) for split in ("train", "val"))
    assert sorted(f"{row[0]},{row[1]}" for row in train + val) == sorted(lines)
    assert [row[1:] for row in val] == [("b", 0), ("a", 1)]

    write(clean, ["path,label,start_seconds", "a/0.mp4,a,3"])
    assert "clean.csv: has rows with seconds" in complaint(
        capsys, "folder", clean, tmp_path / "out"
    )


def test_links_are_followed_and_kept(tmp_path: Path) -> None:
    touch(tmp_path, "store/blob1.mp4", "store/blob2.mp4")
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/run").symlink_to(tmp_path / "store", target_is_directory=True)
    prepare("folder", tmp_path / "videos", tmp_path / "out")
    train, val = (rows(tmp_path / f"out/{split}.csv", tmp_path) for split in ("train", "val"))
    assert sorted(row[0] for row in train + val) == ["videos/run/blob1.mp4", "videos/run/blob2.mp4"]


def test_links_that_lead_back_are_not_followed_for_ever(tmp_path: Path) -> None:
    touch(tmp_path, "videos/run/a.mp4", "videos/walk/b.mp4")
    (tmp_path / "videos/run/loop").symlink_to("..", target_is_directory=True)
    (tmp_path / "videos/walk/loop").symlink_to("..", target_is_directory=True)
    (tmp_path / "videos/also walk").symlink_to("walk", target_is_directory=True)
    prepare("folder", tmp_path / "videos", tmp_path / "out", "--val-share", 0)
    found = [row[0] for row in rows(tmp_path / "out/train.csv", tmp_path / "videos")]
    assert found == ["run/a.mp4", "walk/b.mp4"]


def test_a_name_that_no_manifest_can_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, "videos/a/1.mp4", os.fsdecode(b"videos/caf\xe9/1.mp4"))
    line = complaint(capsys, "folder", tmp_path / "videos", tmp_path / "out")
    path = rf"'{tmp_path}/videos/caf\udce9/1.mp4'"
    assert line == f"{path}: its name is not in UTF-8, as manifests are; rename it"
    assert not (tmp_path / "out").exists()


def test_what_is_hidden_is_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "videos/run/a.mp4", "videos/.Trash/b.mp4", "videos/run/.thumbnails/c.mp4")
    prepare("folder", tmp_path / "videos", tmp_path / "out", "--val-share", 0)
    assert (tmp_path / "out/classes.txt").read_text() == "run\n"
    assert len(rows(tmp_path / "out/train.csv", tmp_path)) == 1


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(tmp_path / "videos")
    locked, scandir = str(tmp_path / "videos/pour"), os.scandir

    def refuse(path: str) -> object:
        if path == locked:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read everything
    line = complaint(capsys, "folder", tmp_path / "videos", tmp_path / "out")
    assert line == f"{locked}: cannot be read (permission denied)"


@pytest.mark.parametrize("name", ["train.csv", "test.csv"])
def test_a_manifest_is_not_replaced_by_its_own_parts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    touch(tmp_path, *(f"a/{index}.mp4" for index in range(5)))
    given = write(tmp_path / name, ["path,label", *(f"a/{index}.mp4,a" for index in range(5))])
    before = contents(tmp_path)
    line = complaint(capsys, "folder", given, tmp_path)
    assert line == f"{given}: is an input that an output would replace; name another folder"
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("train.csv", ["a.mp4 3"]),
        ("train.csv", ["path,label", "a.mp4,run"]),
        ("test.csv", ["path,label,start_seconds", "a.mp4,run,3"]),
        ("missing.csv", ["path,label"]),
        ("classes.txt", ["stir", "pour", "wait"]),
    ],
)
def test_files_that_no_earlier_run_wrote_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, lines: list[str]
) -> None:
    make_tree(tmp_path / "videos")
    own = write(tmp_path / "out" / name, lines)
    line = complaint(capsys, "folder", tmp_path / "videos", tmp_path / "out")
    assert (
        line
        == f"{own}: would be replaced, but was not written by this command; name another folder"
    )
    assert contents(tmp_path / "out") == {name: own.read_bytes()}


def test_files_of_an_earlier_run_are_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_tree(tmp_path / "videos")
    prepare("folder", tmp_path / "videos", tmp_path / "out")
    touch(tmp_path, "videos/shake/1.mp4")
    before = contents(tmp_path / "out")
    # But not one that would not be written again: it may be the user's own.
    arguments = ("folder", tmp_path / "videos", tmp_path / "out", "--val-share", 0)
    val = tmp_path / "out/val.csv"
    told = "exists, but this run would not replace it; remove it, or name another folder"
    assert complaint(capsys, *arguments) == f"{val}: {told}"
    assert contents(tmp_path / "out") == before
    val.unlink()
    assert prepare(*arguments) == 0
    classes = (tmp_path / "out/classes.txt").read_text().splitlines()
    assert classes == ["pour", "shake", "stir", "wait"]


def test_mistakes_end_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ((tmp_path / "none", tmp_path / "out"), "no such folder"),
        ((tmp_path / "empty", tmp_path / "out"), "wanted one folder per class"),
        ((tmp_path, tmp_path / "out", "--val-share", "1.5"), "--val-share=1.5: wanted a share"),
        ((tmp_path, tmp_path / "out", "--group", "("), "--group=(: is no regular expression"),
    ):
        assert message in complaint(capsys, "folder", *arguments)
    assert not (tmp_path / "out").exists()
