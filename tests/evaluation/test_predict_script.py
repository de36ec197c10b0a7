"""``scripts/predict.py``: what single videos show."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hiera_video.commands.evaluate import EvaluateRun
from hiera_video.commands.evaluate import start as evaluate
from hiera_video.config.clip_groups import EvaluateSettings
from hiera_video.config.machinery import parse_settings
from hiera_video.errors import ConfigError, UserError
from hiera_video.evaluation.predict import PredictionOptions, predict
from tests.forked import run_forked
from tests.support import TinyDataset, error_line, read_manifest, run_script, succeed


@pytest.fixture(scope="module")
def videos(tiny_dataset: TinyDataset) -> list[Path]:
    return [tiny_dataset.folder / path for path, _ in read_manifest(tiny_dataset.val)[:3]]


def test_a_table_of_names_and_probabilities(
    tiny_checkpoint: Path, videos: list[Path], tmp_path: Path
) -> None:
    video = tmp_path / "a[draft].mp4"  # brackets mean something to the library that draws tables
    shutil.copy(videos[0], video)
    output = succeed(run_script("predict", "--checkpoint", tiny_checkpoint, video))
    assert str(video) in output.splitlines(), "a path is not broken, however long"
    for word in ("class", "probability", "blue", "green", "red"):
        assert word in output
    probabilities = [float(word) for word in output.split() if word.startswith("0.")]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-3)


def test_a_bad_file_does_not_decide(
    tiny_checkpoint: Path, videos: list[Path], tmp_path: Path
) -> None:
    """What can be read is predicted, and what cannot is told at the end."""
    bad, image, missing = tmp_path / "bad.mp4", tmp_path / "image.png", tmp_path / "missing.mp4"
    bad.write_text("this is a text\n" * 100)
    image.write_bytes(b"")
    files = [bad, videos[0], image, missing, videos[1]]
    arguments = ["--checkpoint", tiny_checkpoint, "--clip", "stride=3", *files]
    reasons = {
        str(bad): "invalid data found when processing input",
        str(image): "is an image, and the model takes clips of videos",
        str(missing): "no such file or directory",
    }
    shown, listed = run_forked("predict", *arguments), run_forked("predict", *arguments, "--json")
    for result in (shown, listed):
        assert result.returncode == 2
        errors = [f"predict.py: error: {path}: {reason}" for path, reason in reasons.items()]
        assert result.stderr.splitlines() == errors
    assert [line for line in shown.stdout.splitlines() if "/" in line] == list(map(str, videos[:2]))
    lines = [json.loads(line) for line in listed.stdout.splitlines()]
    assert [line["path"] for line in lines] == list(map(str, files))
    for line in lines:
        assert line.get("error") == reasons.get(line["path"])
        if "error" in line:
            assert "classes" not in line
            continue
        names, probabilities = zip(*line["classes"], strict=True)
        assert set(names) == {"blue", "green", "red"}
        assert list(probabilities) == sorted(probabilities, reverse=True)


def test_folders_and_patterns(
    tiny_checkpoint: Path, videos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths are shown as they were given; what is no video is passed over in folders only."""
    for name in ("a/2.mp4", "a/deep/1.MP4", "b[1].mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(videos[0], tmp_path / name)
    (tmp_path / "a/notes.txt").touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)

    def found(*given: str) -> list[tuple[str, bool]]:
        views = EvaluateSettings(num_clips=1, num_crops=1)
        predictions = predict(str(tiny_checkpoint), given, views)
        return [(prediction.path, prediction.reason is None) for prediction in predictions]

    assert found("a") == found("a/") == [("a/2.mp4", True), ("a/deep/1.MP4", True)]
    assert found("a/*.mp4", "b[1].mp4") == [("a/2.mp4", True), ("b[1].mp4", True)]
    assert found("a/*") == [("a/2.mp4", True), ("a/deep/1.MP4", True), ("a/notes.txt", False)]
    assert found("**/*.MP4", ".") == [
        ("a/deep/1.MP4", True),
        ("a/2.mp4", True),
        ("a/deep/1.MP4", True),
        ("b[1].mp4", True),
    ]
    nothing = list(predict(str(tiny_checkpoint), ["c*.mp4", "empty"], EvaluateSettings()))
    assert nothing[0].reason == "no file matches this pattern"
    assert nothing[1].reason == "no videos in this folder, nor in those below it"
    assert [prediction.path for prediction in nothing] == ["c*.mp4", "empty"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("-", "-: standard input is not read; write it to a file, and name that"),
        ("https://a.org/b.mp4", r"https://a\.org/b\.mp4: only files are read; download it, and"),
        ("rtsp://camera/1", "rtsp://camera/1: only files are read; record it to a file, and name"),
        ("/dev/video0", "/dev/video0: devices and pipes are not read; record it to a file"),
        ("{tmp_path}/pipe", "pipe: devices and pipes are not read; record it to a file, and name"),
    ],
)
def test_what_is_no_file_is_refused_before_anything_starts(
    tmp_path: Path, given: str, message: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    given = given.format(tmp_path=tmp_path)
    with pytest.raises(UserError, match=message):
        next(predict("/no/checkpoint", [given], EvaluateSettings()))


@pytest.mark.parametrize("top_k", [0, -1])
def test_no_class_at_all_is_refused(tiny_checkpoint: Path, videos: list[Path], top_k: int) -> None:
    arguments = ["--checkpoint", tiny_checkpoint, "--top-k", top_k, videos[0]]
    message = f"top_k={top_k}: wanted the number of classes to show, 1 or more"
    assert error_line(run_forked("predict", *arguments)) == message


def test_names_can_be_given(tiny_checkpoint: Path, videos: list[Path], tmp_path: Path) -> None:
    """Published weights come without."""
    names = tmp_path / "classes.txt"
    names.write_text("bleu\nvert\nrouge\n")
    arguments = ["--checkpoint", tiny_checkpoint, "--json", videos[0]]
    own, given = (
        json.loads(succeed(run_forked("predict", *arguments, *more)))["classes"]
        for more in ([], ["--classes", names])
    )
    french = {"blue": "bleu", "green": "vert", "red": "rouge"}
    assert given == [[french[name], probability] for name, probability in own]
    with pytest.raises(ConfigError, match="classes: 2 names, and the model has 3 classes"):
        list(
            predict(
                str(tiny_checkpoint),
                videos,
                EvaluateSettings(),
                PredictionOptions(classes=["a", "b"]),
            )
        )


def test_predictions_equal_those_of_an_evaluation(
    tiny_checkpoint: Path, tiny_dataset: TinyDataset, videos: list[Path], tmp_path: Path
) -> None:
    views = EvaluateSettings(num_clips=2, num_crops=3)
    run = parse_settings(
        EvaluateRun,
        [
            f"checkpoint={tiny_checkpoint}",
            f"data.val.manifest={tiny_dataset.val}",
            f"output_dir={tmp_path}",
            "data.num_workers=0",
            "clip.stride=3",
            "evaluate.num_clips=2",
            "evaluate.num_crops=3",
        ],
    )
    evaluate(run)
    scores = pq.read_table(tmp_path / "predictions.parquet")["scores"].to_pylist()
    overrides = {"stride": 3}
    found = predict(str(tiny_checkpoint), videos, views, PredictionOptions(overrides))
    for row, prediction in enumerate(found):
        expected = dict(zip(tiny_dataset.classes, scores[row], strict=True))
        assert dict(prediction.classes) == pytest.approx(expected, abs=1e-6)


def test_only_the_best_classes_if_asked(tiny_checkpoint: Path, videos: list[Path]) -> None:
    (prediction,) = predict(
        str(tiny_checkpoint), videos[:1], EvaluateSettings(), PredictionOptions(top_k=2)
    )
    assert len(prediction.classes) == 2
    (prediction,) = predict(
        str(tiny_checkpoint), videos[:1], EvaluateSettings(), PredictionOptions(top_k=99)
    )
    assert len(prediction.classes) == 3
