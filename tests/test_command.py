"""How a command ends, and signals that are noted instead of ending it."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, DynamoBackend
from torch import nn

from hiera_video.command import run_command
from hiera_video.errors import Interrupted, UserError
from hiera_video.runtime import Signals, make_accelerator, prepare_for_inference
from hiera_video.training.settings import RunSettings
from tests.support import HANG_SECONDS


@pytest.mark.parametrize(
    ("error", "line", "status"),
    [
        (UserError("sead: unknown key"), "error: sead: unknown key", 2),
        (Interrupted("stopped by SIGTERM", signal.SIGTERM), "stopped by SIGTERM", 143),
        (KeyboardInterrupt(), "interrupted", 130),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/log.jsonl"),
            "error: runs/log.jsonl: cannot be written (no space left on device)",
            2,
        ),
        (
            OSError(errno.ENAMETOOLONG, "File name too long", "runs/features/long"),
            "error: runs/features/long: cannot be written (file name too long)",
            2,
        ),
    ],
)
def test_a_command_that_is_not_done_ends_with_one_line(
    error: BaseException, line: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as exit_:
        run_command(fail)
    assert exit_.value.code == status
    assert capsys.readouterr().err.partition(": ")[2] == line + "\n"


def test_an_internal_fault_keeps_its_traceback() -> None:
    def fail() -> None:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        run_command(fail)


@pytest.mark.parametrize(
    ("compile_", "backend"), [(False, DynamoBackend.NO), (True, DynamoBackend.INDUCTOR)]
)
@pytest.mark.parametrize(("precision", "mixed_precision"), [("fp32", "no"), ("bf16", "bf16")])
def test_devices_start_as_they_are_set(
    compile_: bool, backend: DynamoBackend, precision: str, mixed_precision: str, tmp_path: Path
) -> None:
    settings = {"output_dir": tmp_path, "compile": compile_, "precision": precision}
    accelerator = make_accelerator(RunSettings.model_validate(settings))
    assert accelerator.state.dynamo_plugin.backend == backend
    assert accelerator.mixed_precision == mixed_precision


def test_models_are_on_the_device_under_fsdp_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    accelerator = make_accelerator(RunSettings(output_dir=tmp_path))
    monkeypatch.setattr(accelerator.state, "distributed_type", DistributedType.FSDP)
    monkeypatch.setattr(Accelerator, "device", torch.device("meta"))
    model = prepare_for_inference(nn.Linear(2, 3), accelerator)
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


def test_signals_are_noted_while_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    # "At once", however busy the machine.
    monkeypatch.setattr("hiera_video.runtime._SAME_SIGNAL_SECONDS", HANG_SECONDS)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with Signals() as signals:
        assert signals.received == 0
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)  # at once: a launcher that passes on the same event
        assert signals.received == signal.SIGTERM
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_second_signal_ends_the_process() -> None:
    child = os.fork()
    if child == 0:
        with Signals():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1.1)
            os.kill(os.getpid(), signal.SIGINT)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGINT


def test_signals_of_a_run_in_another_thread_are_left_alone() -> None:
    """Python handles signals in the main thread only."""
    entered = []

    def enter() -> None:
        with Signals() as signals:
            entered.append(signals.received)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [0]
