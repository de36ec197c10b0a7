"""Processors of images and of clips for ``transformers``: pixels as our evaluation's centre view.

Axes: B batch, C channels, T H W frames, rows, columns.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers.image_processing_backends import TorchvisionBackend
from transformers.image_processing_utils import BatchFeature
from transformers.processing_utils import ImagesKwargs, VideosKwargs
from transformers.video_processing_utils import BaseVideoProcessor
from transformers.video_utils import VideoMetadata, load_video

from hiera_video.batch import normalize
from hiera_video.config.clip_groups import ClipSettings, ImageSettings
from hiera_video.data.clips import VideoPart
from hiera_video.data.crops import crops
from hiera_video.data.sampling import RULES, evaluation_clips
from hiera_video.decoding.images import upright_rgb
from hiera_video.files import atomic_path
from hiera_video.integrations.transformers.configuration import HieraVideoConfig
from hiera_video.models.layouts.processors import (
    PREPROCESSOR_FILE,
    clip_fields,
    processor_values,
)

#: Rates of videos are ratios with small denominators (30000/1001), of which others keep a float.
_LARGEST_DENOMINATOR = 100_000


class EvaluationPixels:
    """What both processors do as our evaluation does it, to the last bit.

    ``clip`` has all clip settings of the checkpoint; those that ``transformers`` has words for
    (``size``, ``image_mean``…) count as these are.
    """

    clip: dict[str, Any]
    size: Any
    crop_size: Any
    resample: Any
    image_mean: Any
    image_std: Any

    #: As that of the models.
    write_code: ClassVar[Any] = None

    def center_crop(self, image: Tensor, size: Any, **kwargs: Any) -> Tensor:
        """The centre ``(..., size.height, size.width)``, where the rule of ``clip`` rounds it to; a
        picture that is smaller is padded with black."""
        free = [image.shape[-2] - size.height, image.shape[-1] - size.width]
        if min(free) < 0:
            return super().center_crop(image, size, **kwargs)  # type: ignore[misc]
        offset = RULES[ClipSettings(**self.clip).sampling].crop_offset
        return crops(image, (size.height, size.width), 1, offset)[0]

    def rescale_and_normalize(
        self,
        images: Tensor,
        do_rescale: bool,
        rescale_factor: float,
        do_normalize: bool,
        *mean_and_std: Any,
        **kwargs: Any,
    ) -> Tensor:
        """Bytes ``(..., C, H, W)``, normalised by one multiplication and one subtraction."""
        mean, std = mean_and_std or (kwargs["image_mean"], kwargs["image_std"])
        usual = do_rescale and do_normalize and abs(rescale_factor * 255 - 1) < 1e-9
        if not usual or images.dtype != torch.uint8 or not isinstance(mean, list | tuple):
            return super().rescale_and_normalize(  # type: ignore[misc]
                images, do_rescale, rescale_factor, do_normalize, mean, std
            )
        return normalize(images, tuple(mean), tuple(std), num_axes_behind=2)

    def to_clip(self) -> ClipSettings:
        """The settings as this package has them.

        Raises:
            ConfigError: if it knows no such pixels: crops that are not square, for instance.
        """
        words = ("size", "crop_size", "resample", "image_mean", "image_std")
        given = {word: getattr(self, word) for word in words}
        given |= {word: dict(given[word]) for word in ("size", "crop_size")}
        return ClipSettings(**{**self.clip, **clip_fields(given)})

    def save_pretrained(self, save_directory: str | Path, *args: Any, **kwargs: Any) -> Any:
        """Save the settings as ``transformers`` does; also as ``preprocessor.json``, by which this
        package evaluates and predicts, and the code that loads them without this package."""
        saved = super().save_pretrained(save_directory, *args, **kwargs)  # type: ignore[misc]
        text = json.dumps(self.to_clip().model_dump(), indent=2) + "\n"
        with atomic_path(Path(save_directory) / PREPROCESSOR_FILE) as path:
            path.write_text(text, encoding="utf-8")
        if self.write_code is not None:
            self.write_code(Path(save_directory))
        return saved


class _ImageOptions(ImagesKwargs, total=False):  # type: ignore[call-arg]
    clip: dict[str, Any] | None


class _VideoOptions(VideosKwargs, total=False):  # type: ignore[call-arg]
    clip: dict[str, Any] | None


class HieraVideoImageProcessor(EvaluationPixels, TorchvisionBackend):
    """Images to ``pixel_values`` (B, C, H, W)."""

    valid_kwargs = _ImageOptions
    default_to_square = False
    model_input_names: ClassVar[list[str]] = ["pixel_values"]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**processor_values(ImageSettings()), **kwargs})

    def process_image(
        self, image: Any, do_convert_rgb: bool | None = None, *args: Any, **kwargs: Any
    ) -> Tensor:
        """An image as a tensor ``(C, H, W)``; one of Pillow's has the bytes that its file has."""
        if do_convert_rgb and isinstance(image, Image.Image):
            pixels = torch.from_numpy(upright_rgb(image))
            kwargs["input_data_format"] = "channels_last"
            return super().process_image(pixels, do_convert_rgb, **kwargs)
        return super().process_image(image, do_convert_rgb, *args, **kwargs)


