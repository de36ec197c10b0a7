"""Shards give what files give: the same samples, counted, and the same bits of all that is made.

In one and two processes, without and with workers; each test makes sure that there were so many.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import torch
from safetensors.torch import load_file

from hiera_video.preparation.pack_shards import MANIFEST_FILE, ShardLayout, make_shards
from tests.forked import start_forked
from tests.range_server import serve
from tests.support import ROOT, TINY_ARGUMENTS, TinyDataset, files_below

RECORDER = Path(__file__).with_name("record_samples.py")

#: The manifests ``train`` and ``val``.
Places: TypeAlias = dict[str, Path]

#: (processes, workers of each)
SIZES = [(2, 2), *(pytest.param(size, marks=pytest.mark.long) for size in ((1, 0), (1, 2), (2, 0)))]


@pytest.fixture(scope="module")
def shards(tiny_dataset: TinyDataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """The manifests of the dataset in shards of five videos, behind a URL."""
    folder = tmp_path_factory.mktemp("shards")
    manifests = {}
    with serve(folder) as server:
        for path in (tiny_dataset.train, tiny_dataset.val):
            name, url = path.stem, f"{server.url}/{path.stem}"
            make_shards(path, folder / name, ShardLayout(10**9, 5, url))
            manifests[name] = folder / name / MANIFEST_FILE
        yield manifests


def run_both(
    tmp_path: Path,
    name: str,
    dataset: TinyDataset,
    shards: Places,
    size: tuple[int, int],
    *more: str,
) -> list[list[str]]:
    """Run a script on files and on shards, into ``tmp_path``/files and .../shards.

    What the processes made is the same for both: the samples of each, sorted.
    """
    num_processes, num_workers = size
    files = {"train": dataset.train, "val": dataset.val}
    runs = {}
    for place, manifests in (("files", files), ("shards", shards)):
        (tmp_path / f"{place}.records").mkdir()
        arguments: list[object] = [
            tmp_path / f"{place}.records",
            ROOT / "scripts" / f"{name}.py",
            f"output_dir={tmp_path / place}",
            f"data.num_workers={num_workers}",
            *(argument.format(**manifests) for argument in more),
        ]
        log = tmp_path / f"{place}.log"
        runs[place] = start_forked(RECORDER, arguments, log, num_processes)
    for run in runs.values():
        assert run.wait() == [0] * num_processes, run.output
    theirs, ours = (recorded(tmp_path / f"{place}.records", num_processes) for place in runs)
    assert ours == theirs
    return ours


def recorded(folder: Path, num_processes: int) -> list[list[str]]:
    """The samples that each process made, of which there must have been so many."""
    counts = [path.read_text() for path in folder.glob("*.processes")]
    assert counts == [str(num_processes)] * num_processes
    files = [folder / f"{rank}.samples" for rank in range(num_processes)]
    return [sorted(file.read_text().splitlines()) for file in files]


def keys(samples: Sequence[Sequence[str]], pattern: str) -> list[str]:
    """What was asked for, in all processes."""
    return sorted(
        line.partition(" | ")[0] for lines in samples for line in lines if line.startswith(pattern)
    )


@pytest.mark.parametrize("size", SIZES)
def test_training(
    tiny_dataset: TinyDataset, shards: Places, tmp_path: Path, size: tuple[int, int]
) -> None:
    num_processes, _ = size
    samples = run_both(
        tmp_path,
        "train",
        tiny_dataset,
        shards,
        size,
        *TINY_ARGUMENTS,
        "data.train.manifest={train}",
        "data.val.manifest={val}",
        f"train.batch_size={6 // num_processes}",
        "train.epochs=2",
        "train.log_steps=1",
    )
    wanted = sorted(f"train ({epoch}, {row})" for epoch in range(2) for row in range(36))
    assert keys(samples, "train") == wanted
    # Validation after each of the two epochs.
    assert keys(samples, "evaluate") == sorted(2 * [f"evaluate {row}" for row in range(9)])
    weights = [
        (tmp_path / place / "last" / "model.safetensors").read_bytes()
        for place in ("files", "shards")
    ]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("size", SIZES)
def test_evaluation(
    tiny_dataset: TinyDataset,
    tiny_checkpoint: Path,
    shards: Places,
    tmp_path: Path,
    size: tuple[int, int],
) -> None:
    samples = run_both(
        tmp_path,
        "evaluate",
        tiny_dataset,
        shards,
        size,
        f"checkpoint={tiny_checkpoint}",
        "data.val.manifest={val}",
        "evaluate.num_clips=2",
        "evaluate.num_crops=2",
    )
    assert keys(samples, "evaluate") == [f"evaluate {row}" for row in range(9)]
    files, ours = tmp_path / "files", tmp_path / "shards"
    name = "predictions.parquet"
    assert (ours / name).read_bytes() == (files / name).read_bytes()
    metrics: list[dict[str, Any]] = [
        json.loads((folder / "metrics.json").read_text()) for folder in (files, ours)
    ]
    manifests = [each["settings"].pop("manifest") for each in metrics]
    assert manifests == [str(tiny_dataset.val), str(shards["val"])]
    assert metrics[0] == metrics[1]


@pytest.mark.parametrize("size", SIZES)
def test_extraction(
    tiny_dataset: TinyDataset,
    tiny_checkpoint: Path,
    shards: Places,
    tmp_path: Path,
    size: tuple[int, int],
) -> None:
    samples = run_both(
        tmp_path,
        "extract_features",
        tiny_dataset,
        shards,
        size,
        f"checkpoint={tiny_checkpoint}",
        "data.manifest={val}",
        "features.window_seconds=0.4",
    )
    assert keys(samples, "extract") == [f"extract {row}" for row in range(9)]
    files, ours = tmp_path / "files", tmp_path / "shards"
    assert files_below(ours) == files_below(files)
    for name in files_below(files):
        if name.endswith(".safetensors"):
            expected, tensors = load_file(files / name), load_file(ours / name)
            assert all(torch.equal(tensors[key], tensor) for key, tensor in expected.items())
    assert (ours / "index.parquet").read_bytes() == (files / "index.parquet").read_bytes()


def test_a_run_on_files_goes_on_with_shards_in_the_middle_of_an_epoch(
    tiny_dataset: TinyDataset, shards: Places, tmp_path: Path
) -> None:
    """To the same weights, by the samples that were not seen yet."""
    arguments = [
        *TINY_ARGUMENTS,
        "data.num_workers=1",
        "train.batch_size=4",
        "train.epochs=2",
        "train.checkpoint_steps=4",
        "train.keep_checkpoints=9",
        "model.drop_path_rate=0.3",
    ]
    checkpoint = tmp_path / "files" / "checkpoints" / "step-00000004"
    for place, more in (
        ("files", [f"data.train.manifest={tiny_dataset.train}"]),
        ("shards", [f"data.train.manifest={shards['train']}", f"resume={checkpoint}"]),
    ):
        (tmp_path / f"{place}.records").mkdir()
        script = ROOT / "scripts" / "train.py"
        words = [tmp_path / f"{place}.records", script, *arguments, *more]
        words.append(f"output_dir={tmp_path / place}")
        run = start_forked(RECORDER, words, tmp_path / f"{place}.log")
        assert run.wait() == [0], run.output
    (whole,), (rest,) = (recorded(tmp_path / f"{p}.records", 1) for p in ("files", "shards"))
    assert len(whole) == 2 * 36
    assert len(rest) == 2 * 36 - 4 * 4
    assert set(rest) < set(whole)
    weights = [
        (tmp_path / place / "last" / "model.safetensors").read_bytes()
        for place in ("files", "shards")
    ]
    assert weights[0] == weights[1]
