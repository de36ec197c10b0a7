"""Runs of every task: from a manifest to checkpoints, evaluations and predictions, and on again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from hiera_video.commands import predict as predict_command
from hiera_video.config.clip_groups import EvaluateSettings
from hiera_video.config.groups import DataSource, EvaluateData, RunSettings
from hiera_video.config.machinery import parse_settings
from hiera_video.errors import CheckpointError, ConfigError, Interrupted, ManifestError
from hiera_video.evaluation.predict import predict
from hiera_video.evaluation.run import evaluate
from hiera_video.models.convert import convert
from hiera_video.models.registry import load_model
from hiera_video.training.agreement import StopTogether
from hiera_video.training.resume import read_saved
from hiera_video.training.run import train
from hiera_video.training.saving import Checkpoints
from hiera_video.training.settings import TrainRun
from tests.support import (
    CLASS_COLOURS,
    TINY_ARGUMENTS,
    TinyDataset,
    forget_accelerator,
    read_log,
    write_manifest,
    write_video,
)

NAMES = tuple(CLASS_COLOURS)
#: Which of blue, green and red are there: none, one, or two.
SETS = [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos with stripes of up to two colours: their names in ``label``; in ``level`` how bright a
    video is, in a unit far from 0 and 1, and in ``width`` a number that nobody sees."""
    folder = tmp_path_factory.mktemp("painted")
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in NAMES))
    draw = np.random.default_rng(0)
    for split, count in (("train", 28), ("val", 14)):
        rows = []
        for index in range(count):
            there = SETS[index % len(SETS)]
            frames = draw.integers(20, 60, (8, 32, 32, 3))
            for place, name in enumerate(there):
                frames[:, :, 16 * place : 16 * place + 16] += np.array(CLASS_COLOURS[NAMES[name]])
            path = f"{split}/{index}.mp4"
            pixels = frames.clip(0, 255).astype(np.uint8)
            write_video(folder / path, frames=pixels)
            labels = "|".join(NAMES[number] for number in there)
            rows.append((path, labels, 1000 + pixels.mean(), draw.random()))
        write_manifest(folder / f"{split}.csv", rows, header="path,label,level,width")
    return folder


def arguments_of(folder: Path, output_dir: Path, *more: str) -> list[str]:
    return [
        *TINY_ARGUMENTS,
        f"data.train.manifest={folder / 'train.csv'}",
        f"data.val.manifest={folder / 'val.csv'}",
        f"output_dir={output_dir}",
        "data.num_workers=0",
        "train.batch_size=4",
        "train.epochs=2",
        "optimizer.lr=3e-3",
        "evaluate.batch_size=7",
        "train.log_steps=1",
        "train.keep_checkpoints=9",
        "trackers=[]",
        *more,
    ]


def run_of(folder: Path, output_dir: Path, *more: str) -> None:
    forget_accelerator()
    train(parse_settings(TrainRun, arguments_of(folder, output_dir, *more)))


def evaluate_here(
    checkpoint: Path, manifest: Path, output_dir: Path, **data: Any
) -> dict[str, Any]:
    forget_accelerator()
    return evaluate(
        str(checkpoint),
        RunSettings(output_dir=output_dir),
        EvaluateData(val=DataSource(manifest=manifest), num_workers=0, **data),
        {},
        EvaluateSettings(num_clips=1, num_crops=1, batch_size=7),
    )


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next runs be told to stop at a step; 0 is never reached."""
    monkeypatch.setattr(StopTogether, "agree", lambda _, now: 15 * (now == step))


MULTI = "task=multi_label"
NUMBERS = ("task=regression", "data.target_columns=[level,width]")


@pytest.fixture(scope="module")
def several(painted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of several labels, long enough to tell colours."""
    output_dir = tmp_path_factory.mktemp("several") / "run"
    run_of(painted, output_dir, MULTI, "train.epochs=12", "train.validate_epochs=3")
    return output_dir


