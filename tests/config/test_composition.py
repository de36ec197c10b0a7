"""Settings of commands: each has the groups that it uses, and no key that it does not."""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from hiera_video.cli import COMMANDS
from hiera_video.commands.checkpoint import CheckpointClip
from hiera_video.commands.convert import Layout
from hiera_video.commands.evaluate import EvaluateRun
from hiera_video.commands.features import FeatureRun
from hiera_video.commands.prepare_folder import FolderRun
from hiera_video.config.groups import RunSettings
from hiera_video.config.help import all_fields
from hiera_video.config.machinery import Settings, dump_yaml, parse_settings
from hiera_video.config.yaml_files import recipe_names
from hiera_video.errors import ConfigError
from hiera_video.models.activations import ACTIVATIONS
from hiera_video.models.config import ACTIVATION_NAMES, HieraConfig
from hiera_video.models.layouts import LAYOUTS
from hiera_video.training.settings import PretrainRun, TrainRun


def settings_of(command: str) -> type[Settings]:
    settings: type[Settings] = import_module(
        f"hiera_video.commands.{COMMANDS[command].module}"
    ).SETTINGS
    return settings


KEYS = {command: {key for key, _ in all_fields(settings_of(command))} for command in COMMANDS}


def nested(key: str, value: Any) -> dict[str, Any]:
    for name in reversed(key.split(".")):
        value = {name: value}
    return dict(value)


def is_unknown(fault: tuple[str, str], key: str) -> bool:
    """Whether a fault is that there is no such key, or no group with it."""
    return f"{key}.".startswith(f"{fault[0]}.") and fault[1].startswith("unknown key, ")


