"""Models of images through the same scripts: trained, pre-trained, evaluated, used."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

from hiera_video import HieraConfig
from hiera_video.commands.evaluate import EvaluateRun
from hiera_video.commands.evaluate import start as evaluate
from hiera_video.commands.features import FeatureRun
from hiera_video.commands.features import start as extract_features
from hiera_video.config.clip_groups import EvaluateSettings
from hiera_video.config.machinery import parse_settings
from hiera_video.errors import ConfigError, ManifestError, VideoError
from hiera_video.evaluation.predict import predict
from hiera_video.models.classification import HieraForImageClassification
from hiera_video.models.preprocessor import load_preprocessor
from hiera_video.training.run import pretrain, train
from hiera_video.training.settings import PretrainRun, TrainRun
from tests.forked import run_forked
from tests.support import (
    ROOT,
    TINY_IMAGE_ARGUMENTS,
    TinyDataset,
    copy_dataset,
    forget_accelerator,
    read_manifest,
    succeed,
)


def arguments(dataset: TinyDataset, output_dir: Path, *more: str) -> list[str]:
    return [
        *TINY_IMAGE_ARGUMENTS,
        f"data.train.manifest={dataset.train}",
        f"output_dir={output_dir}",
        "data.num_workers=0",
        "train.batch_size=6",
        "optimizer.lr=3e-3",
        *more,
    ]


def train_here(dataset: TinyDataset, output_dir: Path, *more: str) -> None:
    train(parse_settings(TrainRun, arguments(dataset, output_dir, *more)))


def read_losses(output_dir: Path) -> list[float]:
    records = [json.loads(line) for line in (output_dir / "log.jsonl").read_text().splitlines()]
    return [record["train/loss"] for record in records if "train/loss" in record]


@pytest.fixture(scope="module")
def trained(tiny_images: TinyDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four epochs by the script, with the augmentation of the recipes."""
    output_dir = tmp_path_factory.mktemp("trained") / "run"
    result = run_forked(
        "train",
        *arguments(
            tiny_images,
            output_dir,
            f"data.val.manifest={tiny_images.val}",
            "clip.short_side=36",
            "clip.interpolation=bicubic",
            "augment.random_erasing=0.25",
            "train.epochs=4",
            "train.log_steps=3",
        ),
    )
    assert "36 images, 3 classes" in succeed(result)
    return output_dir


def test_a_model_of_images_learns(trained: Path) -> None:
    losses = read_losses(trained)
    assert losses[-1] < losses[0] / 2
    model = HieraForImageClassification.from_pretrained(trained / "best")
    clip = load_preprocessor(model)
    assert (clip.num_frames, clip.short_side, clip.interpolation) == (1, 36, "bicubic")


def test_its_checkpoint_is_evaluated_on_one_view(
    trained: Path, tiny_images: TinyDataset, tmp_path: Path
) -> None:
    run = EvaluateRun(
        checkpoint=str(trained / "best"),
        output_dir=tmp_path,
        data={"val": {"manifest": tiny_images.val}, "num_workers": 0},
    )
    metrics = evaluate(run)
    assert metrics["top1"] >= 0.9
    assert (metrics["settings"]["num_clips"], metrics["settings"]["num_crops"]) == (1, 1)


def test_published_weights_take_their_class_names_from_the_manifest(
    trained: Path, tiny_images: TinyDataset, tmp_path: Path
) -> None:
    """They come without names and without ``preprocessor.json``."""
    model = HieraForImageClassification.from_pretrained(trained / "best")
    unnamed = {"num_labels": 3, "id2label": None}
    model.config = HieraConfig.from_dict(model.config.to_dict(), **unnamed)
    model.save_pretrained(tmp_path / "published")

    def top1(dataset: TinyDataset) -> float:
        run = EvaluateRun(
            checkpoint=str(tmp_path / "published"),
            output_dir=tmp_path / "evaluation",
            data={"val": {"manifest": dataset.val}, "num_workers": 0},
        )
        return float(evaluate(run)["top1"])

    assert top1(tiny_images) >= 0.9
    assert pq.read_table(tmp_path / "evaluation" / "predictions.parquet")["label"][0].as_py() in (
        tiny_images.classes
    )
    dataset = copy_dataset(tiny_images, tmp_path / "dataset")
    (dataset.folder / "classes.txt").write_text("red\ngreen\nblue\nblack\n")
    with pytest.raises(ManifestError, match=r"csv: has 4 classes, and the model has 3 without"):
        top1(dataset)


def test_features_of_images(trained: Path, tiny_images: TinyDataset, tmp_path: Path) -> None:
    for layer, shape in (("pooled", (1, 64)), ("stage4", (1, 1, 1, 64))):
        run = FeatureRun(
            checkpoint=str(trained / "best"),
            output_dir=tmp_path / layer,
            data={"manifest": tiny_images.val, "num_workers": 0},
            features={"layer": layer},
        )
        extract_features(run)
        forget_accelerator()
        index = pq.read_table(tmp_path / layer / "index.parquet").to_pylist()
        assert len(index) == 9
        tensors = load_file(tmp_path / layer / index[0]["features"])
        assert tensors["features"].shape == shape


