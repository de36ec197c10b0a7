"""Groups of settings for clips: how they are taken, their random views, and the views and windows
that are evaluated. Field descriptions give units.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from hiera_video.config.machinery import Settings
from hiera_video.errors import ConfigError


class ClipSettings(Settings):
    """What a clip is. Stored with the checkpoint, so evaluation repeats what training did."""

    num_frames: int = Field(16, ge=1, description="1 for images")
    stride: int = Field(
        4,
        ge=1,
        description="frames from one sampled frame to the next; sampling=segments does not use it",
    )
    frames_per_second: float | None = Field(
        None,
        gt=0,
        description="rate at which `stride` counts frames; default: the video's own rate",
    )
    sampling: Literal[
        "hiera_video",
        "pyslowfast",
        "pyslowfast_no_offset",
        "videomae",
        "mmaction2",
        "pytorchvideo",
        "pytorchvideo_main",
        "segments",
    ] = Field(
        "hiera_video",
        description="whose rule says where clips and crops lie; others reproduce their numbers; "
        "segments: a frame from each of num_frames equal parts of the whole video",
    )
    short_video: Literal["repeat_last", "loop", "refuse"] | None = Field(
        None,
        description="what stands in for the frames that a video shorter than a clip lacks; "
        "default: as the rule's source does (hiera_video: repeat_last)",
    )
    crop_size: int = Field(224, ge=1, description="height and width of a view, in pixels")
    short_side: int | None = Field(
        None,
        ge=1,
        description="short side in pixels that frames are resized to before evaluation crops; "
        "default: crop_size",
    )
    interpolation: Literal["bilinear", "bicubic"] = Field(
        "bilinear", description="of what is resized; always antialiased"
    )
    mean: tuple[float, ...] = Field(
        (0.45, 0.45, 0.45), description="per channel, of values in 0..1"
    )
    std: tuple[float, ...] = Field((0.225, 0.225, 0.225), description="per channel")

    @model_validator(mode="after")
    def _check(self) -> ClipSettings:
        if self.short_side is not None and self.short_side < self.crop_size:
            raise ValueError(
                f"short_side={self.short_side} is smaller than crop_size={self.crop_size}"
            )
        if self.frames_per_second and self.counts_own_frames:
            raise ValueError(
                f"frames_per_second={self.frames_per_second:g}: sampling={self.sampling} counts "
                "the video's own frames; leave it out"
            )
        if self.short_video and self.spans_video:
            raise ValueError(
                f"short_video={self.short_video}: with sampling={self.sampling} no video is "
                "shorter than a clip; leave it out"
            )
        if len(self.mean) != len(self.std) or min(self.std, default=1.0) <= 0:
            raise ValueError("mean and std need one value per channel each, std above 0")
        return self

    @property
    def is_image(self) -> bool:
        """Whether a clip is a single image."""
        return self.num_frames == 1

    @property
    def counts_own_frames(self) -> bool:
        """Whether the sampling rule knows no other frame rate than the video's own."""
        return self.sampling in ("videomae", "mmaction2", "segments")

    @property
    def spans_video(self) -> bool:
        """Whether every clip spans its whole video, or the segment of it that a row names."""
        return self.sampling == "segments"


class ImageSettings(ClipSettings):
    """What an image is: a clip of one frame, with the published models' normalisation."""

    num_frames: Literal[1] = 1
    stride: Literal[1] = 1
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)


class ViewSettings(Settings):
    """Random views of training clips; every frame of a clip is treated alike."""

    scale: tuple[float, float] = Field((0.5, 1.0), description="area of the random resized crop")
    ratio: tuple[float, float] = Field((3 / 4, 4 / 3), description="aspect ratio of that crop")
    horizontal_flip: float = Field(0.5, ge=0, le=1, description="probability")
    random_erasing: float = Field(
        0.0, ge=0, le=1, description="probability; of a box in all frames"
    )
    rand_augment_num_ops: int = Field(0, ge=0, description="0 turns RandAugment off")
    rand_augment_magnitude: int = Field(7, ge=0, le=10, description="0 to 10, as papers count")

    @field_validator("scale", "ratio")
    @classmethod
    def _ascending(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1]:
            raise ValueError("wanted two positive numbers, the smaller one first")
        return value


class AugmentSettings(ViewSettings):
    """Random views of labelled clips, and mixtures of two, with mixed labels."""

    mixup_alpha: float = Field(0.0, ge=0, description="0 turns mixup off")
    cutmix_alpha: float = Field(0.0, ge=0, description="0 turns cutmix off")


class EvaluateSettings(Settings):
    """Views of a video whose scores are averaged."""

    num_clips: int = Field(
        5,
        ge=1,
        description="clips evenly spread over the video; 1 of an image, and of clip.sampling="
        "segments",
    )
    num_crops: int = Field(
        3, ge=1, description="crops along the longer side; by default 1 of an image"
    )
    batch_size: int = Field(1, ge=1, description="videos per forward pass and process")
    shuffle_frames: bool = Field(
        False, description="play the frames of every clip in random order: a control for motion"
    )

    @classmethod
    def given(cls, num_clips: int | None, num_crops: int | None) -> EvaluateSettings:
        """Views as asked for in code or on a command line; None is the default."""
        views = {"num_clips": num_clips, "num_crops": num_crops}
        return cls(**{key: value for key, value in views.items() if value is not None})

    def of(self, clip: ClipSettings) -> EvaluateSettings:
        """The views of such clips: an image has one, unless more crops are asked for, and a clip
        that spans its video is the only one.

        Raises:
            ConfigError: if more clips are asked for than differ.
        """
        if not clip.is_image and not clip.spans_video:
            return self
        if "num_clips" in self.model_fields_set and self.num_clips > 1:
            reason = (
                "the model takes images, which have 1 clip"
                if clip.is_image
                else "clip.sampling=segments, by which all clips of a video would be the same"
            )
            raise ConfigError(f"evaluate.num_clips={self.num_clips}: {reason}")
        changes = {"num_clips": 1}
        if clip.is_image and "num_crops" not in self.model_fields_set:
            changes["num_crops"] = 1
        return self.model_copy(update=changes)


class ValidationSettings(EvaluateSettings):
    """Views during training: one of each video, unless more are asked for."""

    num_clips: int = Field(1, ge=1, description="clips evenly spread over the video")
    num_crops: int = Field(1, ge=1, description="crops along the longer side")
    best_by: str | None = Field(
        None,
        description="figure that decides which checkpoint is best; default: top1, map, or mae, as "
        "the task is",
    )


class FeatureSettings(Settings):
    """Sliding windows over whole videos."""

    window_seconds: float | None = Field(
        None, gt=0, description="length of a window; default: that of the checkpoint's clips"
    )
    stride_seconds: float | None = Field(
        None, gt=0, description="from one window's start to the next; default: window_seconds"
    )
    layer: Literal["pooled", "stage1", "stage2", "stage3", "stage4"] = Field(
        "pooled", description="pooled and normalised (N, D), or a stage's map (N, T, H, W, D)"
    )
    batch_size: int = Field(8, ge=1, description="windows per forward pass")

    @property
    def stage(self) -> int | None:
        """The number of the stage whose map is wanted, from 1; None for pooled features."""
        return None if self.layer == "pooled" else int(self.layer.removeprefix("stage"))

    @model_validator(mode="after")
    def _check(self) -> FeatureSettings:
        window, stride = self.window_seconds, self.stride_seconds
        if window is not None and stride is not None and stride > window:
            raise ValueError(
                f"stride_seconds={stride} is longer than window_seconds={window}: "
                "the frames between windows would never be seen"
            )
        return self