def refused(cls: type[Settings], *arguments: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_settings(cls, arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("command", COMMANDS)
def test_keys_of_other_commands_are_refused(command: str) -> None:
    own = KEYS[command]
    groups = {key.rpartition(".")[0] for key in own}
    others = set().union(*KEYS.values()) - own
    assert len(others) > 40
    for key in sorted(others):
        with pytest.raises(ConfigError) as caught:
            settings_of(command)(**nested(key, "x"))
        if key in groups:  # a group here, a single value there
            continue
        single = [name for name in own if key.startswith(f"{name}.")]
        faults = caught.value.faults
        assert single or any(is_unknown(fault, key) for fault in faults), (key, faults)


@pytest.mark.parametrize(
    ("cls", "arguments", "messages"),
    [
        (
            PretrainRun,
            [
                "train.validate_epochs=7",
                "train.label_smoothing=0.1",
                "data.val.manifest=x",
                "data.manifest=x",
                "model.head_init_scale=5",
                "augment.mixup_alpha=0.8",
                "evaluate.num_clips=2",
                "images.train.manifest=x",
                "images.val.manifest=x",
                "images.model.head_dropout=0.5",
            ],
            [
                "train.validate_epochs: unknown key, did you mean train.epochs?",
                "train.label_smoothing: unknown key, valid: epochs, ",
                "data.val: unknown key, valid: decoder, ",
                "data.manifest: unknown key, did you mean data.train.manifest?",
                "model.head_init_scale: unknown key, ",
                "augment.mixup_alpha: unknown key, ",
                "evaluate: unknown key, ",
                "images.val: unknown key, ",
                "images.model.head_dropout: unknown key, ",
            ],
        ),
        (
            TrainRun,
            [
                "data.manifest=x",
                "model.mask_ratio=0.9",
                "model.decoder_depth=3",
                "model.num_labels=3",
                "model.depht=3",
                "model.drop_path_rate=2",
                "model.depths=[2,x]",
                "model.hidden_size=8",
                "clip.frames_per_secnd=3",
            ],
            [
                "data.manifest: unknown key, did you mean data.",
                "model.mask_ratio: unknown key, ",
                "model.decoder_depth: unknown key, ",
                "model.num_labels: unknown key, ",
                "model.depht: unknown key, did you mean depths?",
                "model.drop_path_rate: input should be less than 1, got 2",
                "model.depths.1: input should be a valid integer",
                "model.hidden_size: unknown key, ",
                "clip.frames_per_secnd: unknown key, did you mean frames_per_second?",
            ],
        ),
        (
            EvaluateRun,
            [
                "data.train.manifest=x",
                "data.max_failed_share=0",
                "data.manifest=x",
                "clip.crop_size=64",
                "clip.frames_per_secnd=30",
                "clip.stride=0",
            ],
            [
                "data.train: unknown key, ",
                "data.max_failed_share: unknown key, ",
                "data.manifest: unknown key, did you mean data.val.manifest?",
                "clip.crop_size: unknown key, ",
                "clip.frames_per_secnd: unknown key, did you mean frames_per_second?",
                "clip.stride: input should be greater than or equal to 1, got 0",
                "checkpoint: is required and was not given",
            ],
        ),
        (
            FeatureRun,
            ["data.val.manifest=x", "evaluate.num_clips=2"],
            ["data.val: unknown key, ", "evaluate: unknown key, "],
        ),
    ],
)
def test_what_a_command_does_not_use_is_refused_all_at_once(
    cls: type[Settings], arguments: list[str], messages: list[str]
) -> None:
    told = f"; {refused(cls, 'output_dir=out', *arguments)}"
    for message in messages:
        assert f"; {message}" in told


@pytest.mark.parametrize("cls", [TrainRun, PretrainRun])
def test_an_unknown_model_is_named_before_anything_starts(cls: type[Settings]) -> None:
    told = refused(cls, "output_dir=out", "model.name=hiera_bas_16x224", "seed=x")
    assert "model.name: unknown model, did you mean hiera_base_16x224?" in told
    assert "seed: input should be a valid integer" in told


def test_fields_of_models_are_those_of_the_configuration() -> None:
    """None is typed again, so that a new one can be set at once."""
    own = {"image_size", "num_labels", "id2label", "label2id", "out_features", "out_indices"}
    own |= {"output_attentions", "output_hidden_states", "return_dict", "problem_type"}
    fields = {f"model.{name}" for name in HieraConfig.model_fields.keys() - own}
    keys = KEYS["train"] | KEYS["pretrain"]
    assert {key for key in keys if key.startswith("model.")} == fields | {"model.name"}
    assert "model.mask_ratio" in KEYS["pretrain"] - KEYS["train"]
    assert "model.head_dropout" in KEYS["train"] - KEYS["pretrain"]


def test_only_what_was_given_counts_and_is_written() -> None:
    run = parse_settings(TrainRun, ["output_dir=out", "model.depths=[1,1,1,1]"])
    assert run.model.overrides == {"depths": [1, 1, 1, 1]}
    written = yaml.safe_load(dump_yaml(run))
    assert written["model"] == {"name": "hiera_base_16x224", "depths": [1, 1, 1, 1]}
    keys = {"output_dir", "seed", "precision", "compile"}
    assert type(run.plain) is RunSettings
    assert set(run.plain.model_dump()) == keys
    clip = CheckpointClip.model_validate({"short_side": None, "stride": 2})
    assert clip.given == {"stride": 2, "short_side": None}
    assert CheckpointClip().given == {}


def test_an_image_is_one_frame() -> None:
    arguments = ["output_dir=out", "images.train.manifest=x"]
    assert "input should be 1, got 4" in refused(TrainRun, *arguments, "images.clip.num_frames=4")
    assert parse_settings(TrainRun, [*arguments, "images.clip.num_frames=1"]).images is not None


def test_names_that_settings_repeat_are_those_of_what_they_choose() -> None:
    assert set(get_args(Layout)) == set(LAYOUTS)
    assert set(ACTIVATION_NAMES) == set(ACTIVATIONS)


class TestSeveralFiles:
    def test_a_later_one_holds_over_those_before_it(self, tmp_path: Path) -> None:
        recipe, data = tmp_path / "recipe.yaml", tmp_path / "data.yaml"
        recipe.write_text("output_dir: a\ntrain: {epochs: 4, log_steps: 3}\nseed: 1\n")
        data.write_text("output_dir: b\ndata: {train: {manifest: t.csv}}\ntrain: {epochs: 6}\n")
        files = ["--config", str(recipe), "--config", str(data)]
        run = parse_settings(TrainRun, [*files, "seed=5"])
        assert (run.output_dir, run.train.epochs, run.train.log_steps) == (Path("b"), 6, 3)
        assert (run.seed, run.data.train.manifest) == (5, Path("t.csv"))
        run = parse_settings(TrainRun, ["seed=5", *files[2:], "train.epochs=8", *files[:2]])
        assert (run.output_dir, run.train.epochs, run.seed) == (Path("a"), 8, 5)

    def test_a_mistake_is_named_with_the_file_that_made_it(self, tmp_path: Path) -> None:
        one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
        one.write_text("output_dir: a\nsead: 1\ntrain:\n  epochs: 0\n")
        two.write_text("train:\n  log_steps: 0\n")
        told = refused(TrainRun, "--config", str(one), "--config", str(two))
        assert f"sead: unknown key, did you mean seed? ({one}, line 2)" in told
        assert f"got 0 ({one}, line 4)" in told
        assert f"got 0 ({two}, line 2)" in told


class TestRecipesByName:
    def test_the_packaged_one_is_taken_where_there_is_no_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("kinetics400/finetune_base", "configs/kinetics400/finetune_base.yaml"):
            run = parse_settings(TrainRun, ["--config", name])
            assert (run.model.name, run.train.epochs) == ("hiera_base_16x224", 150), "of its base"
        own = tmp_path / "kinetics400" / "finetune_base"
        own.parent.mkdir()
        own.write_text("output_dir: own\n")
        assert parse_settings(TrainRun, ["--config", name[8:-5]]).output_dir == Path("own")

    def test_near_names_are_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        told = refused(TrainRun, "--config", "kinetics400/finetune_bse")
        begin = "--config kinetics400/finetune_bse: cannot be read (No such file or directory); "
        assert told.startswith(f"{begin}recipes with such names: kinetics400/finetune_base, ")
        assert refused(TrainRun, "--config", "mine.yaml").endswith("(No such file or directory)")

    def test_they_are_those_of_the_repository(self) -> None:
        assert {"demo/finetune", "demo/pretrain", "finetune"} <= set(recipe_names())
        assert not any(name.startswith("accelerate") for name in recipe_names())


class TestSavedSettings:
    """What version 0.1.0 wrote had keys of other commands."""

    @pytest.fixture
    def saved(self, tmp_path: Path) -> Path:
        run = PretrainRun(
            output_dir=tmp_path, train={"epochs": 7}, images={"train": {"manifest": "i"}}
        )
        values = yaml.safe_load(dump_yaml(run))
        values["data"] |= {"manifest": None, "val": {"manifest": None}}
        values["train"] |= {"validate_epochs": 1, "label_smoothing": 0.0}
        values["augment"] |= {"mixup_alpha": 0.0, "cutmix_alpha": 0.0}
        values["images"] |= {"val": {"manifest": None}}
        values["images"]["clip"] |= {"num_frames": 1, "stride": 4}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        return tmp_path / "config.yaml"

    GONE = (
        "passed over, since these keys are gone: data.manifest, data.val.manifest, "
        "augment.mixup_alpha, augment.cutmix_alpha, train.validate_epochs, train.label_smoothing, "
        "images.val.manifest"
    )

    def test_keys_that_are_gone_are_named_once(
        self, saved: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING):
            run = parse_settings(PretrainRun, ["--config", str(saved)])
        assert [record.getMessage() for record in caplog.records] == [f"{saved}: {self.GONE}"]
        assert run.train.epochs == 7

    def test_a_run_can_be_started_from_them(
        self, saved: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        run = parse_settings(PretrainRun, ["--config", str(saved), "seed=4"])
        assert (run.seed, run.train.epochs) == (4, 7)
        assert [record.getMessage() for record in caplog.records] == [f"{saved}: {self.GONE}"]

    def test_a_misspelt_key_is_not_taken_for_one_that_is_gone(self, saved: Path) -> None:
        saved.write_text(saved.read_text().replace("epochs:", "epocs:"))
        with pytest.raises(ConfigError, match=r"train\.epocs: unknown key, did you mean epochs\?"):
            parse_settings(PretrainRun, ["--config", str(saved)])

    def test_what_is_written_now_is_read_without_a_word(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        run = parse_settings(TrainRun, ["output_dir=out", "model.embed_dim=8"])
        (tmp_path / "config.yaml").write_text(dump_yaml(run))
        file = tmp_path / "config.yaml"
        assert parse_settings(TrainRun, ["--config", str(file)]) == run
        assert caplog.records == []

    def test_a_recipe_with_such_a_key_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "config.yaml").write_text("output_dir: a\ndata: {manifest: null}\n")
        told = refused(PretrainRun, "--config", str(tmp_path / "config.yaml"))
        assert "data.manifest: unknown key, did you mean data.train.manifest?" in told


class TestBareArguments:
    """Files are given bare, all else is ``key=value``; older flags stand for keys."""

    def test_text_is_no_yaml(self) -> None:
        arguments = ["group=[0-9]+", "1.5", "--val-share", "0.3", "null"]
        run = parse_settings(FolderRun, arguments)
        assert (run.videos, run.output_dir) == (Path("1.5"), Path("null"))
        assert (run.group, run.val_share) == ("[0-9]+", 0.3)
        assert parse_settings(FolderRun, [*arguments, "group=null"]).group is None

    def test_a_mistake_is_named_as_it_was_given(self) -> None:
        assert refused(FolderRun, "a", "b", "--val-share", "2") == (
            "--val-share=2: wanted a share of at least 0 and under 1"
        )
        assert refused(FolderRun, "a", "b", "val_share=2") == (
            "val_share: wanted a share of at least 0 and under 1, got 2"
        )
        assert refused(FolderRun, "a") == "output_dir: is required and was not given"
        assert refused(FolderRun, "a", "b", "c") == "'c': wanted key=value, or at most 2 files"
        assert refused(FolderRun, "a", "b", "seeds=3") == "seeds: unknown key, did you mean seed?"
        assert refused(FolderRun, "a", "") == "OUTPUT_DIR: is empty; wanted a path"

    def test_a_file_whose_name_looks_like_a_setting(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert "a: unknown key, " in refused(FolderRun, "a=b", "out")
        Path("a=b").touch()
        assert parse_settings(FolderRun, ["a=b", "out"]).videos == Path("a=b")
        assert parse_settings(FolderRun, ["./c=d", "out"]).videos == Path("c=d")
