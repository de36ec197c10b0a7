"""Runs: all settings of each command.

A run is described by one YAML file and any number of ``key=value`` overrides in dotted form::

    train.py --config configs/demo/finetune.yaml optimizer.lr=1e-3 data.num_workers=4
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, field_validator, model_validator

from hiera_video.config.groups import (
    AugmentSettings,
    ClipSettings,
    DataSettings,
    DataSource,
    EvaluateSettings,
    FeatureSettings,
    ImageSettings,
    ModelSettings,
    OptimizerSettings,
    PretrainingModelSettings,
    RunSettings,
    TrainSettings,
    ValidationSettings,
)
from hiera_video.config.machinery import Settings


class JointImages(Settings):
    """Images that take turns with clips through the same encoder."""

    train: DataSource = Field(default_factory=DataSource)
    val: DataSource = Field(default_factory=DataSource)
    root: Path | None = Field(
        None, description="folder that relative paths start from; default: the manifest's folder"
    )
    batch_size: int = Field(32, ge=1, description="images per process with each batch of clips")
    loss_weight: float = Field(1.0, gt=0, description="of their loss, beside that of the clips")
    model: dict[str, Any] = Field(
        default_factory=dict,
        description="HieraConfig fields of the model of images; the others are those of model",
    )
    clip: ImageSettings = Field(default_factory=ImageSettings)
    augment: AugmentSettings = Field(default_factory=AugmentSettings)

    @model_validator(mode="after")
    def _check(self) -> JointImages:
        if self.train.manifest is None:
            raise ValueError("train.manifest is required and was not given")
        return self


class TrainingRun(RunSettings):
    """What training and pre-training share."""

    unused: ClassVar[tuple[str, ...]] = (
        "data.manifest",
        "images.clip.num_frames",
        "images.clip.stride",
        "model.image_size",
        "model.num_labels",
        "model.id2label",
        "model.label2id",
        "model.out_features",
        "model.out_indices",
        "model.output_attentions",
        "model.output_hidden_states",
        "model.return_dict",
    )

    data: DataSettings = Field(default_factory=DataSettings)
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
    model: ModelSettings = Field(default_factory=ModelSettings)
    clip: ClipSettings = Field(default_factory=ClipSettings)
    augment: AugmentSettings = Field(default_factory=AugmentSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)
    optimizer: OptimizerSettings = Field(default_factory=OptimizerSettings)
    images: JointImages | None = Field(
        None, description="train jointly on images: images.train.manifest and so on"
    )

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

    unused: ClassVar[tuple[str, ...]] = (
        *TrainingRun.unused,
        "augment.cutmix_alpha",
        "augment.mixup_alpha",
        "data.val.manifest",
        "images.augment.cutmix_alpha",
        "images.augment.mixup_alpha",
        "images.val.manifest",
        "model.head_dropout",
        "model.head_init_scale",
        "train.label_smoothing",
        "train.validate_epochs",
    )

    model: PretrainingModelSettings = Field(default_factory=PretrainingModelSettings)

    @model_validator(mode="after")
    def _check_labels(self) -> PretrainRun:
        of_labels = {
            "train.label_smoothing": self.train.label_smoothing,
            "augment.mixup_alpha": self.augment.mixup_alpha,
            "augment.cutmix_alpha": self.augment.cutmix_alpha,
            "model.head_dropout": self.model.overrides.get("head_dropout"),
        }
        given = [f"{name}={value}" for name, value in of_labels.items() if value]
        if given:
            raise ValueError(f"{', '.join(given)}: pre-training has no labels; leave it out")
        return self


class TrainRun(TrainingRun):
    """Train a video classifier."""

    unused: ClassVar[tuple[str, ...]] = (
        *TrainingRun.unused,
        "model.decoder_depth",
        "model.decoder_hidden_size",
        "model.decoder_mask_ratio",
        "model.decoder_num_heads",
        "model.mask_ratio",
        "model.normalize_pixel_loss",
    )

    evaluate: ValidationSettings = Field(default_factory=ValidationSettings)


class CheckpointRun(RunSettings):
    """What evaluation and feature extraction share."""

    unused: ClassVar[tuple[str, ...]] = (
        "clip.crop_size",
        "clip.num_frames",
        "data.max_failed_share",
        "data.train.manifest",
    )

    data: DataSettings = Field(default_factory=DataSettings)
    checkpoint: str = Field(description="directory, file or hub id of a trained model")
    clip: dict[str, Any] = Field(
        default_factory=dict,
        description="settings of clips in place of the checkpoint's own: clip.frames_per_second=30",
    )


class EvaluateRun(CheckpointRun):
    """Evaluate a trained model on labelled videos."""

    unused: ClassVar[tuple[str, ...]] = (*CheckpointRun.unused, "data.manifest")

    evaluate: EvaluateSettings = Field(default_factory=EvaluateSettings)


class FeatureRun(CheckpointRun):
    """Extract features of whole videos."""

    unused: ClassVar[tuple[str, ...]] = (*CheckpointRun.unused, "data.val.manifest")

    features: FeatureSettings = Field(default_factory=FeatureSettings)
