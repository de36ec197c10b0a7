"""Several labels in a row: their targets, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from hiera_video.data.class_labels import ClassLabels
from hiera_video.data.label_sets import LabelSets, WrittenLabels
from hiera_video.data.manifest import Manifest
from hiera_video.errors import ManifestError
from tests.support import write_manifest


def read(folder: Path, *cells: str, classes: str | None = None) -> tuple[Manifest, LabelSets]:
    """A manifest with these cells; ``classes.txt`` beside it."""
    if classes is not None:
        (folder / "classes.txt").write_text(classes)
    rows = [(f"{index}.mp4", cell) for index, cell in enumerate(cells)]
    labels = LabelSets()
    return Manifest(write_manifest(folder / "videos.csv", rows), targets=labels), labels


def test_a_row_has_any_number_of_labels(tmp_path: Path) -> None:
    manifest, labels = read(tmp_path, "walk|talk", "talk", "walk", "talk| walk ", "talk|talk")
    assert labels.classes == ["talk", "walk"]
    assert labels.order_is_assumed
    assert manifest.column("labels") == [
        [True, True],
        [True, False],
        [False, True],
        [True, True],
        [True, False],
    ]
    assert manifest.target_array("labels").tolist() == manifest.column("labels")
    assert manifest[1].targets == {"labels": [True, False]}


def test_a_list_of_classes_gives_order_and_allows_rows_without_labels(tmp_path: Path) -> None:
    manifest, labels = read(tmp_path, "walk", "", " ", classes="walk\nsit\ntalk\n")
    assert labels.classes == ["walk", "sit", "talk"]
    assert not labels.order_is_assumed
    assert manifest.target_array("labels").sum(1).tolist() == [1, 0, 0]


def test_spellings_are_doubted(tmp_path: Path) -> None:
    _, labels = read(tmp_path, "walk|Walk", "walk")
    (warning,) = labels.warnings
    assert "'Walk' (1), 'walk' (2)" in warning


@pytest.mark.parametrize(
    ("cells", "classes", "message"),
    [
        (
            ["walk", ""],
            None,
            "videos.csv, line 3: has no label; that a video shows none of the classes can be said "
            "where a classes.txt beside the manifest lists them",
        ),
        (["walk", "walk|"], None, "videos.csv, line 3: label 'walk|' has an empty name between"),
        (
            ["walk", "talk|wolk"],
            "walk\ntalk\n",
            "videos.csv, line 3: label 'wolk' is not one of the 2 classes, did you mean walk?",
        ),
        (
            ["walk"],
            "walk\nstand|sit\n",
            "videos.csv: the class 'stand|sit' has a | in its name, which separates the labels",
        ),
    ],
)
def test_what_is_refused(
    tmp_path: Path, cells: list[str], classes: str | None, message: str
) -> None:
    with pytest.raises(ManifestError) as error:
        read(tmp_path, *cells, classes=classes)
    assert message in str(error.value)


def test_one_label_says_which_task_takes_several(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "videos.csv", [("a.mp4", "walk|talk")])
    with pytest.raises(ManifestError, match=r"line 2: label 'walk\|talk': several labels in a row"):
        Manifest(path, targets=ClassLabels())


@pytest.mark.parametrize(
    ("cells", "classes", "written"),
    [
        (["walk", " talk"], None, ["walk", "talk"]),
        (["walk|talk", "walk"], None, ["talk|walk", "walk"]),
        (["sit|stand", "walk"], "walk\nsit|stand\n", ["sit|stand", "walk"]),
        (["walk|talk", ""], "walk\ntalk\n", ["walk|talk", ""]),
    ],
)
def test_labels_are_passed_on_as_text(
    tmp_path: Path, cells: list[str], classes: str | None, written: list[str]
) -> None:
    if classes is not None:
        (tmp_path / "classes.txt").write_text(classes)
    rows = [(f"{index}.mp4", cell) for index, cell in enumerate(cells)]
    path = write_manifest(tmp_path / "videos.csv", rows)
    assert Manifest(path, targets=WrittenLabels()).column("written") == written
