"""From a video or image file to a model's input, in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from hiera_video.config.clip_groups import EvaluateSettings
from hiera_video.config.groups import Decoder
from hiera_video.data.loader import read_files
from hiera_video.decoding.decoders import check_decoder
from hiera_video.decoding.options import DecodingOptions
from hiera_video.models.preprocessor import load_preprocessor
from hiera_video.models.pretrained import PretrainedModel


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
    views = EvaluateSettings.given(num_clips, num_crops).of(clip)
    ((_, batch),) = read_files([Path(path)], clip, views, DecodingOptions(decoder))
    weight = next(model.parameters())
    return batch.normalized(weight.device, clip.mean, clip.std).to(weight.dtype)
