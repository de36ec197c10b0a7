"""What may change when a run goes on: the rules, and real runs that follow them."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hiera_video.errors import CheckpointError, ConfigError, Interrupted
from hiera_video.training.agreement import StopTogether
from hiera_video.training.changes import digest, first_progress, go_on, refuse_settings
from hiera_video.training.rules import RULES, rule_of, rules_table, settings_of
from hiera_video.training.saving import (
    CHECKSUMS_FILE,
    STATE_FILE,
    Progress,
    saved_checkpoints,
    write_checksums,
)
from hiera_video.training.settings import PretrainRun, TrainingRun, TrainRun
from tests.support import (
    ROOT,
    TINY_IMAGE,
    TinyDataset,
    open_labelled,
    read_manifest,
    write_manifest,
)
from tests.training.runs import train_here


def run_here(dataset: TinyDataset, output_dir: Path, *more: str) -> list[dict[str, Any]]:
    """The log of a run of three steps a pass, each of them logged."""
    each = ["train.log_steps=1", "train.keep_checkpoints=9"]
    return train_here(dataset, output_dir, *each, *more)


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StopTogether, "agree", lambda _, now: 15 * (now == step))


def place(**given: Any) -> Progress:
    """A place in a run; between passes, unless ``rows`` are given."""
    common = {"step": 9, "passes": 2, "epochs": 4, "repeats": 2, "num_rows": 36, "videos": "a"}
    return Progress(**{**common, "labels": "b", **given})


SOURCE = Path("step-9")


@pytest.mark.parametrize("kind", [TrainRun, PretrainRun])
def test_every_setting_has_a_rule_and_every_rule_a_setting(kind: type[TrainingRun]) -> None:
    keys = settings_of(kind)
    assert len(keys) > 80
    assert {"seed", "model.depths", "images.clip.mean", "augment.scale", "data.root"} <= {*keys}
    followed = {rule_of(key) for key in keys}
    if kind is TrainRun:
        assert followed == {*RULES}
    with pytest.raises(KeyError):
        rule_of("no.setting")


@pytest.mark.parametrize("kind", [TrainRun, PretrainRun])
def test_settings_are_refused_as_the_rules_say(kind: type[TrainingRun]) -> None:
    """Those that fix the model are compared with the model's own: the next test."""
    for key in settings_of(kind):
        if rule_of(key).kind == "refused" and not key.startswith(("model.", "images.model.")):
            with pytest.raises(CheckpointError, match=f"with {key}=1.0 instead of 0.5; go on"):
                refuse_settings({key: 0.5}, {key: 1.0}, SOURCE)
        else:
            refuse_settings({key: 0.5}, {key: 1.0}, SOURCE)
    refuse_settings({"optimizer.layer_decay": 0.5}, {"optimizer.layer_decay": 0.6}, SOURCE)


@pytest.mark.parametrize(
    "setting",
    [
        "model.layer_norm_eps=1e-3",
        "model.hidden_act=relu",
        "model.depths=[1,1,2,1]",
        "clip.crop_size=64",
        "clip.num_frames=8",
        "optimizer.name=sgd",
        "optimizer.layer_decay=0.5",
        "images.model.layer_norm_init=0.5",
        "images.clip.crop_size=64",
        "images=null",
    ],
)
def test_real_runs_refuse_before_anything_starts(
    joint_run: Path, tiny_dataset: TinyDataset, tmp_path: Path, setting: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(joint_run, folder, symlinks=True)
    both = [setting.replace("model.", "images.model.")] * setting.startswith("model.")
    joint = json.loads((joint_run / "arguments.json").read_text())
    if setting == "images=null":
        joint = []
    with pytest.raises(CheckpointError, match="cannot go on with"):
        run_here(tiny_dataset, folder, *joint, setting, *both, "train.epochs=2")


@pytest.fixture(scope="module")
def joint_run(
    tiny_dataset: TinyDataset, tiny_images: TinyDataset, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """One pass over clips, with images."""
    folder = tmp_path_factory.mktemp("joint") / "run"
    arguments = [
        f"images.train.manifest={tiny_images.train}",
        f"images.clip.crop_size={TINY_IMAGE['crop_size']}",
        "images.batch_size=4",
    ]
    run_here(tiny_dataset, folder, *arguments, "train.epochs=1")
    (folder / "arguments.json").write_text(json.dumps(arguments))
    return folder


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        ({}, {"repeats": 4}, "train.repeated_sampling=4 instead of 2"),
        ({}, {"seed": 1}, "seed=1 instead of 0"),
        ({}, {"num_rows": 40, "videos": "c"}, "videos=40 instead of 36; go on"),
        ({}, {"videos": "c"}, "with other videos, or in another order; go on"),
    ],
)
def test_within_a_pass_the_videos_and_their_order_stay(
    tmp_path: Path, before: dict[str, Any], now: dict[str, Any], message: str
) -> None:
    run = TrainRun(output_dir=tmp_path)
    with pytest.raises(CheckpointError, match="middle of a pass over 36 videos") as error:
        go_on(place(rows=12, **before), place(**now), run.train.epochs, SOURCE)
    assert message in str(error.value)
    assert "from a checkpoint at the end of a pass" in str(error.value)
    progress, _ = go_on(place(**before), place(**now), run.train.epochs, SOURCE)
    assert (progress.step, progress.passes, progress.epochs, progress.rows) == (9, 2, 4, 0)
    assert progress.num_rows == now.get("num_rows", 36)


