"""A tree of class folders becomes manifests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.datasets.preparation import DATASETS, complaint, prepare, rows, touch, write
from tests.support import run_script, succeed


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
    assert said == f"3 classes: 13 train, 3 val  -> {output}\n"
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
