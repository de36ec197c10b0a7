"""Demo videos in which an object moves in two ways at once (docs/tasks.md has a run on them)."""

from __future__ import annotations

from pathlib import Path

from hiera_video.commands.demo import DemoRun
from hiera_video.commands.demo import start as make_demo
from hiera_video.config.machinery import parse_settings
from hiera_video.preparation.demo_videos import CLASSES, PAIRS, DemoSettings


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
