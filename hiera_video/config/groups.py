"""Groups of settings: what can be set, in which units, and what it is by default.

A command's settings are made of the groups that it uses. Field descriptions give units; ``--help``
of every command lists them.
"""

from __future__ import annotations

import math
import os
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hiera_video.config.limits import at_least
from hiera_video.config.machinery import GivenFields, Settings
from hiera_video.decoding.options import TIMEOUT_SECONDS, DecodingOptions

#: The names of the decoders, ``hiera_video.decoding.decoders.DECODERS``.
Decoder = Literal["pyav", "decord", "torchcodec"]


#: How long a file may take before it counts as one that cannot be read.
_INSPECT_TIMEOUT_SECONDS = 600.0
#: Columns of a manifest that say where a video is.
_OF_VIDEOS = (
    "path",
    "start_seconds",
    "end_seconds",
    "shard",
    "member",
    "offset_bytes",
    "size_bytes",
)
#: Where a run keeps indexes of videos, in its output folder, if no other folder is named.
INDEX_FOLDER = ".index"


class JobSettings(Settings):
    """Where a command writes, and how it computes."""

    output_dir: Path = Field(description="folder that everything is written to")
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    compile: bool = Field(False, description="torch.compile the model")

    @property
    def plain(self) -> JobSettings:
        """These three alone, for a function that takes groups and no command's settings."""
        return JobSettings(**{name: getattr(self, name) for name in JobSettings.model_fields})


class RunSettings(JobSettings):
    """The same, where something is drawn at random."""

    seed: int = Field(0, ge=0)

    @property
    def plain(self) -> RunSettings:
        """These four alone, for a function that takes groups and no command's settings."""
        return RunSettings(**{name: getattr(self, name) for name in RunSettings.model_fields})


class DataSource(Settings):
    """Which videos or images to read."""

    manifest: Path | None = Field(
        None, description="CSV with a header `path,label[,start_seconds,end_seconds]`"
    )


class DecoderSettings(Settings):
    """What reads videos."""

    decoder: Decoder = "pyav"


class FrameRateSettings(Settings):
    """What pictures do not say."""

    frame_rate: float | None = Field(
        None,
        gt=0,
        description="pictures per second of clips that are folders or archives of pictures; "
        "required where something counts their seconds: start_seconds and end_seconds of a row, "
        "clip.frames_per_second, windows of features",
    )

    @property
    def exact_frame_rate(self) -> Fraction | None:
        """The decimal number as it was given: 29.97 is 2997/100."""
        return None if self.frame_rate is None else Fraction(str(self.frame_rate))


class PredictData(FrameRateSettings, DecoderSettings):
    """How single files are read."""


class ReadingSettings(FrameRateSettings, DecoderSettings):
    """How the videos of a manifest are read."""

    root: Path | None = Field(
        None, description="folder that relative paths start from; default: the manifest's folder"
    )
    num_workers: int = Field(2, ge=0, description="decoding processes per training process")
    on_error: Literal["raise", "skip"] = Field(
        "raise", description="what to do when a video cannot be decoded"
    )
    timeout_seconds: float = Field(
        TIMEOUT_SECONDS,
        gt=0,
        description="a video that takes longer to open, or to give a frame, or keeps a worker for "
        "longer, counts as one that cannot be read",
    )
    index_dir: Path | None = Field(
        None,
        description="folder that keeps the frames of videos that had to be counted by decoding, "
        "for later runs; default: output_dir/.index, for this one",
    )
    square_pixels: bool = Field(
        False, description="stretch pictures in width where their pixels are not square"
    )

    def decoding(self, output_dir: Path) -> DecodingOptions:
        """How readers read, in a run that writes to ``output_dir``."""
        return DecodingOptions(
            self.decoder,
            self.timeout_seconds,
            self.index_dir or output_dir / INDEX_FOLDER,
            self.square_pixels,
            self.exact_frame_rate,
        )


class PretrainData(ReadingSettings):
    """Videos to pre-train on."""

    train: DataSource = Field(default_factory=DataSource)
    max_failed_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="under skip, training stops when more of an epoch's videos fail",
    )


