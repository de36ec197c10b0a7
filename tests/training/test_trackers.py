"""Where the figures of a run go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from accelerate import tracking
from accelerate.tracking import GeneralTracker
from accelerate.utils import LoggerType

from hiera_video.config.machinery import parse_settings
from hiera_video.errors import ConfigError
from hiera_video.jsonlines import read_lines
from hiera_video.training.log import LOG_FILE
from hiera_video.training.run import pretrain
from hiera_video.training.settings import PretrainRun, TrainRun
from hiera_video.training.trackers import check_trackers
from tests.forked import run_forked
from tests.support import (
    TINY_ARGUMENTS,
    TINY_PRETRAINING_ARGUMENTS,
    TinyDataset,
    error_line,
)

#: Three steps.
ARGUMENTS = [
    *TINY_PRETRAINING_ARGUMENTS,
    "data.num_workers=0",
    "train.batch_size=12",
    "train.epochs=1",
    "train.log_steps=1",
]


class MemoryTracker(GeneralTracker):
    """Stands for a service: keeps what it is told."""

    name = "wandb"
    requires_logging_directory = False
    runs: list[MemoryTracker]

    def __init__(self, project: str, **_: Any) -> None:
        super().__init__()
        self.project = project
        self.settings: dict[str, Any] = {}
        self.logged: list[dict[str, Any]] = []
        self.finished = False
        self.runs.append(self)

    @property
    def tracker(self) -> MemoryTracker:
        return self

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.settings = values

    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        self.logged.append({"step": step, **values})

    def finish(self) -> None:
        self.finished = True


def run_with(trackers: str, dataset: TinyDataset, output_dir: Path) -> list[str]:
    """Pre-train for three steps; the names of what that left."""
    arguments = [f"data.train.manifest={dataset.train}", f"output_dir={output_dir}"]
    pretrain(parse_settings(PretrainRun, [*ARGUMENTS, *arguments, f"trackers={trackers}"]))
    return sorted(path.name for path in output_dir.iterdir())


def test_another_tracker_gets_the_same_figures_and_the_settings(
    tiny_dataset: TinyDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryTracker, "runs", [], raising=False)
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "wandb", MemoryTracker)
    monkeypatch.setattr(tracking, "_available_trackers", [LoggerType.WANDB])
    files = run_with("wandb", tiny_dataset, tmp_path / "run")
    assert files == ["checkpoints", "config.yaml", "curves.png", "last", "log.jsonl"]
    (run,) = MemoryTracker.runs
    assert run.logged == read_lines(tmp_path / "run" / LOG_FILE)
    assert len(run.logged) == 3
    assert run.finished
    assert run.project == "hiera-video"
    assert run.settings["optimizer.lr"] == 8e-4
    assert run.settings["model.depths"] == "[1, 1, 1, 1]"
    assert all(isinstance(v, str | int | float | None) for v in run.settings.values())


def test_no_tracker(tiny_dataset: TinyDataset, tmp_path: Path) -> None:
    files = run_with("[]", tiny_dataset, tmp_path / "run")
    assert files == ["checkpoints", "config.yaml", "curves.png", "last", "log.jsonl"]
    assert len(read_lines(tmp_path / "run" / LOG_FILE)) == 3


def test_one_name_or_several() -> None:
    given = {
        text: parse_settings(TrainRun, ["output_dir=run", *text]).trackers
        for text in [(), ("trackers=wandb",), ("trackers=[tensorboard,wandb]",), ("trackers=[]",)]
    }
    assert list(given.values()) == [["tensorboard"], ["wandb"], ["tensorboard", "wandb"], []]


def test_an_unknown_tracker_ends_a_run_before_it_starts(
    tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    arguments = [f"data.train.manifest={tiny_dataset.train}", f"output_dir={tmp_path / 'run'}"]
    result = run_forked("train", *TINY_ARGUMENTS, *arguments, "trackers=tensorbord")
    assert error_line(result) == "trackers: 'tensorbord' is unknown, did you mean tensorboard?"
    assert not (tmp_path / "run").exists()


def test_a_tracker_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_available_trackers", [LoggerType.TENSORBOARD])
    message = r"trackers: mlflow is not installed \(pip install mlflow\); installed: tensorboard"
    with pytest.raises(ConfigError, match=message):
        check_trackers(["tensorboard", "mlflow"])
    with pytest.raises(ConfigError, match=r"'none' is unknown, valid: .*comet_ml, .*wandb"):
        check_trackers(["none"])
