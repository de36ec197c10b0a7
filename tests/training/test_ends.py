"""The ends of what is logged, drawn and measured: last windows, and sets that say little."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from hiera_video.commands.evaluate import EvaluateRun
from hiera_video.commands.evaluate import start as evaluate
from hiera_video.config.machinery import parse_settings
from hiera_video.errors import Interrupted
from hiera_video.training import curves
from hiera_video.training.agreement import StopTogether
from hiera_video.training.curves import CurvesTracker
from hiera_video.training.log import rewind_log
from hiera_video.training.run import pretrain
from hiera_video.training.settings import PretrainRun
from hiera_video.training.trackers import JsonLinesTracker
from hiera_video.training.validation import Validation
from tests.support import (
    TINY_PRETRAINING_ARGUMENTS,
    TinyDataset,
    forget_accelerator,
    read_log,
    read_manifest,
    write_manifest,
)
from tests.training.runs import train_here


def losses(output_dir: Path) -> dict[int, float]:
    return {r["step"]: r["train/loss"] for r in read_log(output_dir) if "train/loss" in r}


def test_the_last_window_is_logged(tiny_dataset: TinyDataset, tmp_path: Path) -> None:
    """Of six steps and a line every four, the last two have one of their own."""
    single, few = tmp_path / "single", tmp_path / "few"
    train_here(tiny_dataset, single, "train.epochs=2", "train.log_steps=1")
    train_here(tiny_dataset, few, "train.epochs=2", "train.log_steps=4")
    each = losses(single)
    assert list(each) == [1, 2, 3, 4, 5, 6]
    assert losses(few) == {
        4: pytest.approx(np.mean([each[step] for step in (1, 2, 3, 4)])),
        6: pytest.approx(np.mean([each[step] for step in (5, 6)])),
    }


def test_a_run_that_is_stopped_logs_what_it_has_and_goes_on_as_if_it_had_not(
    tiny_dataset: TinyDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ["train.epochs=2", "train.log_steps=4"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train_here(tiny_dataset, whole, *more)
    for stop in (2, 3, 5):  # within a pass, at its end, after a line
        with monkeypatch.context() as patch:
            patch.setattr(StopTogether, "agree", lambda _, step, stop=stop: 15 * (step == stop))
            with pytest.raises(Interrupted, match=f"step {stop};"):
                train_here(tiny_dataset, broken, *more)
        assert list(losses(broken)) == [step for step in (4,) if step < stop] + [stop]
        assert (broken / "curves.png").exists()
        (broken / "curves.png").unlink()
    train_here(tiny_dataset, broken, *more)
    assert losses(broken) == losses(whole)


def test_the_line_of_a_window_that_goes_on_is_dropped(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    records: list[dict[str, Any]] = [
        {"step": 3, "lr": 0.1},
        {"step": 5, "lr": 0.1},
        {"step": 5, "val/top1": 0.5},
        {"step": 6, "lr": 0.1},
    ]
    for goes_on, kept in ((False, records[:3]), (True, [records[0], records[2]])):
        log.write_text("".join(json.dumps(record) + "\n" for record in records))
        rewind_log(log, 5, goes_on)
        assert read_log(tmp_path) == kept


def test_what_is_not_a_number_is_null_in_the_log(tmp_path: Path) -> None:
    tracker = JsonLinesTracker(tmp_path / "log.jsonl")
    tracker.log({"train/loss": float("nan"), "train/gradient_norm": float("inf"), "lr": 0.5}, 1)
    text = (tmp_path / "log.jsonl").read_text()
    assert text == ('{"step": 1, "train/loss": null, "train/gradient_norm": null, "lr": 0.5}\n')


def test_curves_are_there_after_the_first_validation(
    tiny_dataset: TinyDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = Validation.measure

    def once(self: Validation, model: Any) -> dict[str, float | None]:
        if (tmp_path / "curves.png").exists():
            raise KeyboardInterrupt
        return measure(self, model)

    monkeypatch.setattr(Validation, "measure", once)
    with pytest.raises(KeyboardInterrupt):
        train_here(tiny_dataset, tmp_path, f"data.val.manifest={tiny_dataset.val}")


def test_pretraining_draws_after_an_epoch(
    tiny_dataset: TinyDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def agree(_: StopTogether, step: int) -> int:
        if step == 5:
            raise KeyboardInterrupt
        return 0

    arguments = [
        *TINY_PRETRAINING_ARGUMENTS,
        f"data.train.manifest={tiny_dataset.train}",
        f"output_dir={tmp_path}",
        "data.num_workers=0",
        "train.batch_size=12",
        "train.log_steps=1",
        "trackers=[]",
    ]
    monkeypatch.setattr(StopTogether, "agree", agree)
    with pytest.raises(KeyboardInterrupt):
        pretrain(parse_settings(PretrainRun, arguments))
    assert (tmp_path / "curves.png").exists()


def test_drawing_takes_a_hundredth_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes 2 s here; validations come every 50 s."""
    now, drawn = 1000.0, []

    def draw(_: object, __: object) -> None:
        nonlocal now
        drawn.append(now)
        now += 2

    monkeypatch.setattr(curves.time, "monotonic", lambda: now)
    monkeypatch.setattr(curves, "plot_curves", draw)
    tracker = CurvesTracker(tmp_path / "log.jsonl", tmp_path / "curves.png")
    for epoch in range(1, 11):
        tracker.log({"train/loss": 1.0, "epoch": epoch - 0.5}, 2 * epoch - 1)
        now = 1000.0 + 50 * epoch
        tracker.log({"val/top1": 0.5, "epoch": epoch}, 2 * epoch)
    assert drawn == [1050.0, 1300.0]
    tracker.finish()
    assert drawn[2:] == [1500.0]