def test_other_labels_and_unknown_videos_go_on_within_a_pass() -> None:
    progress, changed = go_on(place(rows=12), place(labels="c"), 100, SOURCE)
    assert (progress.rows, changed) == (12, ["data.train.manifest: other labels"])
    progress, changed = go_on(place(rows=12, videos="", labels=""), place(), 100, SOURCE)
    assert (progress.rows, changed, progress.videos) == (12, [], "a")


def test_other_images_begin_with_a_permutation_of_their_own() -> None:
    before = place(images=50, num_images=36, image_files="x")
    progress, changed = go_on(before, place(num_images=10, image_files="y"), 100, SOURCE)
    assert (progress.images, changed) == (20, ["images.train.manifest: other images"])
    progress, changed = go_on(before, place(num_images=36, image_files="x"), 100, SOURCE)
    assert (progress.images, changed) == (50, [])


def test_a_digest_is_of_videos_wherever_they_are(tmp_path: Path) -> None:
    def of(rows: list[tuple[Any, ...]], header: str = "path,label") -> tuple[str, str]:
        return digest(open_labelled(write_manifest(tmp_path / "m.csv", rows, header))[0])

    videos, labels = of([("a/1.mp4", "x"), ("b/2.mp4", "y")])
    assert of([("/data/a/1.mp4", "x"), ("/data/b/2.mp4", "y")]) == (videos, labels)
    assert of([("a/1.mp4", "y"), ("b/2.mp4", "x")])[0] == videos
    assert of([("a/1.mp4", "y"), ("b/2.mp4", "x")])[1] != labels
    assert of([("b/2.mp4", "y"), ("a/1.mp4", "x")])[0] != videos
    assert of([("a/1.mp4", "x"), ("b/3.mp4", "y")])[0] != videos
    segments = [("a/1.mp4", "x", 0, 1), ("b/2.mp4", "y", 0, 2)]
    assert of(segments, "path,label,start_seconds,end_seconds")[0] != videos
    assert of([("one.mp4", "x")]) != of([("two.mp4", "x")])


