"""Checkpoints of which each process writes a part (FSDP2 over gloo): whole, or not there."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from hiera_video.files import UNFINISHED
from hiera_video.training.optimizer_state import OPTIMIZER_FOLDER
from hiera_video.training.saving import (
    CHECKSUMS_FILE,
    saved_checkpoints,
    verify_checksums,
)
from tests.forked import ForkedScript, start_forked
from tests.support import (
    HANG_SECONDS,
    ROOT,
    TINY_ARGUMENTS,
    TinyDataset,
    files_below,
    flip_byte,
    wait_until,
)


def start_sharded(dataset: TinyDataset, output_dir: Path, *more: str) -> ForkedScript:
    """Two processes with full sharding, 9 steps, a checkpoint after each."""
    arguments = [
        *TINY_ARGUMENTS,
        f"data.train.manifest={dataset.train}",
        f"output_dir={output_dir}",
        "data.num_workers=0",
        "train.batch_size=2",
        "train.epochs=1",
        "train.checkpoint_steps=1",
        *more,
    ]
    records = output_dir.with_name(f"{output_dir.name}_processes")
    records.mkdir(exist_ok=True)
    command = [records, ROOT / "scripts" / "train.py", *arguments]
    script = Path(__file__).with_name("shard_on_cpu.py")
    return start_forked(script, command, output_dir.with_suffix(".log"), num_processes=2)


def kill_while_writing(dataset: TinyDataset, output_dir: Path, num_saved: int) -> None:
    """Kill a run while it writes a checkpoint beside so many that are there."""

    def being_written() -> set[Path]:
        return set(output_dir.glob(f"checkpoints/{UNFINISHED}*/*/{OPTIMIZER_FOLDER}/*"))

    before = being_written()
    run = start_sharded(dataset, output_dir)
    wait_until(run, lambda: len(saved_checkpoints(output_dir)) >= num_saved)
    wait_until(run, lambda: bool(being_written() - before))
    for process in run.processes:
        process.kill()
    assert run.wait() == [-9, -9]


def weights(output_dir: Path) -> bytes:
    return (output_dir / "last" / "model.safetensors").read_bytes()


@pytest.mark.long
def test_a_run_killed_while_its_processes_write_ends_with_the_same_bits(
    tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    """Killed twice; then the newest checkpoint is damaged in the second process's part."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    kill_while_writing(tiny_dataset, broken, num_saved=0)
    kill_while_writing(tiny_dataset, broken, num_saved=2)
    (_, part) = sorted((saved_checkpoints(broken)[-1] / OPTIMIZER_FOLDER).iterdir())
    flip_byte(part)
    for output_dir in (whole, broken):
        run = start_sharded(tiny_dataset, output_dir)
        assert run.wait() == [0, 0], run.output
    assert f"checkpoint skipped: {part}: differs from what {CHECKSUMS_FILE} lists" in run.output
    assert weights(broken) == weights(whole)
    assert not [name for name in files_below(broken) if "/." in name]


def test_a_disk_that_is_full_for_one_process_leaves_the_checkpoint_before(
    tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    """The second process may write no more than 200 kB from some moment on; the first one tells."""
    folder = tmp_path / "run"
    run = start_sharded(tiny_dataset, folder, "train.epochs=40")
    wait_until(run, lambda: len(saved_checkpoints(folder)) > 0)
    first, second = run.processes
    assert second.pid is not None
    resource.prlimit(second.pid, resource.RLIMIT_FSIZE, (200_000, 200_000))
    first.join(HANG_SECONDS)
    second.kill()  # as a launcher does when one process has ended
    assert run.wait()[0] == 2, run.output
    last = saved_checkpoints(folder)[-1]
    verify_checksums(last)
    (line,) = [line for line in run.output.splitlines() if "train.py: error:" in line]
    assert "cannot be written (file too large); the newest whole checkpoint is " in line
    assert line.endswith(str(last))
    assert not [name for name in files_below(folder) if "/." in name]
