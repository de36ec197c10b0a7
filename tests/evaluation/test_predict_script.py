"""``scripts/predict.py``: what single videos show."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hiera_video.config import EvaluateSettings
from hiera_video.errors import ConfigError, VideoError
from hiera_video.evaluation.predict import predict
from hiera_video.evaluation.run import evaluate
from hiera_video.runs import EvaluateRun
from tests.support import TinyDataset, error_line, read_manifest, run_script, succeed

pytestmark = pytest.mark.usefixtures("one_thread")


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


def test_json_for_several_videos_and_one_line_for_a_bad_one(
    tiny_checkpoint: Path, videos: list[Path], tmp_path: Path
) -> None:
    """What was predicted before the bad video is not lost."""
    bad = tmp_path / "bad.mp4"
    bad.write_text("this is a text\n" * 100)
    arguments = ["--checkpoint", tiny_checkpoint, "--clip", "stride=3", "--json"]
    arguments += [*videos, bad, videos[0]]
    result = run_script("predict", *arguments)
    assert error_line(result) == f"{bad}: invalid data found when processing input"
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["path"] for line in lines] == [str(video) for video in videos]
    for line in lines:
        names, probabilities = zip(*line["classes"], strict=True)
        assert set(names) == {"blue", "green", "red"}
        assert list(probabilities) == sorted(probabilities, reverse=True)


def test_names_can_be_given(tiny_checkpoint: Path, videos: list[Path], tmp_path: Path) -> None:
    """Published weights come without."""
    names = tmp_path / "classes.txt"
    names.write_text("bleu\nvert\nrouge\n")
    arguments = ["--checkpoint", tiny_checkpoint, "--json", videos[0]]
    own, given = (
        json.loads(succeed(run_script("predict", *arguments, *more)))["classes"]
        for more in ([], ["--classes", names])
    )
    french = {"blue": "bleu", "green": "vert", "red": "rouge"}
    assert given == [[french[name], probability] for name, probability in own]
    with pytest.raises(ConfigError, match="classes: 2 names, and the model has 3 classes"):
        list(predict(str(tiny_checkpoint), videos, EvaluateSettings(), classes=["a", "b"]))


def test_predictions_equal_those_of_an_evaluation(
    tiny_checkpoint: Path, tiny_dataset: TinyDataset, videos: list[Path], tmp_path: Path
) -> None:
    views = EvaluateSettings(num_clips=2, num_crops=3)
    evaluate(
        EvaluateRun(
            checkpoint=str(tiny_checkpoint),
            output_dir=tmp_path,
            data={"val": {"manifest": tiny_dataset.val}, "num_workers": 0},
            clip={"stride": 3},
            evaluate=views,
        )
    )
    scores = pq.read_table(tmp_path / "predictions.parquet")["scores"].to_pylist()
    overrides = {"stride": 3}
    found = predict(str(tiny_checkpoint), videos, views, overrides=overrides)
    for row, prediction in enumerate(found):
        expected = dict(zip(tiny_dataset.classes, scores[row], strict=True))
        assert dict(prediction.classes) == pytest.approx(expected, abs=1e-6)


def test_only_the_best_classes_if_asked(tiny_checkpoint: Path, videos: list[Path]) -> None:
    (prediction,) = predict(str(tiny_checkpoint), videos[:1], EvaluateSettings(), top_k=2)
    assert len(prediction.classes) == 2


def test_a_video_that_is_not_there(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"missing\.mp4: no such file or directory"):
        list(predict(str(tiny_checkpoint), [tmp_path / "missing.mp4"], EvaluateSettings()))
