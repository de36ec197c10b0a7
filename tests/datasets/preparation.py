"""Running a preparation script as users do, and reading what it wrote."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from hiera_video.data.class_labels import ClassLabels
from hiera_video.data.manifest import Manifest
from tests.support import ROOT, files_below, run_here

DATASETS = ROOT / "datasets"


def prepare(dataset: str, *arguments: object) -> int:
    """Run ``datasets/DATASET/prepare.py``; its exit status."""
    return run_here(DATASETS / dataset / "prepare.py", *arguments)


def complaint(capsys: pytest.CaptureFixture[str], dataset: str, *arguments: object) -> str:
    """The one line that a mistake ends in."""
    assert prepare(dataset, *arguments) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    return errors.removeprefix("prepare.py: error: ").rstrip("\n")


def touch(root: Path, *names: str) -> None:
    """Empty files below ``root``: preparation does not open videos."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def write(path: Path, content: Any) -> Path:
    """Text, or lines of a text, or JSON."""
    if isinstance(content, list) and all(isinstance(line, str) for line in content):
        content = "".join(f"{line}\n" for line in content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all files below a folder."""
    return {name: (folder / name).read_bytes() for name in files_below(folder)}


def rows(path: Path, root: Path) -> list[tuple[str, str, int]]:
    """Path below ``root``, class and index of each row, read as training reads them."""
    labels = ClassLabels()
    manifest = Manifest(path, targets=labels)
    manifest.check_files()
    read = [manifest[index] for index in range(len(manifest))]
    return [
        (row.local_file.relative_to(root).as_posix(), labels.classes[index], index)
        for row, index in zip(read, manifest.column("labels"), strict=True)
    ]


def missing(folder: Path) -> list[tuple[str, ...]]:
    """What ``missing.csv`` lists."""
    with (folder / "missing.csv").open(newline="", encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    assert header == ["split", "key", "label"]
    return [tuple(line) for line in lines]
