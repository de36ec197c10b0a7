"""What a run trains: manifests, the model with the weights that it starts from, the task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from accelerate import Accelerator

from hiera_video.data.class_labels import ClassLabels
from hiera_video.data.failures import FailurePolicy
from hiera_video.data.manifest import Manifest, open_manifest
from hiera_video.errors import ConfigError
from hiera_video.models.classification import HieraClassifier
from hiera_video.models.config import HieraConfig
from hiera_video.models.mae import HieraForPreTraining
from hiera_video.models.preprocessor import dump_preprocessor
from hiera_video.models.pretrained import PretrainedModel
from hiera_video.models.variants import variant_config
from hiera_video.models.zoo import create_from_checkpoint, create_model
from hiera_video.seeding import derive_seed
from hiera_video.tasks.pretraining import PreTraining
from hiera_video.tasks.single_label import Classification
from hiera_video.training.loop import Task
from hiera_video.training.resume import names_to_keep
from hiera_video.training.settings import PretrainRun, TrainingRun, TrainRun
from hiera_video.training.starting import Start

M = TypeVar("M", bound=PretrainedModel)


class Part(NamedTuple):
    """What a run trains and on what; a joint run has two of these."""

    run: TrainingRun
    model: PretrainedModel
    manifest: Manifest
    make_task: Callable[[FailurePolicy, Accelerator], Task]
    val_manifest: Manifest | None = None
    start: Sequence[str] = ()  #: what to say of the weights that the model starts from


def classification_part(run: TrainRun, start: Start | None) -> Part:
    """What fine-tuning needs.

    Raises:
        UserError: if manifests, settings or weights cannot be used or do not fit together.
    """
    labels = ClassLabels()
    manifest = open_manifest(run.data, "data.train.manifest", run.clip, targets=labels)
    if labels.order_is_assumed and (names := names_to_keep(run, labels.classes)):
        labels = ClassLabels(names)
        manifest = open_manifest(run.data, "data.train.manifest", run.clip, targets=labels)
    classes = labels.classes
    val_manifest = None
    if run.data.val.manifest is not None:
        of_val = ClassLabels(classes)
        val_manifest = open_manifest(run.data, "data.val.manifest", run.clip, targets=of_val)
    model = build_classifier(run, classes, start)

    def make_task(failures: FailurePolicy, accelerator: Accelerator) -> Task:
        return Classification(run, len(classes), val_manifest, failures, accelerator)

    notes = start.notes if start else ()
    return Part(run, model, manifest, make_task, val_manifest, notes)


def pretraining_part(run: PretrainRun, start: Start | None) -> Part:
    """What pre-training needs.

    Raises:
        UserError: as :func:`classification_part` does.
    """
    manifest = open_manifest(run.data, "data.train.manifest", run.clip)
    model = build_pretraining_model(run, start)

    def make_task(_: FailurePolicy, accelerator: Accelerator) -> Task:
        return PreTraining(run, accelerator)

    return Part(run, model, manifest, make_task, start=start.notes if start else ())


def check_kind(run: TrainingRun) -> None:
    """Make sure that a model of clips is given clips, and one of images images.

    Raises:
        ConfigError: naming both settings.
    """
    takes_clips = variant_config(run.model.name).is_video
    if takes_clips and run.clip.is_image:
        raise ConfigError(
            f"clip.num_frames=1: model.name={run.model.name} takes clips; wanted more frames, or "
            "a model of images, such as hiera_base_224"
        )
    if not takes_clips and not run.clip.is_image:
        raise ConfigError(
            f"clip.num_frames={run.clip.num_frames}: model.name={run.model.name} takes images; "
            "wanted clip.num_frames=1"
        )


def build_pretraining_model(run: PretrainRun, start: Start | None) -> HieraForPreTraining:
    """The model that ``run.model`` describes, with the weights of ``start``.

    Raises:
        ConfigError: if it is none to pre-train, or does not fit the clips.
        CheckpointError: if the weights cannot be used.
    """
    if not run.model.name.startswith("mae_"):
        raise ConfigError(f"model.name={run.model.name}: pre-training wants a mae_ model")
    return _build(run, HieraForPreTraining, run.model.overrides, start)


def build_classifier(run: TrainRun, classes: list[str], start: Start | None) -> HieraClassifier:
    """The model that ``run.model`` describes, for ``classes``, with the weights of ``start``.

    Raises:
        ConfigError: if the model does not fit the clips, or a field does not fit.
        CheckpointError: if the weights cannot be used.
    """
    if run.model.name.startswith("mae_"):
        raise ConfigError(
            f"model.name={run.model.name}: training wants {run.model.name.removeprefix('mae_')}, "
            "with the pre-trained weights as init_from"
        )
    labels = {"num_labels": len(classes), "id2label": dict(enumerate(classes))}
    num_labels = run.model.overrides.get("num_labels", len(classes))
    if num_labels != len(classes):
        raise ConfigError(
            f"model.num_labels={num_labels}: the training videos have {len(classes)} classes; "
            "leave it out"
        )
    return _build(run, HieraClassifier, {**run.model.overrides, **labels}, start)


def _build(run: TrainingRun, kind: type[M], overrides: dict[str, Any], start: Start | None) -> M:
    clip_size = [run.clip.crop_size] * 2
    if not run.clip.is_image:
        clip_size = [run.clip.num_frames, *clip_size]
    overrides = {"image_size": clip_size, **overrides}
    try:
        config = variant_config(run.model.name, **overrides)
    except ConfigError as error:
        faults = [f"model.{key}: {text}" if key else text for key, text in error.faults]
        raise ConfigError("; ".join(faults) or str(error)) from None
    _check_clip(run, config, clip_size)
    torch.manual_seed(derive_seed(run.seed))  # for what starts at random
    if start is None:
        model = create_model(run.model.name, **overrides)
    else:
        model = create_from_checkpoint(run.model.name, start.checkpoint, start.source, **overrides)
    assert isinstance(model, kind)
    model.preprocessor = dump_preprocessor(run.clip)
    return model


def _check_clip(run: TrainingRun, config: HieraConfig, clip_size: list[int]) -> None:
    if config.image_size != clip_size:
        raise ConfigError(
            f"model.image_size={config.image_size}: clip.num_frames={run.clip.num_frames} and "
            f"clip.crop_size={run.clip.crop_size} make {clip_size}"
        )
    if config.num_channels != len(run.clip.mean):
        raise ConfigError(
            f"clip.mean={list(run.clip.mean)}: wanted one value for each of "
            f"model.num_channels={config.num_channels}"
        )
