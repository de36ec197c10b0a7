"""Numbers of a row: how they are read and normalised, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hiera_video.data.manifest import Manifest
from hiera_video.data.target_numbers import TargetNumbers
from hiera_video.errors import ManifestError
from tests.support import write_manifest

HEADER = "path,height,age"


def test_numbers_are_normalised_by_the_first_manifest(tmp_path: Path) -> None:
    rows = [("a.mp4", " 1.5", "3e2"), ("b.mp4", "-1.5", "100")]
    targets = TargetNumbers(["age", "height"])
    first = Manifest(write_manifest(tmp_path / "train.csv", rows, HEADER), targets=targets)
    assert first.column("values") == [[300, 1.5], [100, -1.5]]
    assert first.column("normalized") == [[1, 1], [-1, -1]]
    assert targets.statistics is not None
    assert (targets.statistics.mean, targets.statistics.deviation) == ((200, 0), (100, 1.5))
    other = write_manifest(tmp_path / "val.csv", [("c.mp4", "3", "200")], HEADER)
    second = Manifest(other, targets=targets)
    assert second[0].targets == {"values": [200, 3], "normalized": [0, 2]}
    restored = targets.statistics.restore(second.target_array("normalized"))
    assert restored.tolist() == second.column("values")


def test_numbers_that_are_all_the_same_stay_finite(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "train.csv", [("a.mp4", 7), ("b.mp4", 7)], "path,label")
    assert np.all(Manifest(path, targets=TargetNumbers(["label"])).target_array("normalized") == 0)


@pytest.mark.parametrize(
    ("height", "message"),
    [
        ("tall", "train.csv, line 3: height='tall' is not a number"),
        ("1,8", "train.csv, line 3: height='1,8' is not a number"),
        ("nan", "train.csv, line 3: height='nan' is not a number"),
        ("inf", "train.csv, line 3: height='inf' is not a number"),
        (" ", "train.csv, line 3: has no height"),
    ],
)
def test_what_is_no_number_is_named_with_its_line(
    tmp_path: Path, height: str, message: str
) -> None:
    rows = [("a.mp4", "1.8", "3"), ("b.mp4", height, "3")]
    path = write_manifest(tmp_path / "train.csv", rows, HEADER)
    with pytest.raises(ManifestError) as error:
        Manifest(path, targets=TargetNumbers(["height", "age"]))
    assert str(error.value).endswith(message)


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "train.csv", [("a.mp4", "1.8", "3")], HEADER)
    with pytest.raises(ManifestError, match="wanted a header with path,weight"):
        Manifest(path, targets=TargetNumbers(["weight"]))
