"""What a run takes over from ``init_from``: architecture, and what clips are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from hiera_video import (
    HieraConfig,
    HieraForImageClassification,
    HieraForPreTraining,
    HieraForVideoClassification,
    HieraModel,
)
from hiera_video.config.clip_groups import ClipSettings, ImageSettings
from hiera_video.config.machinery import load_yaml, parse_settings
from hiera_video.errors import CheckpointError, ConfigError
from hiera_video.models.convert import convert
from hiera_video.models.preprocessor import dump_preprocessor
from hiera_video.models.pretrained import PretrainedModel
from hiera_video.models.variants import variant_config
from hiera_video.training.run import train
from hiera_video.training.settings import PretrainRun, TrainRun
from hiera_video.training.sides import build_classifier, build_pretraining_model
from hiera_video.training.starting import (
    FIXED,
    FIXED_IN_PRETRAINING,
    FREE,
    Start,
    _with_defaults,
    start_run,
)
from tests.forked import run_forked
from tests.support import (
    ROOT,
    TINY_ARGUMENTS,
    TINY_MODEL,
    TinyDataset,
    error_line,
    forget_accelerator,
    save_checkpoint,
    succeed,
)

CLIP = ClipSettings(num_frames=4, stride=3, crop_size=64, frames_per_second=25, mean=(0.1,) * 3)
PICTURE = ImageSettings(crop_size=64, short_side=72)
#: Unlike any published model, and unlike the defaults in each field.
OWN: dict[str, Any] = {
    "embed_dim": 8,
    "depths": [1, 2, 1],
    "num_heads": [1, 1, 2],
    "num_query_pool": 2,
    "masked_unit_attention": [True, False, False],
    "mlp_ratio": 2.0,
    "masked_unit_size": [1, 4, 4],
    "patch_size": [3, 5, 5],
    "patch_padding": [1, 2, 2],
    "global_position_size": [2, 4, 4],
    "hidden_act": "relu",
    "global_position_antialias": False,
    "window_units": 2,
    "global_attention_blocks": [3],
    "layer_scale_init": 0.5,
}
DECODER = {"decoder_hidden_size": 16, "decoder_depth": 2, "decoder_num_heads": 4}
NAMES = ["a", "b", "c"]


def save(folder: Path, model: PretrainedModel, clip: ClipSettings | None) -> Path:
    model.preprocessor = dump_preprocessor(clip) if clip else None
    model.save_pretrained(folder)
    return folder


def video_model(folder: Path, clip: ClipSettings | None = CLIP, **fields: Any) -> Path:
    config = variant_config(
        "hiera_base_16x224", **{"image_size": [4, 64, 64], **OWN, "num_labels": 3, **fields}
    )
    return save(folder, HieraForVideoClassification(config), clip)


def image_model(folder: Path, clip: ClipSettings | None = PICTURE, **fields: Any) -> Path:
    values = {"image_size": [64, 64], **TINY_MODEL, "num_labels": 3, **fields}
    return save(folder, HieraForImageClassification(HieraConfig(**values)), clip)


def pretrained_model(folder: Path, **fields: Any) -> Path:
    values = {"image_size": [4, 64, 64], **OWN, **DECODER, "num_query_pool": 1, **fields}
    config = variant_config("mae_hiera_base_16x224", **values)
    return save(folder, HieraForPreTraining(config), CLIP)


def started(source: Path, *settings: str) -> tuple[TrainRun, Start]:
    values = [f"init_from={source}", "output_dir=/nonexistent", *settings]
    run, start = start_run(parse_settings(TrainRun, values))
    assert start is not None
    return run, start


def classifier(source: Path, *settings: str, classes: list[str] = NAMES) -> PretrainedModel:
    run, start = started(source, *settings)
    return build_classifier(run, classes, start)


def architecture(model: PretrainedModel) -> dict[str, Any]:
    fields = model.config.to_dict()
    return {field: fields[field] for field in (*FIXED, *FREE, "num_query_pool", "image_size")}


def assert_same_encoder(model: PretrainedModel, source: PretrainedModel) -> None:
    theirs = source.state_dict()
    shared = {n: t for n, t in model.state_dict().items() if ".encoder." in n and n in theirs}
    assert len(shared) > 40
    for name, tensor in shared.items():
        assert torch.equal(tensor, theirs[name]), name


def test_an_image_takes_no_stride_from_weights() -> None:
    """It has one frame, whatever stride its weights were saved with."""
    clip = _with_defaults(ImageSettings(), {"num_frames": 1, "stride": 4, "crop_size": 64})
    assert (clip.num_frames, clip.stride, clip.crop_size) == (1, 1, 64)


# Architecture.
def test_a_classifier_takes_the_architecture_of_its_weights(tmp_path: Path) -> None:
    source = video_model(tmp_path / "own")
    own = HieraForVideoClassification.from_pretrained(source)
    model = classifier(source)
    assert architecture(model) == architecture(own)
    assert_same_encoder(model, own)
    # A recipe that names the model, as configs/finetune.yaml, says what kind it is.
    size = ["clip.crop_size=64", "clip.num_frames=4"]
    model = classifier(source, *size, f"--config={ROOT / 'configs' / 'finetune.yaml'}")
    assert architecture(model) == architecture(own)


@pytest.mark.parametrize("unit", [4, 8])
def test_a_classifier_takes_the_architecture_of_its_pretraining(tmp_path: Path, unit: int) -> None:
    """The pooling before the last stage is put back where mask units are large enough for it."""
    stages = {**TINY_MODEL, "masked_unit_attention": [True, True, False, False]}
    fields: dict[str, Any] = {**stages, "masked_unit_size": [1, unit, unit], "num_query_pool": 2}
    fields["mask_ratio"] = 0.5
    source = pretrained_model(tmp_path / "mae", **fields)
    pretrained = HieraForPreTraining.from_pretrained(source)
    model = classifier(source)
    assert model.config.num_query_pool == (3 if unit == 8 else 2)
    assert model.config.depths == [1, 1, 1, 1]
    assert_same_encoder(model, pretrained)
    assert model.config.masked_unit_size == [1, unit, unit]


def test_pretraining_takes_encoder_and_decoder(tmp_path: Path) -> None:
    source = pretrained_model(tmp_path / "mae")
    own = HieraForPreTraining.from_pretrained(source)
    values = [f"init_from={source}", "output_dir=/nonexistent", "model.mask_ratio=0.5"]
    run, start = start_run(parse_settings(PretrainRun, values))
    model = build_pretraining_model(run, start)
    assert architecture(model) == architecture(own)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, own.state_dict()[name]), name


def test_a_model_of_clips_takes_the_architecture_of_images(tmp_path: Path) -> None:
    source = image_model(tmp_path / "images", masked_unit_size=[16, 16], mlp_ratio=2.0)
    model = classifier(source, "clip.num_frames=4")
    assert isinstance(model, HieraForVideoClassification)
    assert (model.config.masked_unit_size, model.config.mlp_ratio) == ([1, 16, 16], 2.0)
    assert model.inflated
    assert_same_encoder(model, HieraForImageClassification.from_pretrained(source))
    # Unless something asks for clips, the weights decide.
    assert isinstance(classifier(source), HieraForImageClassification)
    assert isinstance(classifier(source, "model.name=hiera_base_16x224"), type(model))


def test_published_weights_take_their_name(tmp_path: Path) -> None:
    """From an official file, which says nothing but shapes."""
    small = {"embed_dim": 96, "depths": [1, 2, 7, 2], "num_heads": [1, 2, 4, 8]}
    source = image_model(tmp_path / "tiny", None, **small)
    convert(source, tmp_path / "official", "official")
    run, _ = started(tmp_path / "official" / "model.pth")
    assert run.model.name == "hiera_tiny_224"
    assert run.model.overrides == {}
    assert (run.clip.num_frames, run.clip.crop_size) == (1, 64)
    wanted = r"model\.name=hiera_base_224: .*model\.pth are .* wanted model\.name=hiera_tiny_224$"
    with pytest.raises(CheckpointError, match=wanted):
        started(tmp_path / "official" / "model.pth", "model.name=hiera_base_224")


def test_weights_of_clips_make_no_model_of_images(tmp_path: Path) -> None:
    source = video_model(tmp_path / "own")
    message = r"model\.name=hiera_base_224: takes images, and the weights .* wanted hiera_base_16x2"
    with pytest.raises(CheckpointError, match=message):
        started(source, "model.name=hiera_base_224", "clip.num_frames=1")


#: Every field of the architecture with a value that the weights do not have.
OTHERS: dict[str, Any] = {
    "embed_dim": 16,
    "depths": [1, 1, 1],
    "num_heads": [1, 2, 2],
    "embed_dim_multiplier": 1.0,
    "mlp_ratio": 4.0,
    "num_channels": 1,
    "patch_size": [3, 7, 7],
    "query_stride": [1, 1, 1],
    "masked_unit_size": [1, 8, 8],
    "separate_position_embeddings": False,
    "global_position_size": None,
    "num_query_pool": 1,
    "masked_unit_attention": [True, True, False],
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "patch_stride": [1, 4, 4],
    "patch_padding": [1, 1, 1],
    "drop_path_rate": 0.1,
    "head": "attentive",
    "head_dropout": 0.1,
    "head_init_scale": 0.5,
    "initializer_range": 0.1,
    "layer_norm_init": 0.5,
    "position_initializer": "sine_cosine",
    "global_position_antialias": True,
    "window_units": 3,
    "global_attention_blocks": [2],
    "skip": "pooling",
    "layer_scale_init": None,
}
#: Fields that are no part of a classifier's architecture, or follow from data and clips.
ELSEWHERE = {
    "image_size", "num_labels", "id2label", "label2id", "out_features", "out_indices",
    "output_attentions", "output_hidden_states", "return_dict", "problem_type", "mask_ratio",
    "decoder_mask_ratio", "normalize_pixel_loss", *DECODER,
}  # fmt: skip


def test_every_field_is_looked_at() -> None:
    assert OTHERS.keys() | ELSEWHERE == set(HieraConfig.model_fields)


@pytest.mark.parametrize("field", OTHERS)
def test_a_field_is_changed_or_refused_with_the_value_that_fits(tmp_path: Path, field: str) -> None:
    """Nothing ends in a list of tensors that do not fit."""
    source = video_model(tmp_path / "own")
    has = HieraForVideoClassification.from_pretrained(source).config.to_dict()[field]
    assert has != OTHERS[field]
    setting = f"model.{field}={'null' if OTHERS[field] is None else OTHERS[field]}"
    if field in (*FIXED, "global_position_size"):
        with pytest.raises(CheckpointError) as caught:
            classifier(source, setting)
        given, held = (v if isinstance(v, str) else json.dumps(v) for v in (OTHERS[field], has))
        assert str(caught.value) == (
            f"model.{field}={given}: contradicts init_from={source}: its weights have "
            f"{field}={held}; leave it out"
        )
    else:
        assert classifier(source, setting).config.to_dict()[field] == OTHERS[field]


def test_the_problem_of_the_weights_is_not_that_of_the_run(tmp_path: Path) -> None:
    source = video_model(tmp_path / "own", problem_type="multi_label_classification")
    assert classifier(source).config.problem_type == "single_label_classification"


@pytest.mark.parametrize("field", FIXED_IN_PRETRAINING)
def test_a_decoder_is_kept_or_refused(tmp_path: Path, field: str) -> None:
    source = pretrained_model(tmp_path / "mae")
    values = [f"init_from={source}", "output_dir=/nonexistent", f"model.{field}=3"]
    with pytest.raises(
        CheckpointError, match=rf"^model\.{field}=3: contradicts init_from=.*mae: i"
    ):
        start_run(parse_settings(PretrainRun, values))


def test_an_encoder_gets_the_pooling_of_a_classifier(tmp_path: Path) -> None:
    fields = {"image_size": [4, 64, 64], **TINY_MODEL, "num_query_pool": 2}
    source = save(tmp_path, HieraModel(variant_config("hiera_base_16x224", **fields)), CLIP)
    assert classifier(source).config.num_query_pool == 3


# Clips.
def test_a_run_takes_the_clips_of_its_weights(tmp_path: Path) -> None:
    source = video_model(tmp_path / "own")
    run, start = started(source)
    assert run.clip == CLIP
    (note,) = start.notes
    assert note.startswith("from there: model.")
    for part in ("model.embed_dim=8", "clip.frames_per_second=25", "clip.mean=[0.1, 0.1, 0.1]"):
        assert part in note


def test_what_is_set_holds_and_is_told_where_it_differs(tmp_path: Path) -> None:
    source = video_model(tmp_path / "own")
    run, start = started(source, "clip.mean=[0.5,0.5,0.5]", "clip.stride=3", "clip.crop_size=32")
    assert (run.clip.mean, run.clip.stride, run.clip.crop_size) == ((0.5,) * 3, 3, 32)
    assert run.clip.frames_per_second == 25
    assert start.notes[1:] == [
        "clip.crop_size=32 differs from 64, with which init_from was trained",
        "clip.mean=[0.5, 0.5, 0.5] differs from [0.1, 0.1, 0.1], with which init_from was trained",
    ]


def test_what_does_not_fit_to_what_is_set_is_left_out(tmp_path: Path) -> None:
    source = video_model(tmp_path / "own", CLIP.model_copy(update={"short_side": 80}))
    assert started(source)[0].clip.short_side == 80
    run, _ = started(source, "clip.sampling=segments", "clip.crop_size=96")
    assert (run.clip.frames_per_second, run.clip.short_side) == (None, None)
    run, _ = started(source, "clip.sampling=pyslowfast")
    assert run.clip.frames_per_second == 25
    segments = ClipSettings(num_frames=4, crop_size=64, sampling="segments")
    other = video_model(tmp_path / "segments", segments)
    message = r"clip: .*frames_per_second=9: sampling=segments counts .* is as init_from=.* was tr"
    with pytest.raises(ConfigError, match=message):
        started(other, "clip.frames_per_second=9")


def test_colours_come_along_from_images_to_clips(tmp_path: Path) -> None:
    source = image_model(tmp_path / "images", PICTURE.model_copy(update={"std": (0.3,) * 3}))
    run, _ = started(source, "model.name=hiera_base_16x224", "clip.num_frames=4")
    assert (run.clip.mean, run.clip.std) == (ImageSettings().mean, (0.3,) * 3)
    assert (run.clip.stride, run.clip.short_side, run.clip.interpolation) == (4, None, "bilinear")
    assert run.clip.crop_size == 64
    settings = ["model.name=hiera_base_16x224", "clip.mean=[0.45,0.45,0.45]"]
    _, start = started(source, *settings)
    assert start.notes[-1] == (
        "clip.mean=[0.45, 0.45, 0.45] differs from [0.485, 0.456, 0.406], with which init_from was "
        "trained"
    )


def test_published_weights_bring_the_published_colours(tmp_path: Path) -> None:
    """They come without a preprocessor.json, and nothing else of their clips is known."""
    run, start = started(image_model(tmp_path / "images", None), "clip.stride=9")
    assert (run.clip.mean, run.clip.std) == (ImageSettings().mean, ImageSettings().std)
    assert "stride" not in " ".join(start.notes)
    clips = video_model(tmp_path / "clips", None)
    assert started(clips)[0].clip == ClipSettings(num_frames=4, crop_size=64)
    _, start = started(clips, "clip.std=[0.2,0.2,0.2]", "clip.frames_per_second=30")
    assert start.notes[1:] == [
        "clip.std=[0.2, 0.2, 0.2] differs from [0.225, 0.225, 0.225], with which init_from was "
        "trained"
    ]


def test_recipes_that_set_them_keep_their_clips(tmp_path: Path) -> None:
    source = save_checkpoint(tmp_path / "own", clip=CLIP, num_query_pool=3)
    recipe = ROOT / "configs" / "kinetics400" / "finetune_base.yaml"
    run, _ = started(source, f"--config={recipe}")
    for key, value in load_yaml(recipe)["clip"].items():
        assert getattr(run.clip, key) == value


# Whole runs.
def arguments(dataset: TinyDataset, source: Path, output_dir: Path, *more: str) -> list[str]:
    return [
        f"init_from={source}",
        f"data.train.manifest={dataset.train}",
        f"output_dir={output_dir}",
        "data.num_workers=0",
        "train.batch_size=18",
        "train.epochs=1",
        "trackers=[]",
        *more,
    ]


def test_fine_tuning_ones_own_model_needs_nothing_repeated(
    tiny_dataset: TinyDataset, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    output_dir = tmp_path / "run"
    more = ["clip.stride=1"]
    values = arguments(tiny_dataset, tiny_checkpoint, output_dir, *more)
    output = succeed(run_forked("train", *values))
    assert "from there: model.embed_dim=8, model.depths=[1, 1, 1, 1], clip.num_frames=4" in output
    assert "clip.stride=1 differs from 2, with which init_from was trained" in output
    stored = load_yaml(output_dir / "config.yaml")
    assert (stored["model"]["embed_dim"], stored["clip"]["crop_size"]) == (8, 32)
    wrong = run_forked("train", *values, f"output_dir={tmp_path / 'wrong'}", "model.embed_dim=16")
    assert error_line(wrong) == (
        f"model.embed_dim=16: contradicts init_from={tiny_checkpoint}: its weights have "
        "embed_dim=8; leave it out"
    )
    assert not (tmp_path / "wrong").exists()


def test_a_run_goes_on_with_the_clips_that_it_began_with(
    tiny_dataset: TinyDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever became of the weights since: so do runs that began before weights had a say."""
    clip = ClipSettings(num_frames=4, stride=2, crop_size=32)
    source = save_checkpoint(tmp_path / "own", classes=tiny_dataset.classes, clip=clip)
    output_dir = tmp_path / "run"
    values = arguments(tiny_dataset, source, output_dir, *TINY_ARGUMENTS)
    train(parse_settings(TrainRun, values))
    began = load_yaml(output_dir / "config.yaml")["clip"]
    other = clip.model_copy(update={"mean": (0.1,) * 3, "frames_per_second": 9.0})
    (source / "preprocessor.json").write_bytes(dump_preprocessor(other))
    forget_accelerator()
    train(parse_settings(TrainRun, [*values, "train.epochs=2"]))
    assert load_yaml(output_dir / "config.yaml")["clip"] == began
    output = capsys.readouterr().out
    assert "changed    train.epochs 1 -> 2\nresuming" in output
    assert "differs from" not in output


