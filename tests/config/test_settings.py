"""Settings: YAML and overrides in, every mistake named in one line."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from hiera_video.commands.evaluate import EvaluateRun
from hiera_video.commands.features import FeatureRun
from hiera_video.config.clip_groups import ClipSettings, EvaluateSettings, ImageSettings
from hiera_video.config.groups import Decoder
from hiera_video.config.machinery import dump_yaml, load_yaml, parse_settings
from hiera_video.data.sampling import RULES
from hiera_video.decoding.decoders import DECODERS
from hiera_video.errors import ConfigError
from hiera_video.training.settings import TrainRun
from tests.support import ROOT, run_here


def parse(*arguments: str) -> TrainRun:
    return parse_settings(TrainRun, ["output_dir=out", *arguments])


def test_overrides_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("output_dir: a\ntrain: {epochs: 7, batch_size: 3}\noptimizer: {lr: 1e-3}\n")
    run = parse_settings(TrainRun, ["--config", str(config), "train.epochs=9"])
    assert (run.train.epochs, run.train.batch_size, run.train.accumulate_steps) == (9, 3, 1)
    assert run.optimizer.lr == 1e-3
    assert run.output_dir == Path("a")


def test_values_are_yaml() -> None:
    run = parse("clip.mean=[0.1, 0.2, 0.3]", "compile=true", "train.clip_grad_norm=null")
    assert run.clip.mean == (0.1, 0.2, 0.3)
    assert run.compile is True
    assert run.train.clip_grad_norm is None


def test_an_empty_section_of_a_file_can_be_filled(tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("output_dir: a\ntrain:\n")
    run = parse_settings(TrainRun, ["--config", str(config), "train.epochs=2"])
    assert run.train.epochs == 2


def test_settings_written_as_yaml_read_back_alike(tmp_path: Path) -> None:
    run = parse("model.name=hiera_base_16x224", "model.depths=[1,1,1,1]", "data.root=/videos")
    (tmp_path / "config.yaml").write_text(dump_yaml(run))
    assert TrainRun(**load_yaml(tmp_path / "config.yaml")) == run


def test_names_of_settings_are_those_of_what_they_choose() -> None:
    """``config`` imports nothing from ``data``, so the names stand in both."""
    assert set(get_args(Decoder)) == set(DECODERS)
    assert set(get_args(ClipSettings.model_fields["sampling"].annotation)) == set(RULES)


def test_a_base_file_holds_where_the_file_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "a.yaml").write_text("output_dir: a\ntrain: {epochs: 4, log_steps: 3}\n")
    (tmp_path / "b.yaml").write_text("base: shared/a.yaml\ntrain: {epochs: 8}\n")
    (tmp_path / "c.yaml").write_text("base: b.yaml\noutput_dir: c\n")
    run = parse_settings(TrainRun, ["--config", str(tmp_path / "c.yaml"), "seed=5"])
    assert (run.train.epochs, run.train.log_steps, run.seed) == (8, 3, 5)
    assert run.output_dir == Path("c")


def test_model_fields_are_kept_as_given() -> None:
    run = parse("model.embed_dim=8", "model.drop_path_rate=0.1")
    assert run.model.overrides == {"embed_dim": 8, "drop_path_rate": 0.1}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("train.epoch=3", "train.epoch: unknown key, did you mean epochs?"),
        ("trian.epochs=3", "trian: unknown key, did you mean train?"),
        ("xyzzy=1", "xyzzy: unknown key, valid: output_dir, precision"),
        ("optimizer.lr=fast", "optimizer.lr: input should be a valid number"),
        ("optimizer.lr=-1", "optimizer.lr: input should be greater than 0, got -1"),
        ("data.decoder=vlc", "data.decoder: input should be 'pyav', 'decord' or 'torchcodec'"),
        ("precision=fp8", "precision: input should be 'fp32', 'bf16' or 'fp16', got 'fp8'"),
        ("train=3", "train: input should be a valid dictionary"),
        ("output_dir.x=3", "output_dir.x=3: output_dir is a single value"),
        ("epochs", "'epochs': wanted key=value, such as train.epochs=10"),
        ("augment.scale=[1, 0.5]", "augment.scale: wanted two positive numbers"),
        ("clip.std=[1, 1]", "clip: mean and std need one value per channel"),
        ("clip.short_side=8", "clip: short_side=8 is smaller than crop_size=224"),
        ("train.repeated_sampling=3", "repeated_sampling=3 does not divide batch_size=8"),
        ("train.repeated_sampling=8", "repeated_sampling=8 does not divide epochs=100"),
        ("optimizer.warmup_epochs=101", "warmup_epochs=101.0 is more than train.epochs=100"),
    ],
)
def test_a_mistake_names_key_value_and_fix(argument: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(argument)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("train.epochs=0", "optimizer.lr=x", "seeds=1")
    assert "train.epochs" in str(caught.value)
    assert "optimizer.lr" in str(caught.value)
    assert "seeds: unknown key, did you mean seed?" in str(caught.value)


def test_what_is_required_is_named() -> None:
    with pytest.raises(ConfigError, match=r"output_dir: is required.*checkpoint: is required"):
        parse_settings(EvaluateRun, [])


def test_an_image_is_seen_once() -> None:
    image, clip = ImageSettings(), ClipSettings()
    assert EvaluateSettings().of(clip) == EvaluateSettings()
    views = [EvaluateSettings(**given).of(image) for given in ({}, {"num_crops": 3})]
    assert [(view.num_clips, view.num_crops) for view in views] == [(1, 1), (1, 3)]
    with pytest.raises(
        ConfigError, match=r"evaluate\.num_clips=2: the model takes images, which have 1"
    ):
        EvaluateSettings(num_clips=2).of(image)


def test_a_clip_of_the_whole_video_is_tested_once() -> None:
    clip = ClipSettings(sampling="segments")
    views = [EvaluateSettings(**given).of(clip) for given in ({}, {"num_crops": 1})]
    assert [(view.num_clips, view.num_crops) for view in views] == [(1, 3), (1, 1)]
    with pytest.raises(
        ConfigError, match=r"evaluate\.num_clips=5: clip\.sampling=segments, by which all clips"
    ):
        EvaluateSettings(num_clips=5).of(clip)


def test_validation_sees_a_video_once_whatever_else_is_set() -> None:
    for arguments in ([], ["evaluate.batch_size=8"]):
        for kind in (ClipSettings(), ImageSettings()):
            views = parse(*arguments).evaluate.of(kind)
            assert (views.num_clips, views.num_crops) == (1, 1)
    views = parse("evaluate.num_clips=5", "evaluate.num_crops=3").evaluate.of(ClipSettings())
    assert (views.num_clips, views.num_crops) == (5, 3)


def test_windows_must_not_leave_gaps() -> None:
    arguments = ["output_dir=o", "checkpoint=c", "features.window_seconds=1"]
    with pytest.raises(
        ConfigError, match=r"stride_seconds=2\.0 is longer than window_seconds=1\.0"
    ):
        parse_settings(FeatureRun, [*arguments, "features.stride_seconds=2"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [1", ": is not valid YAML (line 1: while parsing a flow sequence expected"),
        ("- 1\n- 2\n", ": wanted `key: value` lines, got list (line 1)"),
        ("# why\n\njust text\n", ": wanted `key: value` lines, got str (line 3)"),
        ("seed: 1\ntrain:\n  epochs: 2\n log_steps: 3\n", ": is not valid YAML (line 4: "),
        (
            "train:\n\tepochs: 2\n",
            ": is not valid YAML (line 2: while scanning for the next token found character '\\t' "
            "that cannot start any token: indent with spaces, not tabs)",
        ),
        (
            "train:\n  epochs: 2\nseed: 1\ntrain:\n  log_steps: 3\n",
            ": is not valid YAML (line 4: train is there twice, also in line 1)",
        ),
        (
            "train:\n  epochs: 2\n  epochs: 3\n",
            ": is not valid YAML (line 3: epochs is there twice",
        ),
        ("seed: 1\n---\nseed: 2\n", ": is not valid YAML (line 2: expected a single document"),
        ("train: &a\n  x: *a\n", ": is not valid YAML (line 1: holds itself)"),
        ("seed: !!python/object:os.system 1\n", ": is not valid YAML (line 1: could not determine"),
        ("seed: 2024-13-45\n", ": is not valid YAML (month must be in 1..12"),
        ("train: {epochs: *b}\n", ": is not valid YAML (line 1: found undefined alias 'b')"),
        ("1: 2\n", ", line 1: 1: a setting's name is text"),
        ("x: " + "[" * 20_000, ": is not valid YAML (nested too deeply)"),
        (b"seed: 1\n\x00\x01\x02\n", ": is not valid YAML (line 2: special characters are not"),
        (b"seed: 1\n\xff\xfe\n", ": is not valid YAML (line 2: not text in UTF-8)"),
        ("seed: 1\nbase:\n", ", line 2: base: wanted the path of a YAML file, got None"),
        ("base: ''\n", ", line 1: base: wanted the path of a YAML file, got ''"),
        ("base: [a.yaml]\n", ", line 1: base: wanted the path of a YAML file, got ['a.yaml']"),
        ("base: run.yaml\n", ", line 1: base: leads back to where it began ("),
        (None, "cannot be read (No such file or directory)"),
    ],
)
def test_a_bad_file_is_named_with_the_line(
    tmp_path: Path, content: str | bytes | None, message: str
) -> None:
    config = tmp_path / "run.yaml"
    if content is not None:
        config.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        parse("--config", str(config))
    assert f"{config}{message}" in str(caught.value) or (
        content is None and message in str(caught.value)
    )
    assert "\n" not in str(caught.value)


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--config .*: cannot be read \(Is a directory\)"):
        parse("--config", str(tmp_path))


def test_files_that_are_each_others_base_are_named(tmp_path: Path) -> None:
    names = ("a", "b", "c")
    for name, base in zip(names, ("b", "c", "b"), strict=True):
        (tmp_path / f"{name}.yaml").write_text(f"seed: 1\nbase: {base}.yaml\n")
    with pytest.raises(ConfigError) as caught:
        load_yaml(tmp_path / "a.yaml")
    a, b, c = (tmp_path / f"{name}.yaml" for name in names)
    assert str(caught.value) == (
        f"{c}, line 2: base: leads back to where it began ({a} -> {b} -> {c} -> {b})"
    )
    c.unlink()
    with pytest.raises(ConfigError, match=r"b\.yaml, line 2: base: .*c\.yaml: cannot be read \(No"):
        load_yaml(a)
    c.write_text("seed: 1\nseed: 2\n")
    with pytest.raises(ConfigError, match=r"line 2: base: .*c\.yaml: is not valid YAML \(line 2"):
        load_yaml(a)


def test_a_setting_that_is_wrong_is_named_with_its_line(tmp_path: Path) -> None:
    base, config = tmp_path / "base.yaml", tmp_path / "run.yaml"
    base.write_text("augment:\n  scale: [1, 0.5]\ntrain:\n  epoch: 3\n  log_steps: 0\n")
    config.write_text("base: base.yaml\ntrain:\n  batch_size: 4\n  repeated_sampling: 3\n")
    arguments = ["--config", str(config), "output_dir=out", "train.log_steps=0"]
    with pytest.raises(ConfigError) as caught:
        parse_settings(TrainRun, arguments)
    text = str(caught.value)
    assert f"train.epoch: unknown key, did you mean epochs? ({base}, line 4)" in text
    assert f"the smaller one first, got [1, 0.5] ({base}, line 2)" in text
    assert "train.log_steps: input should be greater than or equal to 1, got 0;" in f"{text};"
    assert "\n" not in text


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "data.train.manifest=",
            "data.train.manifest=: has no value; wanted data.train.manifest=VA",
        ),
        (
            "init_from= ",
            "init_from=: has no value; wanted init_from=VALUE, or init_from=null to un",
        ),
        ("data.train.manifest=''", "data.train.manifest: is empty; wanted a value, got ''"),
        ("data.root=' '", "data.root: is empty; wanted a value, got ' '"),
        ("init_from=''", "init_from: is empty; wanted a value, got ''"),
        ("seed=2024-13-45", "seed: input should be a valid integer"),
    ],
)
def test_empty_values_are_no_paths(argument: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(argument)
    assert message in str(caught.value)


def test_empty_values_in_a_file_are_named_with_their_line(tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("output_dir: a\ndata:\n  train:\n    manifest: ''\n")
    with pytest.raises(ConfigError) as caught:
        parse("--config", str(config))
    place = f"({config}, line 4)"
    assert str(caught.value) == (f"data.train.manifest: is empty; wanted a value, got '' {place}")


def test_empty_arguments_are_no_paths(capsys: pytest.CaptureFixture[str]) -> None:
    for script, arguments in (
        ("scripts/inspect_videos.py", ("", "out")),
        ("scripts/predict.py", ("--checkpoint", "model", "")),
        ("datasets/folder/prepare.py", ("", "out")),
    ):
        assert run_here(ROOT / script, *arguments) == 2
        assert "is empty; wanted a path" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "lines", "absent"),
    [
        (
            "train",
            [
                "data.decoder [pyav]  pyav | ",
                "clip.mean [[0.45, 0.45, 0.45]]  per channel",
                "clip.short_side [null]  short side in pixels",
                "train.epochs [100]",
                "train.ema_decay [null]",
                "images.batch_size [32]",
                "images.model.drop_path_rate [of model]",
                "model.name [hiera_base_16x224]",
                "model.drop_path_rate [of the variant]  of the last block",
                "model.position_initializer [of the variant]  normal | sine_cosine; what",
                "evaluate.num_clips [1]",
            ],
            ["model.num_labels", "model.mask_ratio", "images.clip.num_frames"],
        ),
        ("pretrain", ["model.mask_ratio [of the variant]"], ["data.val.manifest"]),
        (
            "evaluate",
            [
                "checkpoint [required]",
                "data.val.manifest [null]",
                "clip.frames_per_second [of the checkpoint]",
                "evaluate.num_clips [5]",
            ],
            ["data.train.manifest", "clip.crop_size"],
        ),
        (
            "extract_features",
            ["data.manifest [null]", "features.layer [pooled]  pooled | stage1 | "],
            ["data.val.manifest"],
        ),
    ],
)
def test_help_lists_the_keys_of_a_command(
    script: str, lines: list[str], absent: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(ROOT / f"scripts/{script}.py", "--help") == 0
    text = capsys.readouterr().out
    assert f"accelerate launch scripts/{script}.py " in text, "an example"
    assert "Values are YAML: lists as 'key=[a,b]' (quoted), null unsets." in text
    assert "precision [fp32]  fp32 | bf16 | fp16" in text
    for line in lines:
        assert f"\n  {line}" in text
    assert "Undefined" not in text
    for key in absent:
        assert f"  {key} [" not in text