def test_other_repeated_sampling_goes_on_at_the_same_epoch(
    tiny_dataset: TinyDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each video gives eight clips in all, and the rate is that of the epoch."""
    stop_at(6, monkeypatch)
    with pytest.raises(Interrupted):  # at epoch 2: after two passes of three steps
        run_here(tiny_dataset, tmp_path, "train.epochs=8")
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="does not divide the 6 epochs that are left of"):
        run_here(tiny_dataset, tmp_path, "train.epochs=8", "train.repeated_sampling=4")
    more = ["train.repeated_sampling=3", "train.epochs=8"]
    with pytest.raises(ConfigError, match="does not divide epochs=8"):
        run_here(tiny_dataset, tmp_path, *more)
    log = run_here(tiny_dataset, tmp_path, "train.epochs=8", "train.repeated_sampling=2")
    epochs = [step / 3 for step in range(6)] + [2 + step / 3 for step in range(18)]
    assert [record["epoch"] for record in log] == pytest.approx(epochs)
    rates = [1e-6 + (8e-4 - 1e-6) * (1 + math.cos(math.pi * epoch / 8)) / 2 for epoch in epochs]
    assert [record["lr"] for record in log] == pytest.approx(rates)
    state = torch.load(saved_checkpoints(tmp_path)[-1] / STATE_FILE, weights_only=True)
    assert (state["progress"]["epochs"], state["progress"]["passes"]) == (8, 5)


def test_within_a_pass_another_repeated_sampling_is_refused(
    tiny_dataset: TinyDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(5, monkeypatch)
    with pytest.raises(Interrupted):
        run_here(tiny_dataset, tmp_path, "train.epochs=4")
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"train\.repeated_sampling=2 instead of 1"):
        run_here(tiny_dataset, tmp_path, "train.epochs=4", "train.repeated_sampling=2")
    # From the end of the pass before, in a folder of its own.
    resume = f"resume={tmp_path / 'checkpoints' / 'step-00000003'}"
    more = ["train.epochs=5", "train.repeated_sampling=1", resume]
    log = run_here(tiny_dataset, tmp_path / "other", *more)
    assert [record["step"] for record in log] == list(range(4, 16))


def test_a_checkpoint_of_an_older_version_goes_on_as_before(
    tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    """Its progress has no epochs: those follow from the settings beside it."""
    repeated = ["train.repeated_sampling=2", "train.epochs=4"]
    whole = run_here(tiny_dataset, tmp_path / "whole", *repeated)
    shutil.copytree(tmp_path / "whole", tmp_path / "old", symlinks=True)
    checkpoints = saved_checkpoints(tmp_path / "old")
    middle = len(checkpoints) // 2 - 1
    for later in checkpoints[middle + 1 :]:
        shutil.rmtree(later)
    path = checkpoints[middle] / STATE_FILE
    state = torch.load(path, weights_only=True)
    del state["settings"]
    old = ("step", "passes", "rows", "num_rows", "seed")
    state["progress"] = {name: state["progress"][name] for name in old}
    torch.save(state, path)
    (checkpoints[middle] / CHECKSUMS_FILE).unlink()
    write_checksums(checkpoints[middle])
    log = run_here(tiny_dataset, tmp_path / "old", *repeated)
    for one, other in zip(log, whole, strict=True):
        assert [one[key] for key in ("step", "epoch", "lr")] == [
            other[key] for key in ("step", "epoch", "lr")
        ]
    assert log[-1]["train/loss"] == whole[-1]["train/loss"]
    with pytest.raises(CheckpointError, match=r"optimizer\.layer_decay=0\.5 instead of 1\.0"):
        run_here(tiny_dataset, tmp_path / "old", *repeated, "optimizer.layer_decay=0.5")


def test_another_validation_set_is_not_compared_with_the_one_before(
    tiny_dataset: TinyDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the first one was all right by chance, the best checkpoint is of the second."""
    easy = write_manifest(
        tmp_path / "easy.csv",
        [(tiny_dataset.folder / path, label) for path, label in read_manifest(tiny_dataset.val)],
    )
    shutil.copy(tiny_dataset.folder / "classes.txt", tmp_path)
    folder = tmp_path / "run"
    rate = ["optimizer.lr=3e-3"]
    log = run_here(tiny_dataset, folder, *rate, "train.epochs=3", f"data.val.manifest={easy}")
    first = max(record["val/top1"] for record in log if "val/top1" in record)
    best = (folder / "best").resolve()
    wrong = [
        (tiny_dataset.folder / path, {"blue": "green", "green": "red", "red": "blue"}[label])
        for path, label in read_manifest(tiny_dataset.val)
    ]
    hard = write_manifest(tmp_path / "hard.csv", wrong)
    capsys.readouterr()
    then = [*rate, "train.epochs=4", f"data.val.manifest={hard}"]
    log = run_here(tiny_dataset, folder, *then)
    second = [record["val/top1"] for record in log if "val/top1" in record][-1]
    assert second < first
    output = capsys.readouterr().out
    assert "changed    data.val.manifest: other videos or labels\n" in output
    assert "earlier checkpoints are not compared" in output
    assert (folder / "best").resolve().parent.name == "step-00000012" != best.parent.name
    # It stays so when the run goes on, and the same set in another file changes nothing.
    log = run_here(tiny_dataset, folder, *rate, "train.epochs=5", f"data.val.manifest={hard}")
    assert int((folder / "best").resolve().parent.name[5:]) >= 12


def test_the_page_shows_the_rules() -> None:
    assert rules_table() in (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")


def test_a_run_begins_with_what_its_manifests_hold(tiny_dataset: TinyDataset) -> None:
    videos, val = (open_labelled(path)[0] for path in (tiny_dataset.train, tiny_dataset.val))
    begin = first_progress(3, 1, videos, None, val)
    assert (begin.num_rows, begin.seed, begin.repeats, begin.num_images) == (36, 3, 1, 0)
    assert replace(begin, seed=0) == first_progress(0, 1, videos, None, val)
