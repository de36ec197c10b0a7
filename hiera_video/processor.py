"""From videos and images, in files or in memory, to a model's input."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, StrictBool
from torch import Tensor

from hiera_video.batch import ClipBatch, model_input, normalize
from hiera_video.config.clip_groups import ClipSettings, EvaluateSettings, ImageSettings
from hiera_video.config.groups import Decoder
from hiera_video.config.image_options import ImageOptions
from hiera_video.config.machinery import Settings
from hiera_video.data.given_clips import each_video, frames_of, views_of
from hiera_video.data.given_pictures import each_picture, frame_bytes
from hiera_video.data.image_pixels import image_pixels
from hiera_video.data.loader import read_files
from hiera_video.decoding.decoders import check_decoder
from hiera_video.decoding.options import DecodingOptions
from hiera_video.errors import ConfigError
from hiera_video.models.layouts.processors import clip_fields, processor_values
from hiera_video.models.preprocessor import changed_clip, load_preprocessor, read_rules, save_clip
from hiera_video.models.pretrained import PretrainedModel


class ModelInputs(UserDict[str, Any]):
    """What a processor gives: ``pixel_values``, by name and as an attribute, for
    ``model(**inputs)``."""

    def __getattr__(self, name: str) -> Any:
        if name != "data" and name in self.data:
            return self.data[name]
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def to(self, *args: Any, **kwargs: Any) -> ModelInputs:
        """Move or cast the tensors, as :meth:`torch.Tensor.to` does; returns these inputs."""
        self.data = {name: _moved(value, args, kwargs) for name, value in self.data.items()}
        return self


def _moved(value: Any, args: Any, kwargs: Any) -> Any:
    if isinstance(value, list):
        return [_moved(one, args, kwargs) for one in value]
    return value.to(*args, **kwargs) if isinstance(value, Tensor) else value


class HieraProcessor:
    """Images or videos to the ``pixel_values`` that a model takes.

    A checkpoint says how. ``preprocessor.json``, which our own have, counts where it exists: the
    values are, to the last bit, those of an evaluation's views (``load_clips``, ``hiera-video
    predict``, ``hiera-video evaluate``). Checkpoints of ``transformers`` have
    ``preprocessor_config.json`` alone: the values are those of its ``AutoImageProcessor`` with the
    same options.

    Args:
        rules: what these files hold.
    """

    def __init__(self, rules: ClipSettings | ImageOptions) -> None:
        self.rules = rules

    @classmethod
    def from_pretrained(cls, source: str | Path, **options: Any) -> HieraProcessor:
        """The processor of a checkpoint: a directory, a file or a hub id. Its weights are not read.

        Args:
            options: replace those of the checkpoint, as in a call.

        Raises:
            CheckpointError: if it is missing, or its files cannot be understood.
            ConfigError: if an option is unknown, or cannot be.
        """
        rules = read_rules(source)
        if isinstance(rules, ImageOptions):
            return cls(rules.changed(options))
        return cls(_changed_clip(rules, options))

    def __call__(
        self,
        images: Any = None,
        videos: Any = None,
        return_tensors: Literal["pt", "np"] | None = None,
        **options: Any,
    ) -> ModelInputs:
        """The ``pixel_values`` of images ``(B, C, H, W)``, or of videos ``(B, C, T, H, W)``.

        Args:
            images: Pillow's images, arrays, tensors, paths, or lists of them. Arrays are ``(H, W,
                C)``, ``(C, H, W)`` or ``(H, W)``; with four axes, several images. For the rules of
                ``preprocessor.json`` they are uint8.
            videos: paths; uint8 arrays or tensors of frames ``(T, H, W, C)`` or ``(T, C, H, W)``;
                lists of frames; lists of these. Frames that are not in a file are the clip, unless
                ``do_sample_frames=True``.
            return_tensors: ``pt`` and ``np`` stack the values of all inputs; None leaves a list.
            options: for this call. With ``preprocessor.json``: ``num_clips`` and ``num_crops``, the
                views of each input (default: one, in the middle; an evaluation averages over
                ``num_clips=5, num_crops=3``), ``decoder``, ``do_sample_frames``, and clip settings
                by their names or by those of ``transformers`` (``short_side`` or ``size``). With
                ``preprocessor_config.json``: ``do_convert_rgb``, ``do_resize``, ``size``,
                ``default_to_square``, ``resample``, ``do_center_crop``, ``crop_size``,
                ``do_rescale``, ``rescale_factor``, ``do_normalize``, ``image_mean``, ``image_std``.
                With both: ``input_data_format`` (``channels_first``, ``channels_last``) of arrays,
                and ``device``, where values are computed.

        Raises:
            ConfigError: if an input or an option cannot be; the message names it.
            VideoError: if a file cannot be read, or is not of the kind that the model takes.
        """
        if (images is None) == (videos is None):
            raise ConfigError("wanted images or videos, and one of the two")
        if return_tensors not in (None, "pt", "np"):
            raise ConfigError(f"return_tensors={return_tensors}: wanted pt, np or nothing")
        device = torch.device(options.pop("device", None) or "cpu")
        if isinstance(self.rules, ImageOptions):
            if images is None:
                raise ConfigError("videos: the model takes images")
            rules = self.rules.changed(options)
            values = _each("images", each_picture(images), lambda x: image_pixels(x, rules, device))
        else:
            names = ViewOptions.model_fields.keys() & options.keys()
            views = ViewOptions(**{name: options.pop(name) for name in names})
            clip = _changed_clip(self.rules, options)
            values = [
                v for one in _views(images, videos, clip, views) for v in _ready(one, clip, device)
            ]
        return ModelInputs(pixel_values=_collected(values, return_tensors))

    def to_dict(self) -> dict[str, Any]:
        """The options in the words of ``transformers``; clip settings also under ``clip``."""
        if isinstance(self.rules, ClipSettings):
            return processor_values(self.rules)
        return self.rules.model_dump(mode="json")

    def __getattr__(self, name: str) -> Any:
        values = {} if name == "rules" else self.to_dict()
        if name in values:
            return values[name]
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``preprocessor.json``, which counts from then on for every use of that checkpoint.

        Options of ``preprocessor_config.json`` become the clip settings that say the same, in which
        values may differ in the last bit. (Their transparent images become white; those of our
        evaluation lose their transparency.)

        Raises:
            ConfigError: if no clip settings say the same: crops that are not square, for instance.
        """
        if isinstance(self.rules, ClipSettings):
            save_clip(self.rules, folder)
            return
        words = self.rules.model_dump(exclude={"default_to_square", "input_data_format"})
        # As transformers', this rule rounds the place of the crop down.
        clip = ImageSettings(**clip_fields(words), sampling="videomae")
        save_clip(clip, folder, for_transformers=False)