class TrainData(PretrainData):
    """Videos to train on, and others to validate on."""

    val: DataSource = Field(default_factory=DataSource)
    target_columns: list[str] | None = Field(
        None,
        description="of the manifests, one or several numbers each, for task=regression; "
        "default: [label]",
    )
    sampler: Literal["uniform", "balanced", "sqrt"] = Field(
        "uniform",
        description="how often a pass takes videos of a class: as often as there are, all classes "
        "alike, or by the square root of how many there are",
    )

    @field_validator("target_columns", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("target_columns")
    @classmethod
    def _check_columns(cls, value: list[str] | None) -> list[str] | None:
        taken = [name for name in value or [] if name in _OF_VIDEOS]
        if value is not None and (not value or len(set(value)) < len(value) or taken):
            raise ValueError(
                f"wanted names of columns, each once, and none of {', '.join(_OF_VIDEOS)}"
            )
        return value


class EvaluateData(ReadingSettings):
    """Labelled videos to evaluate on."""

    val: DataSource = Field(default_factory=DataSource)


class FeatureData(ReadingSettings):
    """Videos to extract features from."""

    manifest: Path | None = Field(None, description="CSV with a header `path`; labels may lack")


class InspectData(FrameRateSettings):
    """How files are looked at."""

    root: Path | None = Field(None, description="folder that relative paths start from")
    num_workers: Annotated[int, at_least(1)] = Field(
        default_factory=lambda: os.cpu_count() or 1,
        description="processes that read; default: one per core",
    )
    timeout_seconds: float = Field(
        _INSPECT_TIMEOUT_SECONDS,
        description="a file that takes longer counts as one that cannot be read",
    )
    index_dir: Path | None = Field(
        None,
        description="folder that keeps the frames of videos that had to be counted by decoding, "
        "for training",
    )

    @field_validator("timeout_seconds")
    @classmethod
    def _check_timeout(cls, value: float) -> float:
        if not 0 < value < math.inf:
            raise ValueError("wanted a number of seconds above 0")
        return value


class ModelSettings(GivenFields):
    """A named variant; a command adds the fields of ``HieraConfig`` that it may change in it."""

    name: str = Field("hiera_base_16x224", description="`hiera-video models` lists all")

    @property
    def overrides(self) -> dict[str, Any]:
        """The ``HieraConfig`` fields that were given."""
        return {name: value for name, value in self.given.items() if name != "name"}


class PretrainingModelSettings(ModelSettings):
    """A variant with a decoder."""

    name: str = Field("mae_hiera_base_16x224", description="`hiera-video models` lists all")


class LoopSettings(Settings):
    """The training loop."""

    epochs: int = Field(
        100,
        ge=1,
        description="clips taken from each video in all, as papers count: a pass over the videos "
        "is repeated_sampling of them",
    )
    batch_size: int = Field(8, ge=1, description="clips per process and step")
    accumulate_steps: int = Field(1, ge=1, description="batches per optimizer step")
    repeated_sampling: int = Field(1, ge=1, description="clips taken from each decoded video")
    gradient_checkpointing: bool = Field(False, description="less memory, a third more compute")
    check_memory: bool = Field(
        False, description="refuse a run whose steps need more memory than is there, not just warn"
    )
    ema_decay: float | None = Field(
        None, gt=0, lt=1, description="average weights over steps; validate and save the average"
    )
    clip_grad_norm: float | None = Field(None, gt=0, description="largest norm of the gradient")
    checkpoint_steps: int | None = Field(
        None, ge=1, description="save every N optimizer steps, besides every epoch's end"
    )
    log_steps: int = Field(10, ge=1, description="log every N optimizer steps")
    keep_checkpoints: int = Field(2, ge=1, description="latest checkpoints to keep")

    @model_validator(mode="after")
    def _check(self) -> LoopSettings:
        if self.batch_size % self.repeated_sampling:
            raise ValueError(
                f"repeated_sampling={self.repeated_sampling} does not divide "
                f"batch_size={self.batch_size} (clips per process)"
            )
        if self.epochs % self.repeated_sampling:
            raise ValueError(
                f"repeated_sampling={self.repeated_sampling} does not divide epochs={self.epochs}, "
                "which count clips per video"
            )
        return self

    @property
    def num_passes(self) -> int:
        """How often the training goes through the videos."""
        return self.epochs // self.repeated_sampling


class TrainSettings(LoopSettings):
    """The training loop, with labels."""

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    class_weights: Literal["none", "inverse", "effective_number"] = Field(
        "none",
        description="of the loss, by how many videos a class has: 1 / n, or the effective number "
        "of samples with beta 0.999 (arXiv 1901.05555); their mean over the videos is 1",
    )
    validate_epochs: int = Field(1, ge=1, description="validate every N epochs")


class OptimizerSettings(Settings):
    """AdamW or SGD, with a cosine schedule."""

    name: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(8e-4, gt=0, description="peak learning rate")
    lr_batch_size: int | None = Field(
        None,
        ge=1,
        description="clips per step that lr is meant for; lr is scaled linearly to the clips per "
        "step that there are. Default: lr as it is",
    )
    min_lr: float = Field(1e-6, ge=0, description="learning rate at the end of the cosine")
    warmup_epochs: float = Field(0.0, ge=0, description="epochs of linear warm-up")
    weight_decay: float = Field(0.05, ge=0, description="not applied to biases, norms, positions")
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="factor of the rate from each block to the one before it"
    )
    betas: tuple[float, float] = Field((0.9, 0.999), description="AdamW only")
    momentum: float = Field(0.9, ge=0, lt=1, description="SGD only")
