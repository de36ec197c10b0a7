"""Two processes give what one gives, for every task and order."""

from __future__ import annotations

from pathlib import Path

import pytest

from hiera_video.commands.evaluate import EvaluateRun
from hiera_video.commands.evaluate import start as evaluate
from hiera_video.config.machinery import parse_settings
from hiera_video.training.run import train
from hiera_video.training.settings import TrainRun
from tests.distributed.test_two_processes import difference, run_two
from tests.support import (
    TINY_ARGUMENTS,
    TinyDataset,
    copy_dataset,
    files_below,
    read_log,
    read_manifest,
    weights,
    write_manifest,
)


@pytest.fixture(scope="module")
def relabelled(tiny_dataset: TinyDataset, tmp_path_factory: pytest.TempPathFactory) -> TinyDataset:
    """The tiny videos, with a second label for some, and a number; one of them is none."""
    dataset = copy_dataset(tiny_dataset, tmp_path_factory.mktemp("relabelled") / "dataset")
    for manifest in (dataset.train, dataset.val):
        rows = [
            (path, f"{label}|green" if index % 4 == 0 else label, 10 * index, index % 5)
            for index, (path, label) in enumerate(read_manifest(manifest))
        ]
        write_manifest(manifest, rows, "path,label,size,age")
        (dataset.folder / rows[3][0]).write_text("this is a text\n" * 100)
    return dataset


def arguments_of(dataset: TinyDataset, output_dir: Path, *more: str) -> list[str]:
    return [
        *TINY_ARGUMENTS,
        f"data.train.manifest={dataset.train}",
        f"data.val.manifest={dataset.val}",
        f"output_dir={output_dir}",
        "data.num_workers=0",
        "data.on_error=skip",
        "train.epochs=2",
        "train.log_steps=1",
        *more,
    ]


@pytest.mark.parametrize(
    ("more", "figure"),
    [
        (["task=multi_label", "data.sampler=balanced", "train.class_weights=inverse"], "val/map"),
        (["task=regression", "data.target_columns=[size,age]"], "val/mae"),
    ],
)
def test_two_processes_train_and_measure_as_one(
    relabelled: TinyDataset, tmp_path: Path, more: list[str], figure: str
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    train(parse_settings(TrainRun, arguments_of(relabelled, one, *more, "train.batch_size=6")))
    arguments = arguments_of(relabelled, two, *more, "train.batch_size=3")
    first, second = run_two(tmp_path / "processes", "train", *arguments)
    assert difference(first, second) == 0
    assert difference(weights(one), weights(two)) < 1e-4
    values = [[r[figure] for r in read_log(folder) if figure in r] for folder in (one, two)]
    assert len(values[0]) == 2
    assert values[0] == pytest.approx(values[1], rel=1e-3, abs=1e-3)
    arguments = [
        f"checkpoint={one / 'last'}",
        f"data.val.manifest={relabelled.val}",
        "data.on_error=skip",
        "data.num_workers=0",
        "evaluate.num_clips=1",
        "evaluate.num_crops=1",
        "evaluate.batch_size=2",
    ]
    evaluate(parse_settings(EvaluateRun, [*arguments, f"output_dir={tmp_path / 'a'}"]))
    run_two(tmp_path / "again", "evaluate", *arguments, f"output_dir={tmp_path / 'b'}")
    for name in files_below(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