def test_a_picture_that_cannot_be_written_is_told_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(curves, "plot_curves", full)
    CurvesTracker(tmp_path / "log.jsonl", tmp_path / "curves.png").finish()
    assert f"{tmp_path / 'curves.png'}: cannot be written (No space left on device)" in caplog.text


def subset(dataset: TinyDataset, folder: Path, label: str, broken: bool) -> Path:
    """A manifest of the validation videos of one class; or of all, with those of it broken."""
    bad = folder / "bad.mp4"
    bad.write_bytes(b"nothing")
    rows = [
        (bad if broken and name == label else dataset.folder / path, name)
        for path, name in read_manifest(dataset.val)
        if broken or name == label
    ]
    (folder / "classes.txt").write_text((dataset.folder / "classes.txt").read_text())
    return write_manifest(folder / "some.csv", rows)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (False, "all videos are of one class, 'red': their accuracy does not say"),
        (True, "no video of 'red' could be read, and each counts as wrong"),
    ],
)
def test_a_set_that_says_little_is_told(
    tiny_dataset: TinyDataset,
    tiny_checkpoint: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    broken: bool,
    message: str,
) -> None:
    """In an evaluation, with its report, and once in a training with several validations."""
    manifest = subset(tiny_dataset, tmp_path, "red", broken)
    data = {"val": {"manifest": manifest}, "num_workers": 0, "on_error": "skip"}
    run = EvaluateRun(checkpoint=str(tiny_checkpoint), output_dir=tmp_path / "scores", data=data)
    metrics = evaluate(run)
    assert caplog.text.count(f"{manifest}: {message}") == 1
    page = (tmp_path / "scores" / "report.html").read_text()
    assert message.replace("'", "&#39;") in page
    assert metrics["per_class"]["blue"] is None or broken
    caplog.clear()
    more = ["train.epochs=2", "data.on_error=skip", f"data.val.manifest={manifest}"]
    train_here(tiny_dataset, tmp_path / "run", *more)
    assert caplog.text.count(message) == 1
    assert (tmp_path / "run" / "best").exists()


def test_a_validation_without_a_readable_video_decides_nothing(
    tiny_dataset: TinyDataset,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"nothing")
    manifest = write_manifest(tmp_path / "val.csv", [(bad, "red"), (bad, "blue")])
    more = ["train.epochs=2", "data.on_error=skip", f"data.val.manifest={manifest}"]
    more += ["data.max_failed_share=1"]
    with caplog.at_level(logging.WARNING):
        train_here(tiny_dataset, tmp_path / "run", *more)
    assert caplog.text.count("none of 2 videos could be read, and each counts as wrong") == 1
    assert "epoch 2: top1 undefined" in capsys.readouterr().out
    validations = [record for record in read_log(tmp_path / "run") if "val/top1" in record]
    assert [(r["val/top1"], r["val/loss"]) for r in validations] == [(None, None)] * 2
    assert not (tmp_path / "run" / "best").exists()
    train_here(tiny_dataset, tmp_path / "run", *more)  # it is not validated again
    assert len(read_log(tmp_path / "run")) == len(validations) + 1


def test_the_validation_loss_is_that_of_the_scores_of_an_evaluation(
    tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    more = ["train.epochs=1", f"data.val.manifest={tiny_dataset.val}", "evaluate.num_clips=2"]
    train_here(tiny_dataset, tmp_path / "run", *more)
    (logged,) = [r["val/loss"] for r in read_log(tmp_path / "run") if "val/loss" in r]
    forget_accelerator()
    evaluate(
        EvaluateRun(
            checkpoint=str(tmp_path / "run" / "last"),
            output_dir=tmp_path / "scores",
            data={"val": {"manifest": tiny_dataset.val}, "num_workers": 0},
            evaluate={"num_clips": 2, "num_crops": 1},
        )
    )
    table = pq.read_table(tmp_path / "scores" / "predictions.parquet").to_pydict()
    places = [tiny_dataset.classes.index(label) for label in table["label"]]
    right = [scores[place] for scores, place in zip(table["scores"], places, strict=True)]
    assert logged == pytest.approx(-np.log(right).mean(), abs=1e-5)
