"""A tree of class folders becomes manifests."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "datasets" / "folder" / "prepare.py"


def prepare(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def make_tree(root: Path) -> None:
    for name, count in (("pour", 10), ("stir", 5), ("wait", 1)):
        for index in range(count):
            path = root / name / f"day{index % 2}" / f"{index}.MP4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (root / "pour" / "notes.txt").touch()
    (root / "empty").mkdir()


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_split_is_stratified_and_complete(tmp_path: Path) -> None:
    make_tree(tmp_path / "videos")
    done = prepare(tmp_path / "videos", tmp_path / "out", "--val-share", "0.2")
    assert done.returncode == 0, done.stderr
    assert "3 classes, 13 training and 3 validation videos" in done.stdout
    train, val = read(tmp_path / "out/train.csv"), read(tmp_path / "out/val.csv")
    assert sorted(row["label"] for row in val) == ["pour", "pour", "stir"]
    paths = [row["path"] for row in train + val]
    assert len(set(paths)) == 16
    assert all(Path(path).is_absolute() and Path(path).is_file() for path in paths)
    assert (tmp_path / "out/classes.txt").read_text() == "pour\nstir\nwait\n"


def test_the_split_is_a_function_of_the_seed(tmp_path: Path) -> None:
    make_tree(tmp_path / "videos")
    splits = []
    for seed, output in ((0, "a"), (0, "b"), (1, "c")):
        prepare(tmp_path / "videos", tmp_path / output, "--seed", seed)
        splits.append((tmp_path / output / "val.csv").read_text())
    assert splits[0] == splits[1] != splits[2]


def test_mistakes_end_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ((tmp_path / "none", tmp_path / "out"), "no such folder"),
        ((tmp_path / "empty", tmp_path / "out"), "wanted one folder per class"),
        ((tmp_path, tmp_path / "out", "--val-share", "1.5"), "--val-share=1.5: wanted a share"),
    ):
        done = prepare(*arguments)
        assert done.returncode == 2
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
