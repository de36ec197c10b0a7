"""From a file to what a model takes, in a line of Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from hiera_video.config.groups import Decoder, EvaluateSettings
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
    """Clips of a video, or crops of an image, as ``model`` takes them: on its device, normalised.

    They are those of an evaluation, so the mean of ``model(clips).logits.softmax(-1)`` over them is
    what ``scripts/predict.py`` shows.

    Args:
        path: a video; for a model of images, an image.
        model: what its checkpoint says of clips holds (frames, stride, size, mean, deviation).
        num_clips: clips evenly spread over the video; one lies in its middle. Default: 5, or 1 of
            an image and of a model whose clips span their video.
        num_crops: crops along the longer side of each. Default: 3, or 1 of an image.
        decoder: what reads videos.
        overrides: settings of clips (``clip.*``) in place of the checkpoint's
            own, such as ``frames_per_second=30``.

    Returns:
        Float ``(num_clips * num_crops, C, T, H, W)``, the crops of a clip one after the other; for
        a model of images ``(num_crops, C, H, W)``.

    Raises:
        CheckpointError: if what the checkpoint says of clips cannot be used.
        ConfigError: if ``num_clips``, ``num_crops`` or ``overrides`` do not fit it.
        VideoError: if the file cannot be read, or is an image where a video is wanted, or a video
            where an image is.
    """
    check_decoder(decoder)
    clip = load_preprocessor(model, overrides)
    views = EvaluateSettings.given(num_clips, num_crops).of(clip)
    ((_, batch),) = read_files([Path(path)], clip, views, DecodingOptions(decoder))
    weight = next(model.parameters())
    return batch.normalized(weight.device, clip.mean, clip.std).to(weight.dtype)