class HieraVideoVideoProcessor(EvaluationPixels, BaseVideoProcessor):
    """Clips to ``pixel_values`` (B, C, T, H, W).

    Of a file it takes the clip in the middle, by the rule in ``clip``: one of the clips that an
    evaluation averages over. Frames that are given as arrays ``(T, H, W, C)`` or tensors ``(T, C,
    H, W)`` are the clip, unless ``do_sample_frames=True``.
    """

    valid_kwargs = _VideoOptions
    default_to_square = False
    do_sample_frames = False
    model_input_names: ClassVar[list[str]] = ["pixel_values"]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**processor_values(ClipSettings()), **kwargs})

    def preprocess(self, videos: Any, **kwargs: Any) -> BatchFeature:
        """``pixel_values`` of paths, addresses, arrays or tensors, or of a list of them."""
        output = super().preprocess(videos, **kwargs)
        clips = output.pop("pixel_values_videos")
        axes = (0, 2, 1, 3, 4)
        if isinstance(clips, Tensor):
            output["pixel_values"] = clips.permute(*axes)
        elif isinstance(clips, np.ndarray):
            output["pixel_values"] = clips.transpose(axes)
        else:
            output["pixel_values"] = [clip.transpose(0, 1) for clip in clips]
        return output

    def sample_frames(
        self,
        metadata: VideoMetadata,
        num_frames: int | None = None,
        fps: float | None = None,
        **kwargs: Any,
    ) -> np.ndarray:
        """The numbers of the frames of the clip in the middle of a video.

        Args:
            metadata: ``total_num_frames``, and ``fps`` if clips count frames at another rate.
            num_frames: replaces the clip's own.
            fps: frames per second to take, instead of the clip's ``stride``.
        """
        clip = {**self.clip, **(kwargs.get("clip") or {})}
        if num_frames is not None:
            clip["num_frames"] = num_frames
        if fps is not None:
            clip |= {"frames_per_second": fps, "stride": 1}
        rate = Fraction(metadata.fps or 1).limit_denominator(_LARGEST_DENOMINATOR)
        part = VideoPart(0, metadata.total_num_frames, rate)
        (frames,) = evaluation_clips(part, ClipSettings(**clip), 1)
        return np.array(frames)

    def fetch_videos(
        self,
        video_url_or_urls: str | Sequence[Any],
        sample_indices_fn: Callable[..., np.ndarray] | None = None,
    ) -> Any:
        """The frames of the clip of each video ``(T, H, W, C)``, and its metadata."""
        if not isinstance(video_url_or_urls, str):
            fetched = [self.fetch_videos(one, sample_indices_fn) for one in video_url_or_urls]
            return list(zip(*fetched, strict=True))
        choose = sample_indices_fn or self.sample_frames
        return read_frames(video_url_or_urls, choose)


def read_frames(video: str, choose: Callable[..., np.ndarray]) -> tuple[np.ndarray, VideoMetadata]:
    """The frames ``(T, H, W, C)`` of a file or address that ``choose`` names, given its metadata.

    Files are read by this package's decoder, exactly as a player shows them. Addresses, and files
    where the package is not installed, are read by PyAV as ``transformers`` reads them.
    """
    try:  # not by `importlib`: `transformers` overlooks what is imported in `try`
        from hiera_video.decoding import open_video as ours
    except ImportError:
        ours = None  # type: ignore[assignment]
    if ours is not None and not video.startswith(("http://", "https://")):
        with ours.open_video(video) as opened:
            metadata = VideoMetadata(
                opened.num_frames,
                opened.frames_per_second,
                duration=opened.duration_seconds,
                video_backend="hiera_video",
            )
            numbers = choose(metadata=metadata)
            frames = opened.frames(numbers.tolist()).permute(0, 2, 3, 1).numpy()
        metadata.update({"frames_indices": numbers})
        return frames, metadata
    numbers = np.empty(0, dtype=int)

    def remember(metadata: VideoMetadata, **kwargs: Any) -> np.ndarray:
        nonlocal numbers
        numbers = choose(metadata=metadata)
        return np.unique(numbers)  # they are read in order, and each of them once

    frames, metadata = load_video(video, backend="pyav", sample_indices_fn=remember)
    places = np.searchsorted(np.unique(numbers), numbers)
    return frames[np.minimum(places, len(frames) - 1)], metadata


class HieraVideoProcessor:
    """What ``AutoProcessor`` gives: the video processor of a model of clips, the image processor of
    a model of images."""

    @classmethod
    def from_pretrained(
        cls, source: str | Path, **kwargs: Any
    ) -> HieraVideoVideoProcessor | HieraVideoImageProcessor:
        """The processor of a checkpoint; ``kwargs`` are those of both classes."""
        kwargs.pop("trust_remote_code", None)
        config = HieraVideoConfig.from_pretrained(source, **_of_hub(kwargs))
        is_video = config.to_hiera().is_video
        kind = HieraVideoVideoProcessor if is_video else HieraVideoImageProcessor
        return kind.from_pretrained(source, **kwargs)

    @classmethod
    def register_for_auto_class(cls, auto_class: str = "AutoProcessor") -> None:
        """Asked for by ``transformers`` of every class that comes with a checkpoint."""


def _of_hub(kwargs: dict[str, Any]) -> dict[str, Any]:
    names = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")
    return {name: kwargs[name] for name in names if name in kwargs}
