"""Two processes give what one gives. Each test makes sure that there really were two."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from hiera_video.commands.evaluate import EvaluateRun
from hiera_video.commands.evaluate import start as evaluate
from hiera_video.commands.features import FeatureRun
from hiera_video.commands.features import start as extract_features
from hiera_video.config.machinery import parse_settings
from hiera_video.data.failures import SKIPPED_FILE
from hiera_video.training.run import train
from hiera_video.training.settings import TrainRun
from tests.forked import start_forked
from tests.support import (
    ROOT,
    TINY_ARGUMENTS,
    TinyDataset,
    copy_dataset,
    files_below,
    read_manifest,
    run_script,
    succeed,
)

RECORDER = Path(__file__).with_name("record_process.py")


def run_two(
    folder: Path, name: str, *arguments: str, torchrun: bool = False
) -> list[dict[str, Tensor]]:
    """Run a script in two processes, by ``torchrun`` where that is asked for; the weights that each
    had in the end."""
    folder.mkdir()
    command = [folder, ROOT / "scripts" / f"{name}.py", *arguments]
    if torchrun:
        succeed(run_script(RECORDER, *command, num_processes=2))
    else:
        run = start_forked(RECORDER, command, folder / "log", num_processes=2)
        assert run.wait() == [0, 0], run.output
    records: list[dict[str, Any]] = [torch.load(folder / f"{rank}.pt") for rank in range(2)]
    assert [record["num_processes"] for record in records] == [2, 2]
    return [record["weights"][0] for record in records if record["weights"]]


@pytest.fixture(scope="module")
def damaged(tiny_dataset: TinyDataset, tmp_path_factory: pytest.TempPathFactory) -> TinyDataset:
    """Nine validation videos, of which the fourth is none, and a bad training video."""
    dataset = copy_dataset(tiny_dataset, tmp_path_factory.mktemp("damaged") / "dataset")
    for manifest in (dataset.train, dataset.val):
        (dataset.folder / read_manifest(manifest)[3][0]).write_text("this is a text\n" * 100)
    return dataset


@pytest.mark.parametrize("case", ["one by one", "batches and a bad video"])
def test_evaluation_gives_the_same_bytes(
    tiny_dataset: TinyDataset,
    damaged: TinyDataset,
    tiny_checkpoint: Path,
    tmp_path: Path,
    case: str,
) -> None:
    """Nine videos: neither two processes nor batches of two divide them."""
    dataset, batch_size = (tiny_dataset, 1) if case == "one by one" else (damaged, 2)
    arguments = [
        f"checkpoint={tiny_checkpoint}",
        f"data.val.manifest={dataset.val}",
        "data.on_error=skip",
        "data.num_workers=0",
        "evaluate.num_clips=2",
        "evaluate.num_crops=2",
        f"evaluate.batch_size={batch_size}",
    ]
    one, two = tmp_path / "one", tmp_path / "two"
    evaluate(parse_settings(EvaluateRun, [*arguments, f"output_dir={one}"]))
    run_two(tmp_path / "processes", "evaluate", *arguments, f"output_dir={two}")
    assert files_below(two) == files_below(one)
    for name in ("metrics.json", "predictions.parquet", "report.html"):
        assert (two / name).read_bytes() == (one / name).read_bytes(), name
    metrics = json.loads((two / "metrics.json").read_text())
    assert metrics["num_videos"] == 9
    assert metrics["num_failed"] == (0 if case == "one by one" else 1)


def train_arguments(dataset: TinyDataset, output_dir: Path, *more: str) -> list[str]:
    return [
        *TINY_ARGUMENTS,
        f"data.train.manifest={dataset.train}",
        f"data.val.manifest={dataset.val}",
        f"output_dir={output_dir}",
        "data.num_workers=0",
        "train.epochs=2",
        "train.log_steps=1",
        *more,
    ]


def difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max((tensor - other[name]).abs().max().item() for name, tensor in one.items())


def test_training_gives_the_same_weights_as_one_process_with_twice_the_batch(
    tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    arguments = train_arguments(tiny_dataset, one, "train.batch_size=6")
    train(parse_settings(TrainRun, arguments))
    arguments = train_arguments(tiny_dataset, two, "train.batch_size=3")
    first, second = run_two(tmp_path / "processes", "train", *arguments, torchrun=True)
    assert difference(first, second) == 0
    one_weights = load_file(one / "last" / "model.safetensors")
    two_weights = load_file(two / "last" / "model.safetensors")
    assert difference(one_weights, two_weights) < 1e-4
    logs = [
        [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        for folder in (one, two)
    ]
    for key in ("step", "train/loss", "train/accuracy", "val/top1", "lr"):
        values = [[record.get(key) for record in log if key in record] for log in logs]
        assert values[0] == pytest.approx(values[1], abs=1e-4), key
        assert values[0]


def test_training_goes_on_where_one_process_has_only_a_bad_video(
    damaged: TinyDataset, tmp_path: Path
) -> None:
    """No process waits for the other one's gradients; both keep the same weights."""
    arguments = train_arguments(
        damaged,
        tmp_path / "run",
        "data.on_error=skip",
        "train.batch_size=1",
        "train.accumulate_steps=2",
        "train.clip_grad_norm=1.0",
        "model.drop_path_rate=0.2",
        "augment.mixup_alpha=0.8",
    )
    first, second = run_two(tmp_path / "processes", "train", *arguments)
    assert difference(first, second) == 0
    lines = (tmp_path / "run" / SKIPPED_FILE).read_text().splitlines()
    bad = [read_manifest(manifest)[3][0] for manifest in (damaged.train, damaged.val)]
    # Once each, although another process may meet them in every epoch.
    assert sorted(json.loads(line)["path"] for line in lines) == sorted(
        str(damaged.folder / path) for path in bad
    )


