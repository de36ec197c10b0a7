"""Makes the sides of a run: manifests, model and task.

A joint run has two sides, one of clips and one of images. The image side is a training run of its
own; the settings under ``images`` say how it differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch

from hiera_video.config.clip_groups import EvaluateSettings, ValidationSettings
from hiera_video.data.class_balance import ClassBalance
from hiera_video.data.class_labels import ClassLabels
from hiera_video.data.label_sets import LabelSets
from hiera_video.data.manifest import Manifest, open_manifest
from hiera_video.data.targets import TargetEncoder
from hiera_video.errors import CheckpointError, ConfigError
from hiera_video.labels import normalize_label
from hiera_video.models.config import HieraConfig
from hiera_video.models.preprocessor import dump_preprocessor
from hiera_video.models.pretrained import PretrainedModel
from hiera_video.models.registry import class_of_variant, create_model
from hiera_video.models.variants import parse_name, variant_config
from hiera_video.seeding import derive_seed
from hiera_video.tasks.class_weights import class_weights, label_counts
from hiera_video.tasks.criteria import PROBLEM_TYPES, criterion
from hiera_video.tasks.mixing import Mixing
from hiera_video.tasks.multi_label import MultiLabel
from hiera_video.tasks.pretraining import PreTraining
from hiera_video.tasks.regression import Regression
from hiera_video.tasks.single_label import SingleLabel
from hiera_video.tasks.task import Task
from hiera_video.training.learning import Side
from hiera_video.training.resume import check_same_model
from hiera_video.training.settings import LabelledImages, PretrainRun, TrainingRun, TrainRun
from hiera_video.training.starting import Start

R = TypeVar("R", bound=TrainingRun)

#: Fields of a model that have a value per axis, time first for clips.
_PER_AXIS = ("patch_size", "patch_stride", "patch_padding", "query_stride", "masked_unit_size")
#: Fields that the model of images has from its own variant or size.
_IMAGE_SPECIFIC_FIELDS = (
    "image_size",
    "separate_position_embeddings",
    "global_position_size",
    "mask_ratio",
    "num_labels",
)


#: Makes the side of a run whose weights come from ``Start``, or from the run's seed.
MakeSide = Callable[[R, Start | None], Side]
#: Changes a model between the moment at which its weights are there and that at which the optimizer
#: is made: freezes parts of it, adds others.
AdaptModel = Callable[[PretrainedModel], None]


def supervised_side(run: TrainRun, start: Start | None) -> Side:
    """The side of a run that learns from labels, whatever ``run.task`` is.

    Raises:
        UserError: if manifests, settings or weights cannot be used or do not fit together.
    """
    if run.task == "regression":
        return _regression_side(run, start)
    encoder = LabelSets if run.task == "multi_label" else ClassLabels
    labels = encoder()
    manifest = open_manifest(run.data, "data.train.manifest", run.clip, targets=labels)
    if labels.order_is_assumed and (names := _names_of_weights(start, labels.classes)):
        labels = encoder(names)
        manifest = open_manifest(run.data, "data.train.manifest", run.clip, targets=labels)
    classes = labels.classes
    held_out = _held_out(run, encoder(classes))
    model = build_classifier(run, classes, start)
    encoded = manifest.target_array("labels")
    task_class = MultiLabel if run.task == "multi_label" else SingleLabel
    task = task_class(
        classes,
        run.clip,
        run.train.batch_size,
        run.train.label_smoothing,
        Mixing(run.augment, len(classes), run.train.repeated_sampling),
        class_weights(label_counts(encoded, len(classes)), run.train.class_weights),
    )
    balance = ClassBalance.of(encoded, run.data.sampler)
    return replace(
        _supervised(run, model, task, manifest, start), held_out=held_out, balance=balance
    )


def _regression_side(run: TrainRun, start: Start | None) -> Side:
    """A run that goes on keeps the statistics that it began with: its outputs are in them."""
    task = Regression(run.data.target_columns, run.clip, run.train.batch_size)
    if start is not None and start.resumes and start.checkpoint.targets is not None:
        task.load(start.checkpoint.targets, start.source)
    manifest = open_manifest(run.data, "data.train.manifest", run.clip, targets=task.targets)
    held_out = _held_out(run, task.targets)
    model = build_classifier(run, list(task.targets.columns), start)
    model.targets = task.dump()
    return replace(_supervised(run, model, task, manifest, start), held_out=held_out)


def _supervised(
    run: TrainRun, model: PretrainedModel, task: Task, manifest: Manifest, start: Start | None
) -> Side:
    task.best_by = criterion(run.task, run.evaluate.best_by)
    return replace(
        _side(run, model, task, manifest, start), validate_epochs=run.train.validate_epochs
    )


def _held_out(run: TrainRun, targets: TargetEncoder) -> tuple[Manifest, EvaluateSettings] | None:
    if run.data.val.manifest is None:
        return None
    manifest = open_manifest(run.data, "data.val.manifest", run.clip, targets=targets)
    return manifest, run.evaluate.of(run.clip)


def pretraining_side(run: PretrainRun, start: Start | None) -> Side:
    """The side of a pre-training run: videos without labels.

    Raises:
        UserError: as :func:`supervised_side` does.
    """
    manifest = open_manifest(run.data, "data.train.manifest", run.clip)
    model = build_pretraining_model(run, start)
    return _side(run, model, PreTraining(run.clip, run.train.batch_size), manifest, start)


def _side(
    run: TrainingRun, model: PretrainedModel, task: Task, manifest: Manifest, start: Start | None
) -> Side:
    notes = start.notes if start else ()
    return Side(model, task, manifest, run.clip, run.augment, run.train, notes=notes)


def _names_of_weights(start: Start | None, classes: Sequence[str]) -> list[str] | None:
    """``classes`` in the order that the weights have them, if the weights have the same classes.

    For classes whose order nobody gave: in any other order, the weights' head would be useless, or
    a resumed run would be refused.
    """
    if start is None or not start.checkpoint.config.has_label_names:
        return None
    stored = start.checkpoint.config.id2label or {}
    names = [normalize_label(stored[index]) for index in range(len(stored))]
    wanted = {normalize_label(name) for name in classes}
    return names if len(names) == len(classes) and set(names) == wanted else None


def check_kind(run: TrainingRun) -> None:
    """Make sure that the model takes what the run reads: clips of several frames, or images.

    Raises:
        ConfigError: naming both settings.
    """
    takes_clips = parse_name(run.model.name).is_video
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


def build_pretraining_model(run: PretrainRun, start: Start | None) -> PretrainedModel:
    """The model that ``run.model`` describes, with the weights of ``start``.

    Raises:
        ConfigError: if the model is not for pre-training, or does not fit the clips.
        CheckpointError: if the weights cannot be used.
    """
    if not parse_name(run.model.name).is_pretraining:
        raise ConfigError(f"model.name={run.model.name}: pre-training wants a mae_ model")
    return build_model(run, {}, start)


def build_classifier(run: TrainRun, classes: list[str], start: Start | None) -> PretrainedModel:
    """The model that ``run.model`` describes, for ``classes``, or for targets of these names, with
    the weights of ``start``.

    Raises:
        ConfigError: if the model does not fit the clips, or a field does not fit.
        CheckpointError: if the weights cannot be used.
    """
    name = parse_name(run.model.name)
    if name.is_pretraining:
        raise ConfigError(
            f"model.name={name}: training wants {name._replace(is_pretraining=False)}, with the "
            "pre-trained weights as init_from"
        )
    num_labels = run.model.overrides.get("num_labels", len(classes))
    if num_labels != len(classes):
        raise ConfigError(
            f"model.num_labels={num_labels}: the training videos have {len(classes)} classes; "
            "leave it out"
        )
    # A model does not name single labels as its problem if there is one label: a run may have it.
    is_named = len(classes) > 1 or run.task != "single_label"
    fields = {
        "num_labels": len(classes),
        "id2label": dict(enumerate(classes)),
        "problem_type": PROBLEM_TYPES[run.task] if is_named else None,
    }
    return build_model(run, fields, start)


def build_model(run: TrainingRun, fields: dict[str, Any], start: Start | None) -> PretrainedModel:
    """The model that ``run.model`` describes, with ``fields`` in place of its own, on the CPU.

    Its weights come from one place: the checkpoint of ``start``, or else the run's seed.

    Raises:
        ConfigError: if the model does not fit the clips, or a field does not fit.
        CheckpointError: if the weights cannot be used.
    """
    name, clip_size = run.model.name, [run.clip.crop_size] * 2
    if not run.clip.is_image:
        clip_size = [run.clip.num_frames, *clip_size]
    overrides = {"image_size": clip_size, **run.model.overrides, **fields}
    try:
        config = variant_config(name, **overrides)
    except ConfigError as error:
        faults = [f"model.{key}: {text}" if key else text for key, text in error.faults]
        raise ConfigError("; ".join(faults) or str(error)) from None
    _check_clip(run, config, clip_size)
    torch.manual_seed(derive_seed(run.seed))  # for what starts at random
    model: PretrainedModel
    if start is not None and start.resumes:
        model = _resumed_model(class_of_variant(name, config), config, start)
    else:
        model = create_model(name, start.checkpoint if start else None, **overrides)
    # Of the weights that it starts from; a task that keeps something says so anew.
    model.preprocessor, model.targets = dump_preprocessor(run.clip), None
    return model


def _resumed_model(
    model: type[PretrainedModel], config: HieraConfig, start: Start
) -> PretrainedModel:
    try:
        check_same_model(start.checkpoint, model, config)
    except ConfigError as error:
        differences = "; ".join(
            f"{start.prefix}model.{text}" if start.prefix else text for _, text in error.faults
        )
        raise CheckpointError(
            f"{start.source}: cannot go on with another model ({differences}); give another "
            "output_dir, and init_from to start from these weights"
        ) from None
    return model.from_weights(config, start.checkpoint.weights, start.source)


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


def check_joint(run: TrainingRun) -> None:
    """Make sure that ``images`` fit a run, if there are any.

    Raises:
        ConfigError: if the model takes images already, or images are validated and clips are not.
    """
    if run.images is None:
        return
    if run.clip.is_image:
        raise ConfigError(
            f"images: is for joint training of a model of clips, and model.name={run.model.name} "
            "takes images: give them as data.train.manifest"
        )
    if (
        isinstance(run, TrainRun)
        and run.images is not None
        and run.images.val.manifest is not None
        and run.data.val.manifest is None
    ):
        raise ConfigError(
            "images.val.manifest: needs data.val.manifest, which decides what is best"
        )


def image_run(run: R, init_from: str | None) -> R:
    """The image side of a joint run as a run: its data, its views, the image twin of the model.

    Raises:
        ConfigError: if ``run`` has no images.
    """
    images = run.images
    if images is None:
        raise ConfigError("images: is required and was not given")
    fields = {
        name: value
        for name, value in run.model.overrides.items()
        if name not in _IMAGE_SPECIFIC_FIELDS
    }
    fields |= {name: fields[name][1:] for name in _PER_AXIS if name in fields}
    fields |= images.model.given
    name = str(parse_name(run.model.name)._replace(is_video=False))
    data: dict[str, Any] = {"train": images.train, "root": images.root}
    changes: dict[str, Any] = {
        "images": None,
        "init_from": init_from,
        "model": type(run.model)(name=name, **fields),
        "clip": images.clip,
        "augment": images.augment,
        "train": run.train.model_copy(
            update={"batch_size": images.batch_size, "repeated_sampling": 1}
        ),
    }
    if isinstance(run, TrainRun) and isinstance(images, LabelledImages):
        data |= {"val": images.val, "sampler": "uniform"}  # the clips are what is balanced
        changes["evaluate"] = ValidationSettings(batch_size=run.evaluate.batch_size)
    changes["data"] = run.data.model_copy(update=data)
    return run.model_copy(update=changes)
