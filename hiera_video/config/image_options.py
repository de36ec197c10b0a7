"""Options of an image processor of ``transformers``, as its ``preprocessor_config.json`` has them.

They are those of ``BitImageProcessor``, with its defaults: the published image checkpoints of Hiera
have this one. ``preprocessor.json``, which our own checkpoints have, holds :class:`ClipSettings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    PositiveInt,
    StrictBool,
    field_validator,
    model_validator,
)

from hiera_video.config.machinery import Settings
from hiera_video.errors import ConfigError

#: Processors with these options; the endings are those of older versions, and of other backends.
PROCESSOR_TYPES = ("BitImageProcessor", "BitImageProcessorFast", "BitImageProcessorPil")
#: Keys of a file that say nothing about pixels here.
_SILENT_KEYS = {
    "auto_map",
    "backend",
    "data_format",
    "device",
    "disable_grouping",
    "feature_extractor_type",
    "image_processor_type",
    "image_seq_length",
    "processor_class",
    "return_tensors",
    "transformers_version",
}
#: Sides that a picture can be resized to.
_SIZES = (
    {"height", "width"},
    {"shortest_edge"},
    {"longest_edge", "shortest_edge"},
    {"max_height", "max_width"},
)

Sides = dict[str, Annotated[PositiveInt, Field(strict=True)]]


class Resample(IntEnum):
    """Filters by their numbers in Pillow, which the option ``resample`` has."""

    NEAREST = 0
    LANCZOS = 1
    BILINEAR = 2
    BICUBIC = 3


class ImageOptions(Settings):
    """What is done to an image, in this order: RGB, resize, crop, rescale, normalize."""

    do_convert_rgb: StrictBool = True
    do_resize: StrictBool = True
    default_to_square: StrictBool = Field(
        False, description="whether a single number as `size` is both sides, not the shorter one"
    )
    size: Sides = Field(
        {"shortest_edge": 224},
        description="pixels: height and width, shortest_edge, shortest_edge with longest_edge as "
        "its limit, or max_height and max_width; also a number, or (height, width)",
    )
    resample: Resample = Field(Resample.BICUBIC, description="as numbered by Pillow")
    do_center_crop: StrictBool = True
    crop_size: Sides = Field({"height": 224, "width": 224}, description="pixels")
    do_rescale: StrictBool = True
    rescale_factor: float = Field(1 / 255, strict=True)
    do_normalize: StrictBool = True
    image_mean: float | tuple[float, ...] = Field(
        (0.48145466, 0.4578275, 0.40821073), description="one value, or one per channel"
    )
    image_std: float | tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)
    do_pad: Literal[False] = False
    input_data_format: Literal["channels_first", "channels_last"] | None = Field(
        None, description="of arrays and tensors; default: channels are where 1, 3 or 4 of them are"
    )
    data_format: Literal["channels_first"] = "channels_first"

    @model_validator(mode="before")
    @classmethod
    def _name_sides(cls, values: Any) -> Any:
        """Sizes as dictionaries, however they were given."""
        square = values.get("default_to_square", False)
        names = {"size": square, "crop_size": True}
        sized = {k: _sides(values[k], both) for k, both in names.items() if k in values}
        return {**values, **sized}

    @field_validator("resample", mode="before")
    @classmethod
    def _check_filter(cls, value: Any) -> Any:
        """No box and no Hamming: torchvision has neither for tensors."""
        if isinstance(value, bool) or not isinstance(value, int) or value not in {*Resample}:
            wanted = ", ".join(f"{filter.value} ({filter.name.lower()})" for filter in Resample)
            raise ValueError(f"wanted one of {wanted}")
        return value

    @field_validator("image_mean", "image_std", mode="before")
    @classmethod
    def _check_numbers(cls, value: Any) -> Any:
        numbers = value if isinstance(value, list | tuple) else [value]
        if not numbers or not all(isinstance(n, int | float) for n in numbers):
            raise ValueError("wanted a number, or one per channel")
        return value

    @model_validator(mode="after")
    def _check(self) -> ImageOptions:
        if {*self.size} not in _SIZES:
            wanted = ", ".join("+".join(sorted(names)) for names in _SIZES)
            raise ValueError(f"size has {_list(self.size)}; wanted one of {wanted}")
        if {*self.crop_size} != {"height", "width"}:
            raise ValueError(f"crop_size has {_list(self.crop_size)}; wanted height and width")
        if not self.rescale_factor:
            raise ValueError("rescale_factor is 0")
        deviations = self.image_std if isinstance(self.image_std, tuple) else (self.image_std,)
        if not all(deviations):
            raise ValueError("image_std has a 0")
        return self

    @classmethod
    def of_file(cls, values: Mapping[str, Any], path: str) -> ImageOptions:
        """The options in a ``preprocessor_config.json``; null stands for a default.

        Raises:
            ConfigError: if they are those of another processor, or one of them cannot be.
        """
        kind = values.get("image_processor_type", values.get("feature_extractor_type"))
        if kind not in (*PROCESSOR_TYPES, "BitFeatureExtractor"):
            raise ConfigError(f"{path}: image_processor_type={kind}: wanted {PROCESSOR_TYPES[0]}")
        given = {k: v for k, v in values.items() if not k.startswith("_")}
        try:
            return cls().changed({k: v for k, v in given.items() if k not in _SILENT_KEYS})
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None

    def changed(self, values: Mapping[str, Any]) -> ImageOptions:
        """The options with other values; None leaves one as it is.

        Raises:
            ConfigError: if one of them is unknown, or cannot be.
        """
        given = {name: value for name, value in values.items() if value is not None}
        given.pop("disable_grouping", None)  # of equal images: the values are the same with it
        return type(self)(**{**self.model_dump(), **given}) if given else self


def _sides(value: Any, is_square: bool) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return {"height": value, "width": value} if is_square else {"shortest_edge": value}
    if isinstance(value, list | tuple) and len(value) == 2:
        return {"height": value[0], "width": value[1]}
    if isinstance(value, Mapping):
        return dict(value)
    return value


def _list(names: Mapping[str, Any]) -> str:
    return " and ".join(names) or "no side"