@pytest.mark.parametrize(
    "layout", ["same architecture", "inflated from images", "pre-trained", "fewer frames"]
)
def test_a_run_resumes_when_its_init_from_is_gone(
    tiny_dataset: TinyDataset, tmp_path: Path, layout: str
) -> None:
    """To the bits of a run that was never stopped: its weights are the checkpoint's alone."""
    make: dict[str, Callable[..., Path]] = {
        "same architecture": video_model,
        "inflated from images": image_model,
        "pre-trained": partial(pretrained_model, position_initializer="sine_cosine"),
        "fewer frames": partial(video_model, clip=None, image_size=[2, 64, 64]),
    }
    source = make[layout](tmp_path / "source")
    takes_clips = ["model.name=hiera_base_16x224", "clip.num_frames=4"]
    given = layout in ("inflated from images", "fewer frames")
    more = [*takes_clips * given, "train.epochs=2"]
    for folder in ("whole", "resumed"):
        values = arguments(tiny_dataset, source, tmp_path / folder, *more, "clip.crop_size=64")
        train(parse_settings(TrainRun, values))
        forget_accelerator()
    shutil.rmtree(source)
    shutil.rmtree(tmp_path / "resumed" / "checkpoints" / "step-00000004")
    stored = (tmp_path / "resumed" / "config.yaml").read_text()
    train(parse_settings(TrainRun, values))
    assert (tmp_path / "resumed" / "config.yaml").read_text() == stored
    whole, resumed = (
        load_file(tmp_path / folder / "last" / "model.safetensors")
        for folder in ("whole", "resumed")
    )
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert (tmp_path / "resumed" / "last").resolve().parent.name == "step-00000004"


def test_the_head_of_the_weights_is_kept_and_resumed(
    tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    clip = ClipSettings(num_frames=4, stride=2, crop_size=32)
    source = save_checkpoint(
        tmp_path / "own", classes=tiny_dataset.classes, clip=clip, head="attentive"
    )
    values = arguments(tiny_dataset, source, tmp_path / "run")
    train(parse_settings(TrainRun, values))
    shutil.rmtree(source)
    forget_accelerator()
    train(parse_settings(TrainRun, [*values, "train.epochs=2"]))
    model = HieraForVideoClassification.from_pretrained(tmp_path / "run" / "last")
    assert model.config.head == "attentive"
    assert load_yaml(tmp_path / "run" / "config.yaml")["model"]["head"] == "attentive"
