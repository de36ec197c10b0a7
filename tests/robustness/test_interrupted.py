"""Signals, faults of one process, and disks that are full: each ends a run in good order."""

from __future__ import annotations

import os
import re
import resource
import signal
from pathlib import Path

import psutil
import pytest

from hiera_video.training.saving import saved_checkpoints, verify_checksums
from tests.forked import start_forked
from tests.support import (
    HANG_SECONDS,
    ROOT,
    TINY_ARGUMENTS,
    TinyDataset,
    files_below,
    start_script,
    wait_until,
)

STOPPER = Path(__file__).with_name("stop_at_moment.py")

#: So many epochs that no signal comes too late, on however slow a machine.
FOR_LONG = "train.epochs=2000"


def arguments(dataset: TinyDataset, output_dir: Path, *more: str) -> list[str]:
    """A run with mixing and drop path of 36 steps in one process."""
    return [
        *TINY_ARGUMENTS,
        f"data.train.manifest={dataset.train}",
        f"data.val.manifest={dataset.val}",
        f"output_dir={output_dir}",
        "data.num_workers=1",
        "train.batch_size=2",
        "train.epochs=2",
        "train.log_steps=1",
        "model.drop_path_rate=0.3",
        "augment.mixup_alpha=0.8",
        *more,
    ]


def steps_logged(output_dir: Path) -> int:
    log = output_dir / "log.jsonl"
    return log.read_text().count("\n") if log.exists() else 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_with_a_checkpoint_to_go_on_from(
    number: signal.Signals, status: int, tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    """Sent to the whole group, as a terminal does: data workers live on until the run is saved."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    fourth_step = [r"log\.jsonl a\+$", 4, 0]
    script = [ROOT / "scripts" / "train.py", *arguments(tiny_dataset, broken)]
    interrupted = start_forked(STOPPER, [*fourth_step, *script], tmp_path / "1.log")
    interrupted.wait_until_stopped()
    interrupted.send(number)
    interrupted.send(signal.SIGCONT)
    assert interrupted.wait() == [status]
    saved = saved_checkpoints(broken)[-1]
    assert 3 <= int(saved.name[5:]) < 36
    assert interrupted.output.splitlines()[-1] == (
        f"train.py: stopped by {number.name} at step {int(saved.name[5:])}; rerun the same command "
        f"to resume from {saved}"
    )
    assert "Traceback" not in interrupted.output
    runs = [
        start_forked("train", arguments(tiny_dataset, folder), tmp_path / f"{folder.name}.log")
        for folder in (whole, broken)
    ]
    assert [run.wait() for run in runs] == [[0], [0]]
    weights = [(folder / "last" / "model.safetensors").read_bytes() for folder in (whole, broken)]
    assert weights[0] == weights[1]


@pytest.mark.long
def test_a_signal_to_one_of_two_processes_ends_both_at_the_same_step(
    tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    both = start_forked("train", arguments(tiny_dataset, run, FOR_LONG), tmp_path / "log", 2)
    wait_until(both, lambda: steps_logged(run) >= 2)
    both.processes[1].terminate()
    assert both.wait() == [143, 143]
    saved = saved_checkpoints(run)[-1]
    told = re.findall(r"train\.py: stopped by SIGTERM at step (\d+); .*", both.output)
    assert told == [str(int(saved.name[5:]))]
    verify_checksums(saved)


@pytest.mark.long
def test_a_signal_to_the_launcher_is_passed_on(tiny_dataset: TinyDataset, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start_script("train", *arguments(tiny_dataset, run, FOR_LONG), num_processes=2)
    wait_until(process, lambda: steps_logged(run) >= 2)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=HANG_SECONDS)
    saved = saved_checkpoints(run)[-1]
    verify_checksums(saved)
    assert errors.count("train.py: stopped by SIGTERM") == 1


@pytest.mark.long
def test_ctrl_c_at_accelerate_launch(tiny_dataset: TinyDataset, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start_script("train", *arguments(tiny_dataset, run, FOR_LONG), accelerate=True)
    wait_until(process, lambda: steps_logged(run) >= 2)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=HANG_SECONDS)
    saved = saved_checkpoints(run)[-1]
    verify_checksums(saved)
    assert errors.count("train.py: stopped by SIGINT") == 1


@pytest.mark.long
def test_a_process_that_dies_ends_the_other_one(tiny_dataset: TinyDataset, tmp_path: Path) -> None:
    """Long before processes stop waiting for each other, and what was saved can be gone on from."""
    run = tmp_path / "run"
    more = ["train.checkpoint_steps=2", FOR_LONG, "train.batch_size=1"]
    process = start_script("train", *arguments(tiny_dataset, run, *more), num_processes=2)
    wait_until(process, lambda: len(saved_checkpoints(run)) > 0)
    psutil.Process(process.pid).children()[1].kill()
    process.communicate(timeout=HANG_SECONDS)
    assert process.returncode != 0
    verify_checksums(saved_checkpoints(run)[-1])


@pytest.mark.parametrize("num_processes", [1, pytest.param(2, marks=pytest.mark.long)])
def test_a_loss_that_is_not_finite_stops_the_run_with_one_line(
    num_processes: int, tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    """The first step trains at a rate that no weights survive; the second one's loss tells."""
    more = ["optimizer.lr=1e30", "train.checkpoint_steps=1", "train.log_steps=10"]
    run = start_forked(
        "train",
        arguments(tiny_dataset, tmp_path / "run", *more),
        tmp_path / "log",
        num_processes,
    )
    assert run.wait() == [2] * num_processes
    (line,) = [line for line in run.output.splitlines() if "error:" in line]
    match = re.search(r"error: the loss is (nan|inf) at step 2, for (.+); the last good ", line)
    assert match, line
    videos = match[2].split(", ")
    assert len(videos) == 2
    assert all(Path(video).exists() for video in videos)
    (saved,) = saved_checkpoints(tmp_path / "run")
    assert f"the last good checkpoint is {saved}; try a lower optimizer.lr" in line


def test_a_disk_that_becomes_full_leaves_the_checkpoint_before(
    tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    """Really: from some moment on, the system refuses to write files beyond 40 kB."""
    more = ["train.checkpoint_steps=2", FOR_LONG, "train.log_steps=100"]
    run = start_forked("train", arguments(tiny_dataset, tmp_path / "run", *more), tmp_path / "log")
    wait_until(run, lambda: len(saved_checkpoints(tmp_path / "run")) > 0)
    pid = run.processes[0].pid
    assert pid is not None
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (40_000, 40_000))
    assert run.wait() == [2]
    last = saved_checkpoints(tmp_path / "run")[-1]
    verify_checksums(last)
    (line,) = [line for line in run.output.splitlines() if "error:" in line]
    assert re.search(
        r"step-\d+: cannot be written \(file too large\); the newest whole checkpoint is ", line
    )
    assert line.endswith(str(last))
    assert not [name for name in files_below(tmp_path / "run") if "/." in name]
