"""The settings of training and of pre-training.

A run is described by YAML files and any number of ``key=value`` overrides in dotted form::

    hiera-video train --config demo/finetune optimizer.lr=1e-3 data.num_workers=4
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from hiera_video.config.clip_groups import (
    AugmentSettings,
    ClipSettings,
    ImageSettings,
    ValidationSettings,
    ViewSettings,
)
from hiera_video.config.groups import (
    DataSource,
    LoopSettings,
    ModelSettings,
    OptimizerSettings,
    PretrainData,
    PretrainingModelSettings,
    RunSettings,
    TrainData,
    TrainSettings,
)
from hiera_video.config.machinery import GivenFields, Settings, with_fields_of
from hiera_video.errors import ConfigError, suggest
from hiera_video.models.config import HieraConfig
from hiera_video.models.variants import list_models
from hiera_video.tasks.criteria import criterion

_IMAGES = "train jointly on images: images.train.manifest and so on"
#: Fields of a model that clips and labels decide, and fields of its outputs.
_DECIDED = {
    "image_size",
    "num_labels",
    "id2label",
    "label2id",
    "problem_type",
    "out_features",
    "out_indices",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
}
#: Fields that only pre-training makes use of, and those that only a classifier does.
_OF_PRETRAINING = {
    name
    for name in HieraConfig.model_fields
    if name.startswith("decoder_") or name in ("mask_ratio", "normalize_pixel_loss")
}
_OF_CLASSIFIER = {name for name in HieraConfig.model_fields if name.partition("_")[0] == "head"}


class _NamedModel(ModelSettings):
    """A variant whose name must be known."""

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if value not in list_models():
            raise ValueError(f"unknown model, {suggest(value, list_models())}")
        return value


@with_fields_of(HieraConfig, "of the variant", leave_out=_DECIDED | _OF_PRETRAINING)
class ClassifierSettings(_NamedModel):
    """The model of a training run."""


@with_fields_of(HieraConfig, "of the variant", leave_out=_DECIDED | _OF_CLASSIFIER)
class AutoencoderSettings(PretrainingModelSettings, _NamedModel):
    """The model of a pre-training run."""


@with_fields_of(HieraConfig, "of model", leave_out=_DECIDED | _OF_PRETRAINING)
class ImageClassifierSettings(GivenFields):
    """Fields in which the model of images differs from that of clips."""


@with_fields_of(HieraConfig, "of model", leave_out=_DECIDED | _OF_CLASSIFIER)
class ImageAutoencoderSettings(GivenFields):
    """Fields in which the model of images differs from that of clips."""


class JointImages(Settings):
    """Images that take turns with clips through the same encoder."""

    train: DataSource = Field(default_factory=DataSource)
    root: Path | None = Field(
        None, description="folder that relative paths start from; default: the manifest's folder"
    )
    batch_size: int = Field(32, ge=1, description="images per process with each batch of clips")
    loss_weight: float = Field(1.0, gt=0, description="of their loss, beside that of the clips")
    model: GivenFields = Field(default_factory=GivenFields)
    clip: ImageSettings = Field(default_factory=ImageSettings)
    augment: ViewSettings = Field(default_factory=ViewSettings)

    @model_validator(mode="after")
    def _check(self) -> JointImages:
        if self.train.manifest is None:
            raise ValueError("train.manifest is required and was not given")
        return self


class PretrainingImages(JointImages):
    """Images without labels."""

    model: ImageAutoencoderSettings = Field(default_factory=ImageAutoencoderSettings)


class LabelledImages(JointImages):
    """Images with labels, and others to validate on."""

    val: DataSource = Field(default_factory=DataSource)
    model: ImageClassifierSettings = Field(default_factory=ImageClassifierSettings)
    augment: AugmentSettings = Field(default_factory=AugmentSettings)


class TrainingRun(RunSettings):
    """The settings that training and pre-training share."""

    data: PretrainData = Field(default_factory=PretrainData)
    init_from: str | None = Field(
        None,
        description="weights to start from: directory, file, hub id; their architecture and clips "
        "are the defaults",
    )
    resume: str = Field("auto", description="auto (newest checkpoint, if any), never, or DIR")
    trackers: list[str] = Field(
        ["tensorboard"],
        description="where figures go besides log.jsonl: one or several of Accelerate's trackers "
        "(wandb, mlflow, ...), or [] for none",
    )
    model: ModelSettings
    clip: ClipSettings = Field(default_factory=ClipSettings)
    augment: ViewSettings = Field(default_factory=ViewSettings)
    train: LoopSettings = Field(default_factory=LoopSettings)
    optimizer: OptimizerSettings = Field(default_factory=OptimizerSettings)
    images: JointImages | None = Field(None, description=_IMAGES)

    @field_validator("trackers", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_warmup(self) -> TrainingRun:
        if self.optimizer.warmup_epochs > self.train.epochs:
            raise ValueError(
                f"optimizer.warmup_epochs={self.optimizer.warmup_epochs} is more than "
                f"train.epochs={self.train.epochs}"
            )
        return self


class PretrainRun(TrainingRun):
    """Pre-train an encoder on videos without labels."""

    model: AutoencoderSettings = Field(default_factory=AutoencoderSettings)
    images: PretrainingImages | None = Field(None, description=_IMAGES)


class TrainRun(TrainingRun):
    """Train a model on labelled videos."""

    task: Literal["single_label", "multi_label", "regression"] = Field(
        "single_label",
        description="what a row gives: a class, any number of classes joined by |, or numbers",
    )
    data: TrainData = Field(default_factory=TrainData)
    model: ClassifierSettings = Field(default_factory=ClassifierSettings)
    augment: AugmentSettings = Field(default_factory=AugmentSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)
    evaluate: ValidationSettings = Field(default_factory=ValidationSettings)
    images: LabelledImages | None = Field(None, description=_IMAGES)

    @model_validator(mode="after")
    def _check_task(self) -> TrainRun:
        faults = dict(self._unfit_settings())
        try:
            criterion(self.task, self.evaluate.best_by)
        except ConfigError as error:
            faults["evaluate.best_by"] = str(error)
        if faults:
            raise ConfigError("task does not fit", list(faults.items()))
        return self

    def _unfit_settings(self) -> Iterator[tuple[str, str]]:
        """Keys that mean nothing for the task, and why."""
        if self.images is not None and self.task != "single_label":
            yield "images", f"joint training is for task=single_label, got task={self.task}"
        if self.task != "regression":
            if self.data.target_columns is not None:
                yield "data.target_columns", f"is for task=regression, got task={self.task}"
            return
        numbers = "task=regression has no classes; leave it out"
        if self.data.sampler != "uniform":
            yield "data.sampler", numbers
        if self.train.class_weights != "none":
            yield "train.class_weights", numbers
        if self.train.label_smoothing:
            yield "train.label_smoothing", numbers
        for key in ("mixup_alpha", "cutmix_alpha"):
            if getattr(self.augment, key):
                yield f"augment.{key}", "task=regression does not mix videos; leave it out"
