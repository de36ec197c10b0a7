"""Several labels at once, learned from videos: what moves in two ways, and in which."""

from __future__ import annotations

from pathlib import Path

import pytest

from hiera_video.commands.demo import DemoRun
from hiera_video.commands.demo import start as make_demo
from hiera_video.config.machinery import parse_settings
from hiera_video.preparation.demo_videos import CLASSES, PAIRS, DemoSettings
from hiera_video.training.run import train
from hiera_video.training.settings import TrainRun
from tests.support import ROOT, logged


def test_every_four_pairs_show_every_class_once() -> None:
    for first in range(0, len(PAIRS), 4):
        shown = [name for pair in PAIRS[first : first + 4] for name in pair]
        assert sorted(shown) == sorted(CLASSES)
    assert len({frozenset(pair) for pair in PAIRS}) == len(PAIRS) == 24
    assert all(CLASSES[one][0] != CLASSES[other][0] for one, other in PAIRS)


def test_a_dataset_of_two_motions_says_so(tmp_path: Path) -> None:
    arguments = [str(tmp_path / "demo"), "num_train=8", "num_val=8", "size=32", "motions=2"]
    make_demo(parse_settings(DemoRun, arguments))
    lines = (tmp_path / "demo" / "train.csv").read_text().splitlines()
    assert lines[1] == "videos/train/moving_left+moving_up/00000.mp4,moving_left|moving_up"
    # One motion is recorded as it was before there could be two.
    one = DemoSettings(8, 8, 0, 32, 24, 15).recorded()
    assert "motions" not in one
    assert DemoSettings(8, 8, 0, 32, 24, 15, motions=2).recorded() == {**one, "motions": 2}


@pytest.mark.long
def test_two_motions_at_once_are_told(tmp_path: Path) -> None:
    """Half an hour on two cores."""
    demo = tmp_path / "demo"
    make_demo(parse_settings(DemoRun, [str(demo), "num_train=1440", "num_val=240", "motions=2"]))
    arguments = [
        "--config",
        str(ROOT / "configs" / "demo" / "finetune.yaml"),
        "task=multi_label",
        f"data.train.manifest={demo / 'train.csv'}",
        f"data.val.manifest={demo / 'val.csv'}",
        f"output_dir={tmp_path / 'run'}",
        "model.embed_dim=32",
        "model.depths=[1,1,2,1]",
        "train.epochs=24",
        "train.validate_epochs=4",
        "optimizer.lr=1e-3",
        "trackers=[]",
    ]
    train(parse_settings(TrainRun, arguments))
    assert max(logged(tmp_path / "run", "val/map")) >= 0.95