@pytest.fixture(scope="module")
def numbers(painted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two numbers, long enough to see the first."""
    output_dir = tmp_path_factory.mktemp("numbers") / "run"
    run_of(painted, output_dir, *NUMBERS, "train.epochs=16", "train.validate_epochs=4")
    return output_dir


def test_several_labels_are_learned_and_say_so(several: Path) -> None:
    log = [record for record in read_log(several) if "val/map" in record]
    assert {"val/map", "val/micro_f1", "val/macro_f1", "val/loss"} <= log[0].keys()
    maps = {record["step"]: record["val/map"] for record in log}
    assert max(maps.values()) > 0.8
    best = max(maps, key=maps.__getitem__)
    assert (several / "best").resolve().parent.name == f"step-{best:08d}"
    config = json.loads((several / "best" / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    assert [config["id2label"][str(index)] for index in range(3)] == list(NAMES)
    thresholds = json.loads((several / "best" / "targets.json").read_text())["thresholds"]
    assert len(thresholds) == 3
    assert all(0 < threshold < 1 for threshold in thresholds)


def test_an_evaluation_repeats_the_validation_by_the_thresholds_that_were_kept(
    painted: Path, several: Path, tmp_path: Path
) -> None:
    best = several / "best"
    metrics = evaluate_here(best, painted / "val.csv", tmp_path / "out")
    step = int(best.resolve().parent.name.removeprefix("step-"))
    (record,) = [r for r in read_log(several) if r["step"] == step and "val/map" in r]
    for name in ("map", "micro_f1", "macro_f1"):
        assert metrics[name] == record[f"val/{name}"]
    assert metrics["loss"] == pytest.approx(record["val/loss"], abs=1e-6)
    thresholds = json.loads((best / "targets.json").read_text())["thresholds"]
    assert list(metrics["thresholds"].values()) == [round(value, 6) for value in thresholds]
    table = pq.read_table(tmp_path / "out" / "predictions.parquet").to_pylist()
    assert [set(row["label"]) for row in table] == [
        {NAMES[number] for number in SETS[index % 7]} for index in range(14)
    ]
    for row in table:
        reached = [n for n, s, t in zip(NAMES, row["scores"], thresholds, strict=True) if s >= t]
        assert row["prediction"] == reached
    page = (tmp_path / "out" / "report.html").read_text()
    for text in ("mAP", "Average precision per class", "Threshold per class", "micro F1"):
        assert text in page


def test_a_video_that_cannot_be_read_is_one_in_which_nothing_is_found(
    painted: Path, several: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(painted, folder)
    (folder / "val" / "4.mp4").write_text("no video\n" * 99)
    whole = evaluate_here(several / "best", painted / "val.csv", tmp_path / "whole")
    partly = evaluate_here(
        several / "best", folder / "val.csv", tmp_path / "partly", on_error="skip"
    )
    assert partly["num_failed"] == 1
    assert partly["map"] < whole["map"]
    assert partly["micro_f1"] < whole["micro_f1"]
    rows = pq.read_table(tmp_path / "partly" / "predictions.parquet").to_pylist()
    assert rows[4]["label"] == ["blue", "green"]
    assert rows[4]["prediction"] is rows[4]["scores"] is None


def test_predictions_are_the_labels_that_reach_their_thresholds(
    painted: Path, several: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(several / "best", checkpoint)
    file = painted / "val" / "4.mp4"

    def predicted(*thresholds: float) -> list[tuple[str, float]]:
        (checkpoint / "targets.json").write_text(json.dumps({"thresholds": thresholds}))
        (found,) = predict(str(checkpoint), [file], EvaluateSettings(num_clips=1, num_crops=1))
        assert found.kind == "labels"
        return found.classes

    every = predicted(0, 0, 0)
    assert [value for _, value in every] == sorted((v for _, v in every), reverse=True)
    of_all = dict(every)
    assert set(of_all) == set(NAMES)
    some = predicted(of_all["blue"], of_all["green"] + 0.01, 1.1)
    assert some == [("blue", of_all["blue"])]
    assert predicted(1.1, 1.1, 1.1) == []
    arguments = [f"checkpoint={checkpoint}", str(file), "evaluate.num_clips=1"]
    run = parse_settings(predict_command.PredictRun, arguments)
    predict_command.start(run)
    assert "no label reaches its threshold" in capsys.readouterr().out
    predict_command.start(run.model_copy(update={"json_lines": True}))
    assert json.loads(capsys.readouterr().out) == {"path": str(file), "labels": []}


def test_numbers_are_learned_in_the_unit_of_the_data(
    painted: Path, numbers: Path, tmp_path: Path
) -> None:
    log = [record for record in read_log(numbers) if "val/mae" in record]
    assert {"val/rmse", "val/r2", "val/spearman", "val/loss"} <= log[0].keys()
    errors = {record["step"]: record["val/mae"] for record in log}
    assert (
        numbers / "best"
    ).resolve().parent.name == f"step-{min(errors, key=errors.__getitem__):08d}"
    assert {"train/loss", "train/mae"} <= read_log(numbers)[0].keys()
    best = numbers / "best"
    config = json.loads((best / "config.json").read_text())
    assert (config["problem_type"], config["id2label"]) == (
        "regression",
        {"0": "level", "1": "width"},
    )
    kept = json.loads((best / "targets.json").read_text())
    assert 1000 < kept["mean"][0] < 1255
    metrics = evaluate_here(best, painted / "val.csv", tmp_path / "out")
    assert metrics["mae"] == pytest.approx(min(errors.values()), abs=1e-5)
    assert metrics["r2_per_target"]["level"] > 0.8
    table = pq.read_table(tmp_path / "out" / "predictions.parquet")
    assert table.column_names == ["path", "label", "prediction"]
    rows = table.to_pylist()
    wanted = [tuple(map(float, line.split(",")[2:])) for line in lines_of(painted / "val.csv")]
    assert [tuple(row["label"]) for row in rows] == wanted
    mean = np.mean([abs(row["prediction"][0] - row["label"][0]) for row in rows])
    assert metrics["mae_per_target"]["level"] == pytest.approx(mean)
    (found,) = predict(
        str(best), [painted / "val" / "4.mp4"], EvaluateSettings(num_clips=1, num_crops=1)
    )
    assert found.kind == "values"
    assert [name for name, _ in found.classes] == ["level", "width"]
    assert found.classes[0][1] == pytest.approx(rows[4]["prediction"][0], abs=1e-3)
    assert "R² per target" in (tmp_path / "out" / "report.html").read_text()


def lines_of(manifest: Path) -> list[str]:
    return manifest.read_text().splitlines()[1:]


def test_of_an_unread_video_the_mean_counts_as_predicted(
    painted: Path, numbers: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(painted, folder)
    (folder / "val" / "4.mp4").write_text("no video\n" * 99)
    metrics = evaluate_here(numbers / "best", folder / "val.csv", tmp_path / "out", on_error="skip")
    rows = pq.read_table(tmp_path / "out" / "predictions.parquet").to_pylist()
    assert rows[4]["prediction"] is None
    mean = json.loads((numbers / "best" / "targets.json").read_text())["mean"]
    predicted = np.array([row["prediction"] or mean for row in rows])
    errors = np.abs(predicted - np.array([row["label"] for row in rows])).mean(0)
    assert list(metrics["mae_per_target"].values()) == pytest.approx(errors.tolist())


@pytest.mark.parametrize(
    "more",
    [
        (MULTI, "augment.mixup_alpha=0.8", "augment.cutmix_alpha=1.0", "train.label_smoothing=0.1"),
        (MULTI, "data.sampler=balanced", "train.class_weights=inverse"),
        (*NUMBERS, "train.repeated_sampling=2", "train.ema_decay=0.9"),
        (MULTI, "data.sampler=sqrt", "train.repeated_sampling=2"),
    ],
)
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(
    painted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    run_of(painted, tmp_path / "whole", *more, "train.epochs=4")
    for step in (3, 7):  # within a pass, and where one ends
        stop_at(step, monkeypatch)
        with pytest.raises(Interrupted):
            run_of(painted, tmp_path / "parts", *more, "train.epochs=4")
    stop_at(0, monkeypatch)
    run_of(painted, tmp_path / "parts", *more, "train.epochs=4")
    whole, parts = (tmp_path / name / "last" for name in ("whole", "parts"))
    one, other = (load_file(folder / "model.safetensors") for folder in (whole, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)
    for name in ("config.json", "targets.json"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()
    logs = [
        [{k: v for k, v in r.items() if k.startswith("val/")} for r in read_log(tmp_path / name)]
        for name in ("whole", "parts")
    ]
    assert [r for r in logs[0] if r] == [r for r in logs[1] if r]


def test_checkpoints_with_thresholds_are_whole(several: Path) -> None:
    """What validation adds is in the list of sums, and is looked at like the rest."""
    checkpoint = (several / "best").resolve().parent
    assert read_saved([checkpoint]) is not None
    thresholds = checkpoint / "model" / "targets.json"
    content = thresholds.read_bytes()
    try:
        thresholds.write_bytes(content.replace(b"0.", b"0.9", 1))
        with pytest.raises(CheckpointError, match=r"targets\.json: differs from what checksums"):
            read_saved([checkpoint])
    finally:
        thresholds.write_bytes(content)


def test_a_run_that_ended_while_thresholds_were_written_has_a_whole_checkpoint(
    several: Path, tmp_path: Path
) -> None:
    """The file comes before its sum; the validation that follows writes both again."""
    source = (several / "best").resolve().parent
    checkpoint = tmp_path / "checkpoints" / source.name
    shutil.copytree(source, checkpoint)
    sums = (checkpoint / "checksums.json").read_bytes()
    without = {k: v for k, v in json.loads(sums).items() if k != "model/targets.json"}
    (checkpoint / "checksums.json").write_text(json.dumps(without))
    assert read_saved([checkpoint]) is not None
    content = (checkpoint / "model" / "targets.json").read_bytes()
    (checkpoint / "model" / "targets.json").write_text("half of")
    Checkpoints(tmp_path, 9).complete(int(source.name.removeprefix("step-")), content)
    assert (checkpoint / "checksums.json").read_bytes() == sums
    assert (checkpoint / "model" / "targets.json").read_bytes() == content


def test_other_labels_of_the_same_classes_end_thresholds(several: Path, tmp_path: Path) -> None:
    model = load_model(several / "best")
    assert model.targets == (several / "best" / "targets.json").read_bytes()
    model.save_pretrained(tmp_path / "same")
    assert (tmp_path / "same" / "targets.json").exists()
    other = load_model(several / "best", num_labels=5)
    assert other.targets is None
    written = convert(several / "best", tmp_path / "official", "official")
    assert tmp_path / "official" / "targets.json" in written


def test_a_checkpoint_without_thresholds_has_those_of_chance(
    painted: Path, several: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(several / "best", checkpoint)
    (checkpoint / "targets.json").unlink()
    metrics = evaluate_here(checkpoint, painted / "val.csv", tmp_path / "out")
    assert set(metrics["thresholds"].values()) == {0.5}
    assert (
        "the checkpoint has no thresholds, which validation chooses: F1 is for 0.5" in caplog.text
    )
    (checkpoint / "targets.json").write_text('{"thresholds": [0.5]}')
    with pytest.raises(CheckpointError, match=r"targets\.json: wanted 3 thresholds, one for each"):
        evaluate_here(checkpoint, painted / "val.csv", tmp_path / "out")
    (checkpoint / "targets.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"targets\.json: cannot be understood"):
        evaluate_here(checkpoint, painted / "val.csv", tmp_path / "out")


def test_statistics_that_do_not_fit_are_refused(
    painted: Path, numbers: Path, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(numbers / "best", checkpoint)
    for content, message in (
        ('{"mean": [1], "deviation": [1]}', "wanted a mean and a deviation above 0 for each of"),
        ('{"mean": [1, 2]}', "cannot be understood"),
    ):
        (checkpoint / "targets.json").write_text(content)
        with pytest.raises(CheckpointError, match=message):
            evaluate_here(checkpoint, painted / "val.csv", tmp_path / "out")
    config = json.loads((checkpoint / "config.json").read_text())
    del config["id2label"], config["label2id"]
    (checkpoint / "config.json").write_text(json.dumps(config))
    (checkpoint / "targets.json").unlink()
    with pytest.raises(CheckpointError, match="predicts 2 numbers, and does not say which columns"):
        evaluate_here(checkpoint, painted / "val.csv", tmp_path / "out")


def test_another_figure_decides_which_is_best(painted: Path, tmp_path: Path) -> None:
    arguments = (MULTI, "train.epochs=3", "optimizer.lr=1e-2")
    for name, figure, choose in (("f1", "macro_f1", max), ("loss", "loss", min)):
        run_of(painted, tmp_path / name, *arguments, f"evaluate.best_by={figure}")
        log = [r for r in read_log(tmp_path / name) if f"val/{figure}" in r]
        values = {record["step"]: record[f"val/{figure}"] for record in log}
        assert len(values) == 3
        best = (tmp_path / name / "best").resolve().parent.name
        assert values[int(best.removeprefix("step-"))] == choose(values.values())
    # A run that goes on judges the checkpoints that are left by the new figure.
    run_of(painted, tmp_path / "f1", *arguments, "evaluate.best_by=loss", "train.epochs=4")
    log = [r for r in read_log(tmp_path / "f1") if "val/loss" in r]
    values = {record["step"]: record["val/loss"] for record in log}
    best = (tmp_path / "f1" / "best").resolve().parent.name
    assert best == f"step-{min(values, key=values.__getitem__):08d}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["evaluate.best_by=map"],
            "evaluate.best_by: task=single_label has no figure 'map', valid: top1, top5, macro_f1, "
            "balanced_accuracy, loss",
        ),
        (
            [*NUMBERS, "evaluate.best_by=top1"],
            "evaluate.best_by: task=regression has no figure 'top1', valid: mae, r2, spearman, "
            "rmse, loss",
        ),
        (
            [MULTI, "data.target_columns=[a]"],
            "data.target_columns: is for task=regression, got task=multi_label",
        ),
        (
            [*NUMBERS, "data.sampler=sqrt", "train.class_weights=inverse"],
            "data.sampler: task=regression has no classes; leave it out; train.class_weights: "
            "task=regression has no classes; leave it out",
        ),
        (
            [*NUMBERS, "train.label_smoothing=0.1", "augment.cutmix_alpha=1"],
            "train.label_smoothing: task=regression has no classes; leave it out; "
            "augment.cutmix_alpha: task=regression does not mix videos; leave it out",
        ),
        (
            [MULTI, "images.train.manifest=x.csv"],
            "images: joint training is for task=single_label, got task=multi_label",
        ),
        (
            ["task=regression", "data.target_columns=[a,a]"],
            "data.target_columns: wanted names of columns, each once, and none of path, "
            "start_seconds, end_seconds, shard, member, offset_bytes, size_bytes, got ['a', 'a']",
        ),
        (["task=multi"], "task: input should be 'single_label', 'multi_label' or 'regression'"),
    ],
)
def test_settings_that_do_not_fit_are_named(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_settings(TrainRun, ["output_dir=out", *arguments])
    assert str(error.value).startswith(message)


def test_bad_rows_are_named_before_anything_starts(painted: Path, tmp_path: Path) -> None:
    lines = (painted / "train.csv").read_text().splitlines()
    for more, line, message in (
        ((MULTI,), "a.mp4,blue|blve,1,1", "line 4: label 'blve' is not one of the 3 classes, did"),
        (NUMBERS, "a.mp4,blue,high,1", "line 4: level='high' is not a number"),
        (NUMBERS, "a.mp4,blue,1,", "line 4: has no width"),
    ):
        manifest = painted / "other.csv"
        manifest.write_text("\n".join([*lines[:3], line, *lines[3:]]) + "\n")
        with pytest.raises(ManifestError, match=message):
            run_of(painted, tmp_path / "run", *more, f"data.train.manifest={manifest}")
    assert not list((tmp_path / "run").glob("checkpoints/*"))


def test_what_a_run_that_goes_on_may_change(
    painted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output_dir = tmp_path / "run"
    stop_at(3, monkeypatch)
    with pytest.raises(Interrupted):
        run_of(painted, output_dir, MULTI, "data.sampler=balanced")
    stop_at(0, monkeypatch)
    for more, message in (
        ((MULTI,), "data.sampler=uniform instead of balanced"),
        ((*NUMBERS,), "task=regression instead of multi_label"),
    ):
        with pytest.raises(CheckpointError, match=message):
            run_of(painted, output_dir, *more)
    # With other labels, an order by classes is another order.
    lines = (painted / "train.csv").read_text().splitlines()
    manifest = painted / "relabelled.csv"
    manifest.write_text("\n".join([lines[0], lines[1].replace(",,", ",red,"), *lines[2:]]) + "\n")
    with pytest.raises(CheckpointError, match="cannot go on with other labels"):
        run_of(
            painted,
            output_dir,
            MULTI,
            "data.sampler=balanced",
            f"data.train.manifest={manifest}",
        )
    run_of(painted, output_dir, MULTI, "data.sampler=balanced", "train.class_weights=inverse")


def test_numbers_go_on_in_the_units_that_they_began_with(painted: Path, tmp_path: Path) -> None:
    """Outputs are in them: with other numbers in the manifest, they would mean something else."""
    run_of(painted, tmp_path / "run", *NUMBERS, "train.epochs=1")
    kept = (tmp_path / "run" / "last" / "targets.json").read_bytes()
    rows = [line.split(",") for line in lines_of(painted / "train.csv")]
    others = [(path, label, 5 * float(level), width) for path, label, level, width in rows]
    manifest = write_manifest(painted / "others.csv", others, "path,label,level,width")
    run_of(painted, tmp_path / "run", *NUMBERS, f"data.train.manifest={manifest}")
    assert (tmp_path / "run" / "last" / "targets.json").read_bytes() == kept


def test_numbers_are_summed_up(
    painted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_of(painted, tmp_path / "run", *NUMBERS, "train.epochs=1")
    lines = capsys.readouterr().out.splitlines()
    assert "data       28 videos, 2 targets" in lines
    assert any(line.startswith("target     level: mean 10") for line in lines)


def test_a_balanced_run_draws_rare_classes_more_often(
    tiny_dataset: TinyDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [line.split(",") for line in lines_of(tiny_dataset.train)]
    few = [row for index, row in enumerate(rows) if row[1] != "red" or index < 3]
    manifest = write_manifest(tiny_dataset.folder / "few.csv", few)
    common = ["train.epochs=1", f"data.train.manifest={manifest}", "train.class_weights=inverse"]
    run_of(tiny_dataset.folder, tmp_path / "one", *common, "data.sampler=balanced")
    summary = "sampler    balanced: classes of 1 to 12 videos, of which a pass takes 8 to 8"
    assert summary in capsys.readouterr().out.splitlines()
    run_of(tiny_dataset.folder, tmp_path / "other", *common)
    log = read_log(tmp_path / "one")
    assert {"val/balanced_accuracy", "val/macro_f1", "val/top1"} <= log[-1].keys()
    one, other = (load_file(tmp_path / n / "last" / "model.safetensors") for n in ("one", "other"))
    assert any(not torch.equal(one[name], other[name]) for name in one)
