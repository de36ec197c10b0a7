"""Two runs in one ``output_dir``: the second one is refused, until the first has ended."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from hiera_video.locks import LOCK_FILE
from tests.forked import start_forked
from tests.support import (
    ROOT,
    TINY_ARGUMENTS,
    TINY_PRETRAINING_ARGUMENTS,
    TinyDataset,
    files_below,
    wait_until,
)


def arguments(script: str, dataset: TinyDataset, checkpoint: Path, output_dir: Path) -> list[str]:
    more = {
        "train": [
            *TINY_ARGUMENTS,
            f"data.train.manifest={dataset.train}",
            f"data.val.manifest={dataset.val}",
            "train.batch_size=2",
            "train.log_steps=1",
            "train.epochs=5000",
        ],
        "pretrain": [
            *TINY_PRETRAINING_ARGUMENTS,
            f"data.train.manifest={dataset.train}",
            "train.batch_size=2",
            "train.log_steps=1",
            "train.epochs=5000",
        ],
        "evaluate": [f"checkpoint={checkpoint}", f"data.val.manifest={dataset.val}"],
        "extract_features": [f"checkpoint={checkpoint}", f"data.manifest={dataset.val}"],
    }
    return [*more[script], f"output_dir={output_dir}", "data.num_workers=1"]


def num_logged(output_dir: Path) -> int:
    log = output_dir / "log.jsonl"
    return log.read_text().count("\n") if log.exists() else 0


@pytest.mark.parametrize("script", ["train", "pretrain"])
def test_a_second_run_waits_for_the_end_of_the_first(
    script: str, tiny_dataset: TinyDataset, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    first = start_forked(
        script, arguments(script, tiny_dataset, tiny_checkpoint, run), tmp_path / "1"
    )
    wait_until(first, lambda: num_logged(run) >= 1)
    pid = first.processes[0].pid
    told = (
        rf"error: output_dir={run}: another run \(process {pid} on .+\) writes there; wait for it"
    )
    for number, other in enumerate((script, "evaluate", "extract_features"), start=2):
        log = tmp_path / str(number)
        given = arguments(other, tiny_dataset, tiny_checkpoint, run)
        assert start_forked(other, given, log).wait() == [2]
        (line,) = log.read_text().splitlines()
        assert re.match(rf"{other}\.py: {told}", line)
    assert first.is_running  # nor was it disturbed
    before = num_logged(run)
    os.kill(pid or 0, signal.SIGKILL)  # its data worker is left to find out by itself
    assert first.wait() == [-signal.SIGKILL]
    second = start_forked(
        script, arguments(script, tiny_dataset, tiny_checkpoint, run), tmp_path / "5"
    )
    wait_until(second, lambda: num_logged(run) > before)
    second.send(signal.SIGTERM)
    assert second.wait() == [143]
    assert LOCK_FILE not in files_below(run)


@pytest.mark.long
def test_processes_of_one_run_share_its_folder(
    tiny_dataset: TinyDataset, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    given = arguments("train", tiny_dataset, tiny_checkpoint, run)
    first = start_forked("train", given, tmp_path / "1", num_processes=2)
    wait_until(first, lambda: num_logged(run) >= 1)
    second = start_forked("train", given, tmp_path / "2")
    assert second.wait() == [2]
    assert f"(process {first.processes[0].pid} on " in second.output  # the main one's
    assert first.is_running
    first.send(signal.SIGTERM)
    assert first.wait() == [143, 143]
    assert LOCK_FILE not in files_below(run)


@pytest.mark.parametrize("script", ["evaluate", "extract_features"])
def test_inference_holds_its_folder(
    script: str, tiny_dataset: TinyDataset, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """Until it is done: here it waits for a video that never comes."""
    manifest, run = tmp_path / "videos.csv", tmp_path / "run"
    (tmp_path / "blocking.mp4").touch()
    manifest.write_text(f"path,label\nblocking.mp4,{tiny_dataset.classes[0]}\n")
    given = arguments(script, tiny_dataset, tiny_checkpoint, run)
    blocked = [argument.replace(str(tiny_dataset.val), str(manifest)) for argument in given]
    file = ROOT / "scripts" / f"{script}.py"
    first = start_forked(
        Path(__file__).with_name("deadly_reader.py"), [file, *blocked], tmp_path / "1"
    )
    lock = run / LOCK_FILE
    wait_until(first, lambda: lock.exists() and "process" in lock.read_text())
    second = start_forked(script, given, tmp_path / "2")
    assert second.wait() == [2]
    told = (
        f"{script}.py: error: output_dir={run}: another run (process {first.processes[0].pid} on "
    )
    assert second.output.startswith(told)
    assert first.is_running
    first.end()
    assert start_forked(script, given, tmp_path / "3").wait() == [0]  # after one that was killed
    assert LOCK_FILE not in files_below(run)
