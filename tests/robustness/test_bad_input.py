"""Every mistake that a user can make ends in one line that says what was given and what was wanted.

Files here are really broken: cut off, emptied, renamed. No test waits longer than its limit.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hiera_video.commands.evaluate import EvaluateRun
from hiera_video.commands.evaluate import start as evaluate
from hiera_video.commands.features import FeatureRun
from hiera_video.commands.features import start as extract_features
from hiera_video.config.clip_groups import ClipSettings, EvaluateSettings
from hiera_video.config.machinery import parse_settings
from hiera_video.data.dataset import EvaluationClips
from hiera_video.data.failures import SKIPPED_FILE
from hiera_video.data.manifest import Row
from hiera_video.decoding.options import DecodingOptions
from hiera_video.errors import CheckpointError, ConfigError, ManifestError, UserError, VideoError
from hiera_video.evaluation.predict import predict
from hiera_video.models.hiera import HieraModel
from hiera_video.models.variants import variant_config
from hiera_video.training.run import train
from hiera_video.training.settings import TrainRun
from tests.forked import run_forked
from tests.support import (
    TINY_ARGUMENTS,
    TINY_CLIP,
    TINY_MODEL,
    TinyDataset,
    cut_off,
    error_line,
    files_below,
    forget_accelerator,
    frame_numbers,
    read_manifest,
    save_checkpoint,
    write_audio,
    write_manifest,
    write_video,
)

DECODERS = ["pyav", "decord"]

# Bad videos: name -> what is said about them.
REASONS = {
    "missing.mp4": r"no such file or directory",
    "folder.mp4": r"it has no numbered pictures .+",
    "empty.mp4": r"the file is empty \(0 bytes\)",
    "text.mp4": r"invalid data found when processing input",
    "noise.mp4": r"invalid data found when processing input",
    "subtitles.mp4": r"the file has no video stream",
    "sound.mp4": r"the file has no video stream",
    "png.mp4": r"the file is a picture, not a video",
    "jpeg.mp4": r"the file is a picture, not a video",
    # With its table of contents (moov) at the end, a file that is cut off has lost it.
    "moov_at_end_20.mp4": r"invalid data found when processing input",
    "moov_at_end_60.mp4": r"invalid data found when processing input",
    "moov_at_end_95.mp4": r"the file is cut off \(end of file\)",
    "faststart_40.mp4": r"the file is damaged or cut off: \d+ whole frames of 40",
    "faststart_70.mp4": r"the file is damaged or cut off: \d+ whole frames of 40",
    "faststart_99.mp4": r"the file is damaged or cut off: \d+ whole frames of 40",
    "no_frames.mp4": r"the video stream has no frames",
    "zeroed.mp4": r".+",
}


def write_bad_videos(folder: Path) -> None:
    """One file for each of ``REASONS``, but for the missing one."""
    (folder / "folder.mp4").mkdir(parents=True)
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("this is a text\n" * 500)
    noise = np.random.default_rng(0).integers(0, 256, 20000, dtype=np.uint8)
    (folder / "noise.mp4").write_bytes(noise.tobytes())
    subtitles = "1\n00:00:01,000 --> 00:00:02,000\nhello\n\n" * 5
    (folder / "subtitles.mp4").write_text(subtitles)
    write_audio(folder / "sound.mp4")
    picture = Image.fromarray(noise[: 64 * 64 * 3].reshape(64, 64, 3))
    for kind in ("png", "jpeg"):
        picture.save(folder / f"{kind}.mp4", format=kind)
    at_end = write_video(folder.parent / "whole_moov_at_end.mp4", num_frames=40)
    for percent in (20, 60, 95):
        cut_off(at_end, folder / f"moov_at_end_{percent}.mp4", percent / 100)
    at_start = write_video(folder.parent / "whole_faststart.mp4", num_frames=40, faststart=True)
    for percent in (40, 70, 99):
        cut_off(at_start, folder / f"faststart_{percent}.mp4", percent / 100)
    data = at_start.read_bytes()
    begin = data.index(b"mdat") + 4
    (folder / "no_frames.mp4").write_bytes(data[:begin])
    (folder / "zeroed.mp4").write_bytes(data[:begin] + bytes(len(data) - begin))


@pytest.fixture(scope="module")
def bad_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad") / "videos"
    write_bad_videos(folder)
    return folder


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", REASONS)
def test_a_bad_video_is_refused_with_its_path_and_a_reason(
    bad_videos: Path, name: str, decoder: str
) -> None:
    row = Row(0, name, bad_videos / name, {}, 0.0, None)
    dataset = EvaluationClips(
        [row], ClipSettings(**TINY_CLIP), EvaluateSettings(), DecodingOptions(decoder), 0
    )
    batch = dataset[0]
    assert len(batch) == 0
    (failure,) = batch.failures
    assert failure.path == str(bad_videos / name)
    assert re.fullmatch(REASONS[name], failure.reason)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("num_frames", [1, 2, 5])
def test_a_video_shorter_than_a_clip_repeats_its_last_frame(
    tmp_path: Path, num_frames: int, decoder: str
) -> None:
    path = write_video(tmp_path / "short.mp4", num_frames=num_frames, b_frames=0)
    row = Row(0, path.name, path, {}, 0.0, None)
    views = EvaluateSettings(num_clips=2, num_crops=1)
    batch = EvaluationClips([row], ClipSettings(**TINY_CLIP), views, DecodingOptions(decoder), 0)[0]
    assert batch.failures == []
    expected = [min(index, num_frames - 1) for index in (0, 2, 4, 6)]
    for clip in batch.pixel_values:
        assert frame_numbers(clip.transpose(0, 1)) == expected


# Whole runs in this process.
def run_here(kind: str, checkpoint: Path, manifest: Path, output_dir: Path, *more: str) -> Any:
    """Train, evaluate or extract with these, and any other settings."""
    common = [f"output_dir={output_dir}", "data.num_workers=0"]
    forget_accelerator()
    if kind == "train":
        arguments = [*TINY_ARGUMENTS, *common, f"data.train.manifest={manifest}"]
        return train(parse_settings(TrainRun, [*arguments, "train.batch_size=1", *more]))
    if kind == "evaluate":
        arguments = [*common, f"checkpoint={checkpoint}", f"data.val.manifest={manifest}"]
        return evaluate(parse_settings(EvaluateRun, [*arguments, *more]))
    arguments = [*common, f"checkpoint={checkpoint}", f"data.manifest={manifest}"]
    return extract_features(parse_settings(FeatureRun, [*arguments, *more]))


KINDS = ["train", "evaluate", "extract"]


@pytest.mark.parametrize("decoder", DECODERS)
def test_bad_videos_are_skipped_counted_and_listed_and_harm_no_good_ones(
    bad_videos: Path,
    tiny_dataset: TinyDataset,
    tiny_checkpoint: Path,
    tmp_path: Path,
    decoder: str,
) -> None:
    good = [(tiny_dataset.folder / path, label) for path, label in read_manifest(tiny_dataset.val)]
    bad = [(bad_videos / name, "red") for name in REASONS]
    mixed = write_manifest(tmp_path / "mixed.csv", [*bad[:9], *good, *bad[9:]])
    alone = write_manifest(tmp_path / "good.csv", good)
    shutil.copy(tiny_dataset.folder / "classes.txt", tmp_path)
    more = [f"data.decoder={decoder}", "data.on_error=skip", "data.num_workers=2"]

    metrics = run_here("evaluate", tiny_checkpoint, mixed, tmp_path / "mixed", *more)
    run_here("evaluate", tiny_checkpoint, alone, tmp_path / "good", *more)
    assert metrics["num_videos"] == len(good) + len(bad)
    assert metrics["num_failed"] == len(bad)
    found = pq.read_table(tmp_path / "mixed" / "predictions.parquet").slice(9, len(good))
    expected = pq.read_table(tmp_path / "good" / "predictions.parquet")
    assert found.to_pylist() == expected.to_pylist()

    run_here("extract", tiny_checkpoint, mixed, tmp_path / "features", *more)
    index = pq.read_table(tmp_path / "features" / "index.parquet").to_pydict()
    assert sum(features is not None for features in index["features"]) == len(good)
    for folder in ("mixed", "features"):
        lines = (tmp_path / folder / SKIPPED_FILE).read_text().splitlines()
        listed = {entry["path"]: entry["reason"] for entry in map(json.loads, lines)}
        assert listed.keys() == {str(path) for path, _ in bad}
        assert all(listed.values())


@pytest.mark.parametrize("kind", KINDS)
def test_raise_stops_at_a_bad_video_and_leaves_nothing_half_written(
    bad_videos: Path, tiny_checkpoint: Path, tmp_path: Path, kind: str
) -> None:
    manifest = write_manifest(tmp_path / "videos.csv", [(bad_videos / "faststart_70.mp4", "red")])
    with pytest.raises(VideoError, match=r"faststart_70\.mp4: the file is damaged or cut off"):
        run_here(kind, tiny_checkpoint, manifest, tmp_path / "run")
    left = {path.split("/")[0] for path in files_below(tmp_path / "run")}
    assert left <= {"config.yaml", "log.jsonl", "tensorboard"}


def test_predict_names_a_bad_video(bad_videos: Path, tiny_checkpoint: Path) -> None:
    (failure,) = predict(str(tiny_checkpoint), [bad_videos / "sound.mp4"], EvaluateSettings())
    assert failure.path.endswith("sound.mp4")
    assert (failure.classes, failure.reason) == ([], "the file has no video stream")


# Manifests: content -> message.
MANIFESTS: dict[str, tuple[str | None, str]] = {
    "missing": (None, r"videos\.csv: cannot be read \(no such file or directory\)"),
    "empty": ("", r"videos\.csv: is not a manifest \(it is empty\)"),
    "header only": ("path,label\n", r"videos\.csv: the manifest has a header and no rows"),
    "wrong header": ("file,class\na.mp4,red\n", r"wanted a header with path.*, got file,class"),
    "ragged": ("path,label\na.mp4,red,3,4,5,6\n", r"videos\.csv: is not a manifest"),
    "no number": (
        "path,label,start_seconds\na.mp4,red,soon\n",
        r"videos\.csv: is not a manifest .*soon",
    ),
    "backwards": (
        "path,label,start_seconds,end_seconds\na.mp4,red,3,2\n",
        r"videos\.csv, line 2: wanted 0 <= start_seconds < end_seconds, got 3.* and 2",
    ),
    "before the start": (
        "path,label,start_seconds,end_seconds\na.mp4,red,-1,\n",
        r"videos\.csv, line 2: wanted 0 <= start_seconds < end_seconds, got -1.* and None",
    ),
    "endless": (
        "path,label,start_seconds,end_seconds\na.mp4,red,,inf\n",
        r"videos\.csv, line 2: wanted 0 <= start_seconds < end_seconds, got None and inf",
    ),
    "missing video": (
        "path,label\nnot_there.mp4,red\n",
        r"videos\.csv, line 2: no such file: .*not_there\.mp4",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", MANIFESTS)
def test_a_bad_manifest_is_named_before_anything_starts(
    tiny_checkpoint: Path, tmp_path: Path, case: str, kind: str
) -> None:
    content, message = MANIFESTS[case]
    if content is not None:
        (tmp_path / "videos.csv").write_text(content)
    with pytest.raises(ManifestError, match=message):
        run_here(kind, tiny_checkpoint, tmp_path / "videos.csv", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_manifest_that_was_not_given(tiny_checkpoint: Path, tmp_path: Path, kind: str) -> None:
    with pytest.raises(ManifestError, match=r"data\..*manifest: is required and was not given"):
        run_here(kind, tiny_checkpoint, Path("null"), tmp_path / "run")


def test_an_unknown_label_names_the_line_and_the_nearest_class(
    tiny_dataset: TinyDataset, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    video = tiny_dataset.folder / read_manifest(tiny_dataset.val)[0][0]
    manifest = write_manifest(tmp_path / "videos.csv", [(video, "blue"), (video, "gren")])
    message = r"line 3: label 'gren' is not one of the 3 classes, did you mean green\?"
    with pytest.raises(ManifestError, match=message):
        run_here("evaluate", tiny_checkpoint, manifest, tmp_path / "run")
    with pytest.raises(ManifestError, match=message):
        run_here(
            "train",
            tiny_checkpoint,
            tiny_dataset.train,
            tmp_path / "run",
            f"data.val.manifest={manifest}",
        )


# Settings: arguments of a training run -> message.
SETTINGS = {
    "misspelt key": ("train.epoch=3", r"train\.epoch: unknown key, did you mean epochs\?"),
    "misspelt group": ("trian.epochs=3", r"trian: unknown key, did you mean train\?"),
    "misspelt model field": ("model.depth=[1]", r"model\.depth: unknown key, did you mean depths"),
    "wrong type": ("train.epochs=many", r"train\.epochs: .*integer.*, got 'many'"),
    "too small": ("train.batch_size=0", r"train\.batch_size: .*greater than or equal to 1, got 0"),
    "unknown choice": ("data.decoder=ffmpeg", r"data\.decoder: .*'pyav'.*, got 'ffmpeg'"),
    "no value": ("train.epochs", r"'train\.epochs': wanted key=value, such as"),
    "a value for a group": ("train=3", r"train: .*"),
    "impossible size": (
        "clip.crop_size=40",
        r"image_size=\[4, 40, 40\]: mask units span .*40 on axis H \(nearest: 32 or 64\)",
    ),
    "impossible number of frames": ("clip.num_frames=3", r"3 on axis T \(nearest: 2 or 4\)"),
    "heads that do not divide": ("model.num_heads=[3,3,3,3]", r"num_heads=\[3, 3, 3, 3\] do not"),
    "unknown model": ("model.name=hiera_bas_16x224", r"did you mean hiera_base_16x224\?"),
    "an image model": (
        "model.name=hiera_base_224",
        r"clip\.num_frames=4: model\.name=hiera_base_224 takes images; wanted clip\.num_frames=1",
    ),
    "a clip of one frame": (
        "clip.num_frames=1",
        r"clip\.num_frames=1: model\.name=hiera_base_16x224 takes clips; wanted more frames",
    ),
    "repeats that do not divide": ("train.repeated_sampling=2", r"does not divide batch_size=1"),
    "too few videos": ("train.batch_size=99", r"36 training videos do not fill one step of 99"),
    "missing weights": ("init_from=/not/there", r"/not/there"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_a_wrong_setting_is_named(tiny_dataset: TinyDataset, tmp_path: Path, case: str) -> None:
    argument, message = SETTINGS[case]
    with pytest.raises(UserError, match=message):
        run_here("train", Path(), tiny_dataset.train, tmp_path / "run", argument)
    assert files_below(tmp_path) == []


def test_all_wrong_settings_are_told_at_once(tmp_path: Path) -> None:
    arguments = [f"output_dir={tmp_path}", "train.epochs=0", "optimizer.lr=fast", "sead=1"]
    with pytest.raises(ConfigError) as caught:
        parse_settings(TrainRun, arguments)
    assert all(key in str(caught.value) for key in ("train.epochs", "optimizer.lr", "sead"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"--config .*run\.yaml: cannot be read \(No such file or directory\)"),
        ("train: {epochs: [", r"--config .*run\.yaml: is not valid YAML"),
        ("- train\n- epochs\n", r"--config .*run\.yaml: wanted `key: value` lines, got list"),
    ],
)
def test_a_bad_config_file(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "run.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        parse_settings(TrainRun, ["--config", str(path)])


# Checkpoints.
def break_checkpoint(checkpoint: Path, case: str) -> None:
    weights, config = checkpoint / "model.safetensors", checkpoint / "config.json"
    if case == "cut off":
        cut_off(weights, weights, 0.7)
    elif case == "text":
        weights.write_text("this is a text\n" * 100)
    elif case == "no weights":
        weights.unlink()
    elif case == "no config":
        config.unlink()
    elif case == "broken config":
        config.write_text('{"depths": [1, 1')
    elif case == "another architecture":
        values = json.loads(config.read_text())
        config.write_text(json.dumps({**values, "depths": [1, 1, 2, 1]}))
    elif case == "broken preprocessor":
        (checkpoint / "preprocessor.json").write_text('{"num_frames": "four"}')
    elif case == "another clip":
        path = checkpoint / "preprocessor.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "num_frames": 8}))
    else:
        shutil.rmtree(checkpoint)


CHECKPOINTS = {
    "missing": r"checkpoint",
    "cut off": r"checkpoint",
    "text": r"checkpoint",
    "no weights": r"checkpoint",
    "no config": r"config\.json",
    "broken config": r"config\.json",
    "another architecture": r"weights do not fit the model \(missing: encoder\.stages\.2\.1",
    "broken preprocessor": r"preprocessor\.json: cannot be understood",
    "another clip": r"preprocessor\.json: clips of 8 frames .* do not fit",
}


@pytest.mark.parametrize("kind", ["evaluate", "extract"])
@pytest.mark.parametrize("case", CHECKPOINTS)
def test_a_bad_checkpoint_is_named_before_anything_starts(
    tiny_dataset: TinyDataset, tmp_path: Path, case: str, kind: str
) -> None:
    checkpoint = save_checkpoint(tmp_path / "checkpoint")
    break_checkpoint(checkpoint, case)
    with pytest.raises(CheckpointError, match=CHECKPOINTS[case]) as caught:
        run_here(kind, checkpoint, tiny_dataset.val, tmp_path / "run")
    assert str(checkpoint) in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_an_encoder_is_no_classifier(tiny_dataset: TinyDataset, tmp_path: Path) -> None:
    fields = {**TINY_MODEL, "image_size": [4, 32, 32]}
    model = HieraModel(variant_config("hiera_base_16x224", **fields))
    model.save_pretrained(tmp_path / "encoder")
    with pytest.raises(CheckpointError, match="HieraModel, wanted a classifier: fine-tune it fi"):
        run_here("evaluate", tmp_path / "encoder", tiny_dataset.val, tmp_path / "run")


def test_a_model_with_fewer_stages_has_no_fourth(tiny_dataset: TinyDataset, tmp_path: Path) -> None:
    checkpoint = save_checkpoint(
        tmp_path / "checkpoint",
        depths=[1, 1],
        num_heads=[1, 2],
        num_query_pool=1,
        masked_unit_attention=[True, False],
    )
    with pytest.raises(ConfigError, match=r"features\.layer=stage4: the model has 2 stages"):
        run_here("extract", checkpoint, tiny_dataset.val, tmp_path / "run", "features.layer=stage4")


def test_training_starts_from_weights_of_its_own_architecture_only(
    tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    other = save_checkpoint(tmp_path / "other", depths=[1, 1, 2, 1])
    with pytest.raises(CheckpointError, match=r"other: .*depths=\[1, 1, 2, 1\]"):
        run_here("train", Path(), tiny_dataset.train, tmp_path / "run", f"init_from={other}")
    assert not (tmp_path / "run").exists()


def test_the_number_of_classes_is_that_of_the_videos(
    tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"model\.num_labels: unknown key, "):
        run_here("train", Path(), tiny_dataset.train, tmp_path / "run", "model.num_labels=5")


# Output folders. Tests may run as root, who may write anywhere but below a file or in /proc.
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["below a file", "a file", "/proc"])
def test_an_output_folder_that_cannot_be_written_is_named(
    tiny_dataset: TinyDataset, tiny_checkpoint: Path, tmp_path: Path, kind: str, place: str
) -> None:
    file = tmp_path / "file"
    file.write_text("I was here first")
    output_dir = {"below a file": file / "run", "a file": file}.get(place, Path("/proc/run"))
    manifest = tiny_dataset.train if kind == "train" else tiny_dataset.val
    with pytest.raises(UserError, match=rf"output_dir={output_dir}: cannot be written \("):
        run_here(kind, tiny_checkpoint, manifest, output_dir)
    assert file.read_text() == "I was here first"


# One mistake for each real script; evaluation and extraction of bad videos have tests of their own.
def test_the_training_script_ends_with_one_line(tiny_dataset: TinyDataset, tmp_path: Path) -> None:
    output_dir = tmp_path / "run"
    manifest = f"data.train.manifest={tiny_dataset.train}"
    result = run_forked("train", *TINY_ARGUMENTS, manifest, f"output_dir={output_dir}", "sed=1")
    assert error_line(result) == "sed: unknown key, did you mean seed?"
    assert result.stdout == ""
    assert not output_dir.exists()


def test_the_evaluation_script_ends_with_one_line(tmp_path: Path) -> None:
    arguments = [f"checkpoint={tmp_path / 'none'}", f"output_dir={tmp_path / 'run'}"]
    line = error_line(run_forked("evaluate", *arguments))
    assert str(tmp_path / "none") in line
    assert not (tmp_path / "run").exists()


def test_the_extraction_script_ends_with_one_line(
    tiny_dataset: TinyDataset, tiny_checkpoint: Path
) -> None:
    result = run_forked(
        "extract_features",
        f"checkpoint={tiny_checkpoint}",
        f"data.manifest={tiny_dataset.val}",
        "output_dir=/proc/run",
    )
    assert error_line(result).startswith("output_dir=/proc/run: cannot be written (")


def test_the_prediction_script_ends_with_one_line(tiny_checkpoint: Path, tmp_path: Path) -> None:
    result = run_forked("predict", "--checkpoint", tiny_checkpoint, tmp_path / "missing.mp4")
    assert error_line(result) == f"{tmp_path / 'missing.mp4'}: no such file or directory"
    assert result.stdout == ""