def test_extraction_gives_the_same_files(
    damaged: TinyDataset, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    arguments = [
        f"checkpoint={tiny_checkpoint}",
        f"data.manifest={damaged.val}",
        "data.on_error=skip",
        "data.num_workers=1",
    ]
    one, two = tmp_path / "one", tmp_path / "two"
    extract_features(parse_settings(FeatureRun, [*arguments, f"output_dir={one}"]))
    run_two(tmp_path / "processes", "extract_features", *arguments, f"output_dir={two}")
    names = files_below(one)
    assert len(names) == 8 + 2  # eight videos, the index, and the list of what was skipped
    assert files_below(two) == names
    for name in names:
        if name.endswith(".safetensors"):
            ours, theirs = load_file(one / name), load_file(two / name)
            assert all(torch.equal(tensor, theirs[key]) for key, tensor in ours.items()), name
        else:
            assert (two / name).read_bytes() == (one / name).read_bytes(), name


def error_lines(result: subprocess.CompletedProcess[str]) -> list[str]:
    """What the script told of a mistake, in two processes, of which the launcher lists both."""
    assert result.returncode != 0
    assert "local_rank: 0" in result.stderr
    assert "local_rank: 1" in result.stderr
    return [line for line in result.stderr.splitlines() if "evaluate.py: error: " in line]


@pytest.mark.long
def test_a_bad_video_ends_both_processes_with_one_line(
    damaged: TinyDataset, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """The second process meets it; the first one must not wait for ever."""
    result = run_script(
        "evaluate",
        f"checkpoint={tiny_checkpoint}",
        f"data.val.manifest={damaged.val}",
        f"output_dir={tmp_path / 'run'}",
        "data.num_workers=0",
        num_processes=2,
    )
    (line,) = error_lines(result)
    assert line.endswith(".mp4: invalid data found when processing input")
    assert set(files_below(tmp_path / "run")) <= {".run.lock"}  # nobody holds it any more


def test_a_wrong_setting_is_told_once(tmp_path: Path) -> None:
    result = run_script("evaluate", f"output_dir={tmp_path / 'run'}", "sead=1", num_processes=2)
    (line,) = error_lines(result)
    assert "sead: unknown key, did you mean seed?" in line
    assert not (tmp_path / "run").exists()
