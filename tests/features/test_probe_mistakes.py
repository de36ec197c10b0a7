"""Mistakes of `hiera-video probe`: one line each, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from hiera_video.commands.probe import ProbeRun, start
from hiera_video.config.machinery import parse_settings
from hiera_video.errors import UserError
from tests.features.labelled_features import clusters, write_features
from tests.support import cut_off

Change = Callable[[Path], object]


def refused(folder: Path, *more: str) -> str:
    """The message of a probing that is refused; paths begin below the test's folder."""
    output_dir = folder.parent / "out"
    arguments = [f"features={folder}", f"output_dir={output_dir}", "num_resamples=100", *more]
    with pytest.raises(UserError) as caught:
        start(parse_settings(ProbeRun, arguments))
    assert "\n" not in str(caught.value)
    assert not output_dir.exists()
    return str(caught.value).replace(f"{folder.parent}/", "")


@pytest.fixture
def features(tmp_path: Path) -> Path:
    videos, labels = clusters(15, spread=0.1)
    return write_features(tmp_path / "f", videos, labels)


@pytest.mark.parametrize(
    ("labels", "groups", "message"),
    [
        (None, None, "f/index.parquet: has no column label; extract again with a manifest"),
        (
            ["a", None, "b", "b"],
            None,
            "f/index.parquet: f/001.mp4 has no label, and probes need one of each",
        ),
        (
            ["a", "a|b", "b", "b"],
            None,
            "f/index.parquet: f/001.mp4 has the label 'a|b': several labels of a video, joined by "
            "|, are not supported by probes yet",
        ),
        (
            ["a", " a", "a\u200b", "a"],
            None,
            "f: all 4 videos are of one class, 'a'; wanted two classes or more",
        ),
        (
            ["a", "a", "b", "b"],
            ["1", "2", None, "2"],
            "f/index.parquet: f/002.mp4 has no group, and others have one",
        ),
        (
            ["a", "a", "b", "b"],
            ["1", "2", "1", "2"],
            "folds=5: f has 2 groups; wanted as many folds or fewer",
        ),
        (
            ["a", "b", "c", "d"],
            None,
            "folds=5: f has 4 videos; wanted as many folds or fewer",
        ),
    ],
)
def test_labels_and_groups(
    labels: list[str | None] | None, groups: list[str | None] | None, message: str, tmp_path: Path
) -> None:
    videos, _ = clusters(4, spread=0.1)
    assert refused(write_features(tmp_path / "f", videos, labels, groups)).startswith(message)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ["folds=6"],
            "folds=6: no class of f has more than 5 videos; wanted as many folds or fewer",
        ),
        (
            ["folds=groups"],
            "folds=groups: f has no groups; wanted a column group in the manifest, with two or "
            "more",
        ),
        (["folds=1"], "folds: wanted a number of at least 2, or `groups`, got 1"),
        (["folds=group"], "folds: wanted a number of at least 2, or `groups`, got 'group'"),
        (
            ["knn.k=[13]"],
            "knn.k=[13]: there are 9 videos to learn from; wanted a number of neighbours up to "
            "that",
        ),
        (["probes=[knn,knn]"], "probes: wanted each probe once, got ['knn', 'knn']"),
        (["probes=[svm]"], "probes.0: input should be 'knn', 'linear' or 'attentive', got 'svm'"),
        (["val_features=f"], "val_features=f: has no index.parquet; wanted a folder that"),
    ],
)
def test_settings(features: Path, more: list[str], message: str) -> None:
    assert message in refused(features, *more)


def test_folds_that_leave_one_class(tmp_path: Path) -> None:
    videos, _ = clusters(6, spread=0.1)
    labels, groups = ["a"] * 3 + ["b"] * 3, ["1", "1", "1", "2", "2", "2"]
    folder = write_features(tmp_path / "f", videos, labels, groups)
    assert refused(folder, "folds=groups") == (
        "f: fold 0 leaves videos of b class alone to learn from; wanted two classes or more"
    )


def write_other(folder: Path, width: int = 8, label: str = "2", **settings: str) -> Path:
    videos = [torch.ones(1, width)] * 2
    return write_features(folder.parent / "other", videos, ["2", label], **settings)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            lambda f: write_other(f, label="108"),
            "val_features=other: other/001.mp4 has the label '108', which no video of f has, did "
            "you mean 18?",
        ),
        (
            lambda f: write_other(f, weights="c3"),
            "val_features=other: has features of another checkpoint than features=f",
        ),
        (
            lambda f: write_other(f, layer="stage1"),
            "val_features=other: has features of another layer (stage1, not pooled) than "
            "features=f",
        ),
        (
            lambda f: write_other(f, width=6),
            "val_features=other: has features of another width (6, not 8) than features=f",
        ),
        (
            lambda f: f,
            "val_features=f: is the folder to learn from; leave it out for folds",
        ),
    ],
)
def test_features_to_test_on(features: Path, other: Callable[[Path], Path], message: str) -> None:
    assert refused(features, f"val_features={other(features)}") == message


def test_folds_and_features_to_test_on(features: Path) -> None:
    assert refused(features, f"val_features={write_other(features)}", "folds=5") == (
        "folds=5: with val_features, those are tested; leave one of them out"
    )


def replace(folder: Path, values: torch.Tensor, **settings: str) -> None:
    metadata = {"weights": "a1b2", "layer": "pooled", **settings}
    save_file({"features": values}, folder / "f/003.mp4.safetensors", metadata)


def replace_index(folder: Path, **columns: list[object]) -> None:
    pq.write_table(pa.table(columns), folder / "index.parquet")


FILE = "f/f/003.mp4.safetensors"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: (f / "f/003.mp4.safetensors").unlink(),
            f"{FILE}: cannot be read (",
        ),
        (
            lambda f: cut_off(f / "f/003.mp4.safetensors", f / "f/003.mp4.safetensors", share=0.9),
            f"{FILE}: cannot be read (",
        ),
        (
            lambda f: replace(f, torch.ones(2, 8)),
            f"{FILE}: wanted features [1, 8], as index.parquet says, found [2, 8]; extract again",
        ),
        (
            lambda f: replace(f, torch.full((1, 8), torch.nan)),
            f"{FILE}: has features that are not finite",
        ),
        (
            lambda f: replace(f, torch.ones(1, 8), weights="c3"),
            f"{FILE}: has features of another checkpoint than f/f/000.mp4.safetensors; extract "
            "again",
        ),
        (
            lambda f: (f / "index.parquet").unlink(),
            "features=f: has no index.parquet; wanted a folder that `hiera-video features` wrote "
            "to the end",
        ),
        (
            lambda f: (f / "index.parquet").write_text("path"),
            "f/index.parquet: cannot be read (",
        ),
        (
            lambda f: replace_index(f, path=["a"], label=["b"]),
            "f/index.parquet: is no index of features: it has no column features",
        ),
        (
            lambda f: replace_index(f, path=[], features=[], num_windows=[], shape=[], reason=[]),
            "f/index.parquet: lists no videos",
        ),
        (
            lambda f: write_features(f, [None, None], ["a", "b"]),
            "features=f: none of 2 videos has features",
        ),
    ],
)
def test_damage(features: Path, change: Change, message: str) -> None:
    change(features)
    assert refused(features).startswith(message)


def test_without_scikit_learn(features: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hiera_video.features.probes.find_spec", lambda _: None)
    assert refused(features) == (
        'probe: scikit-learn is not installed; `pip install "hiera-video[probe]"` installs it'
    )