def test_predictions_of_images(trained: Path, tiny_images: TinyDataset) -> None:
    rows = read_manifest(tiny_images.val)[:3]
    files = [tiny_images.folder / path for path, _ in rows]
    predictions = predict(str(trained / "best"), files, EvaluateSettings())
    assert [prediction.classes[0][0] for prediction in predictions] == [label for _, label in rows]


def test_the_recipe_runs_and_scales_its_rate(
    tiny_images: TinyDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With all its augmentation, on a small model."""
    config = ["--config", str(ROOT / "configs" / "imagenet1k" / "finetune_base.yaml")]
    small = ["clip.short_side=36", f"data.val.manifest={tiny_images.val}", "train.epochs=6"]
    values = arguments(tiny_images, tmp_path, *small, "train.log_steps=6", "optimizer.lr=2e-3")
    train(parse_settings(TrainRun, [*config, *values, "precision=fp32"]))
    output = capsys.readouterr().out
    assert "step       6 images: 6 x 1 process x 1 accumulated" in output
    assert "6: 6 passes of 6 steps, 1 view per image and pass" in output
    assert f"rate       {2e-3 * 6 / 1024:.3g} (adamw)" in output
    assert len(read_losses(tmp_path)) == 6


def test_pretraining_then_fine_tuning(tiny_images: TinyDataset, tmp_path: Path) -> None:
    shared = ["train.epochs=8", "clip.crop_size=64", "train.log_steps=6"]
    decoder = {"hidden_size": 16, "depth": 1, "num_heads": 2}
    names = [f"model.decoder_{key}={value}" for key, value in decoder.items()]
    values = [*shared, *names, "model.name=mae_hiera_base_224", "model.mask_ratio=0.5"]
    pretrain(parse_settings(PretrainRun, arguments(tiny_images, tmp_path / "pretrain", *values)))
    losses = read_losses(tmp_path / "pretrain")
    assert losses[-1] < losses[0]
    start = [f"init_from={tmp_path / 'pretrain' / 'last'}", "clip.crop_size=64", "train.epochs=1"]
    small_rate = ["optimizer.lr=1e-12", "optimizer.min_lr=0"]
    train_here(tiny_images, tmp_path / "train", *start, *small_rate)
    before = load_file(tmp_path / "pretrain" / "last" / "model.safetensors")
    after = load_file(tmp_path / "train" / "last" / "model.safetensors")
    name = "hiera.encoder.stages.0.0.mlp.fc1.weight"
    assert (before[name] - after[name]).abs().max() < 1e-6


def test_training_on_clips_starts_from_images(
    trained: Path, tiny_dataset: TinyDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = ["model.name=hiera_base_16x224", "clip.num_frames=4", "clip.stride=2"]
    start = [f"init_from={trained / 'best'}", "train.epochs=1", "train.batch_size=36"]
    train_here(tiny_dataset, tmp_path, *clips, *start, "optimizer.lr=1e-12", "optimizer.min_lr=0")
    introduction = f"weights    {trained / 'best'}, of images, inflated to clips"
    assert introduction in capsys.readouterr().out
    before = load_file(trained / "best" / "model.safetensors")
    after = load_file(tmp_path / "last" / "model.safetensors")
    name = "hiera.encoder.stages.0.0.mlp.fc1.weight"
    assert (before[name] - after[name]).abs().max() < 1e-6


def test_bad_images_are_skipped_or_end_the_run(tiny_images: TinyDataset, tmp_path: Path) -> None:
    """With one image per batch, a bad one is a whole batch."""
    dataset = copy_dataset(tiny_images, tmp_path / "dataset")
    bad = dataset.folder / read_manifest(dataset.train)[0][0]
    bad.write_bytes(b"")
    with pytest.raises(VideoError, match=r"000\.jpg: the file is empty"):
        train_here(dataset, tmp_path / "raise", "train.epochs=1")
    skip = ["train.epochs=1", "train.batch_size=1", "data.on_error=skip"]
    train_here(dataset, tmp_path / "skip", *skip)
    (line,) = (tmp_path / "skip" / "skipped.jsonl").read_text().splitlines()
    assert json.loads(line) == {"path": str(bad), "reason": "the file is empty (0 bytes)"}


def test_files_and_frames_must_fit_the_model(
    trained: Path, tiny_images: TinyDataset, tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    with pytest.raises(ManifestError, match=r"train\.csv, line 2: .*mp4: wanted an image"):
        train_here(tiny_dataset, tmp_path / "run")
    clips = ["model.name=hiera_base_16x224", "clip.num_frames=4"]
    with pytest.raises(ManifestError, match=r"line 2: .*000\.jpg: is an image, and the model"):
        train_here(tiny_images, tmp_path / "run", *clips)
    with pytest.raises(ConfigError, match=r"takes images; wanted clip\.num_frames=1"):
        train_here(tiny_dataset, tmp_path / "run", "clip.num_frames=4")
    run = EvaluateRun(
        checkpoint=str(trained / "best"),
        output_dir=tmp_path / "run",
        data={"val": {"manifest": tiny_images.val}},
        evaluate={"num_clips": 5},
    )
    with pytest.raises(ConfigError, match=r"evaluate\.num_clips=5: the model takes images"):
        evaluate(run)
    assert not (tmp_path / "run").exists()
    video = tiny_dataset.folder / read_manifest(tiny_dataset.val)[0][0]
    (prediction,) = predict(str(trained / "best"), [video], EvaluateSettings())
    assert str(prediction.reason).startswith("wanted an image (")