class ViewOptions(Settings):
    """Which views of an input are taken, and how it is read."""

    num_clips: int = Field(1, ge=1)
    num_crops: int = Field(1, ge=1)
    decoder: str = "pyav"
    do_sample_frames: StrictBool = False
    input_data_format: Literal["channels_first", "channels_last"] | None = None


def _changed_clip(clip: ClipSettings, options: dict[str, Any]) -> ClipSettings:
    fields = clip_fields(options)
    return changed_clip(clip, fields) if fields else clip


def _views(images: Any, videos: Any, clip: ClipSettings, options: ViewOptions) -> list[Tensor]:
    """The views of each input, uint8 ``(B, C, T, H, W)``."""
    if clip.is_image is (images is None):
        takes = "images" if clip.is_image else f"videos (clips of {clip.num_frames} frames)"
        raise ConfigError(f"{'videos' if images is None else 'images'}: the model takes {takes}")
    check_decoder(options.decoder)
    evaluate = EvaluateSettings.given(options.num_clips, options.num_crops).of(clip)
    order, num_channels = options.input_data_format, len(clip.mean)

    def views(one: Any) -> Tensor:
        if isinstance(one, str | Path):
            return file_views(one, clip, evaluate, options.decoder).pixel_values
        if images is not None:
            frames, is_whole = frame_bytes(one, num_channels, order)[None], False
        else:
            frames, is_whole = frames_of(one, num_channels, order), options.do_sample_frames
        return views_of(frames, clip, evaluate, do_sample_frames=is_whole)

    if images is not None:
        return _each("images", each_picture(images), views)
    return _each("videos", each_video(videos), views)


def _each(name: str, inputs: Iterator[Any], make: Callable[[Any], Tensor]) -> list[Tensor]:
    made: list[Tensor] = []
    try:
        for one in inputs:
            made.append(make(one))
    except ConfigError as error:
        raise ConfigError(f"{name}[{len(made)}]: {error}") from None
    if not made:
        raise ConfigError(f"{name}: are none")
    return made


def _collected(values: list[Tensor], return_tensors: str | None) -> Any:
    if return_tensors is None:
        return values
    sizes = {tuple(value.shape) for value in values}
    if len(sizes) > 1:
        raise ConfigError(
            f"return_tensors={return_tensors}: values have several sizes: {sorted(sizes)}"
        )
    stacked = torch.stack(values)
    return stacked.numpy(force=True) if return_tensors == "np" else stacked


def _ready(views: Tensor, clip: ClipSettings, device: torch.device) -> Tensor:
    return model_input(normalize(views.to(device), clip.mean, clip.std))


def file_views(
    path: str | Path, clip: ClipSettings, evaluate: EvaluateSettings, decoder: str
) -> ClipBatch:
    """The views of one file that an evaluation takes."""
    ((_, batch),) = read_files([Path(path)], clip, evaluate, DecodingOptions(decoder))
    return batch


def load_clips(
    path: str | Path,
    model: PretrainedModel,
    *,
    num_clips: int | None = None,
    num_crops: int | None = None,
    decoder: Decoder = "pyav",
    **overrides: Any,
) -> Tensor:
    """Read a video's clips, or an image's crops, as input of ``model``: normalised, on its device.

    The views are those of an evaluation, so the mean of ``model(clips).logits.softmax(-1)`` over
    them is what ``scripts/predict.py`` shows.

    Args:
        path: a video; for an image model, an image.
        model: its checkpoint's clip settings apply (frames, stride, size, mean, deviation).
        num_clips: clips evenly spread over the video; one clip lies in its middle. Default: 5, or
            1 for an image model and for a model whose clips span the whole video.
        num_crops: crops along the longer side of each clip. Default: 3, or 1 for an image model.
        decoder: pyav, decord or torchcodec.
        overrides: clip settings (``clip.*``) that replace the checkpoint's, such as
            ``frames_per_second=30``.

    Returns:
        Float ``(num_clips * num_crops, C, T, H, W)``, the crops of a clip one after the other; for
        an image model ``(num_crops, C, H, W)``.

    Raises:
        CheckpointError: if the checkpoint's clip settings cannot be used.
        ConfigError: if ``num_clips``, ``num_crops`` or ``overrides`` do not fit them.
        VideoError: if the file cannot be read, is an image but the model takes videos, or is a
            video but the model takes images.
    """
    check_decoder(decoder)
    clip = load_preprocessor(model, overrides)
    evaluate = EvaluateSettings.given(num_clips, num_crops).of(clip)
    batch = file_views(path, clip, evaluate, decoder)
    weight = next(model.parameters())
    return batch.normalized(weight.device, clip.mean, clip.std).to(weight.dtype)
