"""Reconstructions of hidden patches by a masked autoencoder.

Axes: B clips or images, C channels, F reconstructed frames (the first frame of each token of a
clip; one for images), H W rows and columns, N patches, P pixel values of a patch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor

from hiera_video.config.clip_groups import ClipSettings, EvaluateSettings
from hiera_video.data.loader import read_files
from hiera_video.decoding.decoders import check_decoder
from hiera_video.decoding.options import DecodingOptions
from hiera_video.errors import CheckpointError, VideoError
from hiera_video.models.finite import FiniteOutputs
from hiera_video.models.mae import (
    HieraForPreTraining,
    from_patches,
    patch_span,
    patch_statistics,
    to_patches,
)
from hiera_video.models.preprocessor import load_preprocessor
from hiera_video.models.registry import load_model
from hiera_video.seeding import generator

#: Colour of hidden patches, from 0 (black) to 1 (white).
_GREY = 0.5


@dataclass(frozen=True)
class Reconstruction:
    """Frames ``(B, C, F, H, W)`` in colours from 0 to 1.

    ``hidden`` ``(B, 1, F, H, W)`` is True at pixels that the model did not see; ``patch_size`` is
    the rows and columns of a patch; ``uses_original_statistics`` is True if each hidden patch's
    mean and deviation were taken from the original.
    """

    original: Tensor
    masked: Tensor
    reconstructed: Tensor
    hidden: Tensor
    patch_size: tuple[int, int]
    uses_original_statistics: bool


@dataclass(frozen=True)
class HiddenErrors:
    """Mean squared errors over hidden pixels, in colours from 0 to 1, of three predictions: the
    reconstruction, the mean colour of all visible patches, each hidden patch's own mean colour."""

    reconstruction: float
    visible_colour: float
    patch_colour: float


@torch.inference_mode()
def reconstruct(
    model: HieraForPreTraining,
    pixel_values: Tensor,
    clip: ClipSettings,
    noise: Tensor | None = None,
    check: Callable[[Tensor], None] | None = None,
) -> Reconstruction:
    """Hide patches of the input and replace them by the model's predictions.

    ``pixel_values``: clips ``(B, C, T, H, W)`` or images ``(B, C, H, W)``, normalised by
    ``clip``. A model of normalised patches does not predict a patch's mean
    and deviation; these two numbers are taken from the original. ``noise`` is as in
    ``model.forward``. ``check`` is called with the predicted patches ``(B, N, P)``, because the
    colours are clamped: an infinite prediction would become a 1.
    """
    config = model.config
    output = model(pixel_values, noise=noise)
    if check is not None:
        check(output.logits)
    patches = to_patches(config, pixel_values)
    predicted = output.logits.to(patches.dtype)
    if config.normalize_pixel_loss:
        centre, deviation = patch_statistics(patches)
        predicted = predicted * deviation + centre
    hidden = ~output.bool_masked_pos[..., None]

    def frames(patches: Tensor) -> Tensor:
        pixels = from_patches(config, patches, pixel_values.shape[-2:])
        return pixels if config.is_video else pixels.unsqueeze(2)

    scale, shift = (
        torch.tensor(values, device=patches.device).view(-1, 1, 1, 1)
        for values in (clip.std, clip.mean)
    )

    def colours(patches: Tensor) -> Tensor:
        return (frames(patches) * scale + shift).clamp(0, 1)

    original = colours(patches)
    hidden_pixels = frames(hidden.expand_as(patches))[:, :1]
    rows, columns = patch_span(config)[-2:]
    return Reconstruction(
        original=original,
        masked=original.masked_fill(hidden_pixels, _GREY),
        reconstructed=colours(torch.where(hidden, predicted, patches)),
        hidden=hidden_pixels,
        patch_size=(rows, columns),
        uses_original_statistics=config.normalize_pixel_loss,
    )


def hidden_errors(result: Reconstruction) -> HiddenErrors:
    """The errors of the reconstruction and of two constant colours at the hidden pixels."""
    original, hidden = result.original, result.hidden
    pixels = (2, 3, 4)
    visible_sum = original.masked_fill(hidden, 0).sum(pixels, keepdim=True)
    visible_colour = visible_sum / (~hidden).sum(pixels, keepdim=True)
    patch = (1, *result.patch_size)
    patch_colour = F.interpolate(F.avg_pool3d(original, patch), size=original.shape[2:])
    is_hidden = hidden.expand_as(original)
    return HiddenErrors(
        *(
            (prediction.expand_as(original) - original)[is_hidden].square().mean().item()
            for prediction in (result.reconstructed, visible_colour, patch_colour)
        )
    )


def mean_errors(errors: Sequence[HiddenErrors]) -> HiddenErrors:
    """The mean over videos, which all have the same number of hidden pixels."""
    return HiddenErrors(
        *(sum(values) / len(errors) for values in zip(*map(astuple, errors), strict=True))
    )


@dataclass(frozen=True)
class VideoReconstruction:
    """The reconstruction of one clip of a video (B = 1). Its first frame is shown at
    ``start_seconds`` of the video, and each frame for ``frame_seconds``."""

    path: Path
    frames: Reconstruction
    start_seconds: float
    frame_seconds: float


def load_autoencoder(
    checkpoint: str, mask_ratio: float | None = None
) -> tuple[HieraForPreTraining, ClipSettings]:
    """Load a pre-training model, set to predict every hidden patch, and its clip settings.

    Raises:
        CheckpointError: if the checkpoint cannot be read, or holds another kind of model.
        ConfigError: if ``mask_ratio`` (default: the checkpoint's) hides no mask unit, or all.
    """
    overrides = {"decoder_mask_ratio": 0.0}
    if mask_ratio is not None:
        overrides["mask_ratio"] = mask_ratio
    model = load_model(checkpoint, **overrides)
    if not isinstance(model, HieraForPreTraining):
        raise CheckpointError(
            f"{checkpoint}: holds a {type(model).__name__}, wanted a HieraForPreTraining: only "
            "pre-training models predict pixels"
        )
    return model, load_preprocessor(model)


def reconstruct_videos(
    checkpoint: str,
    videos: Sequence[Path],
    *,
    mask_ratio: float | None = None,
    seed: int = 0,
    decoder: str = "pyav",
) -> Iterator[VideoReconstruction]:
    """Reconstruct the middle clip of each video, or each image, in order.

    The hidden patches depend only on ``seed`` and the video's position in the list.

    Raises:
        CheckpointError, ConfigError: as :func:`load_autoencoder` does.
        VideoError: if a video is given to an image model, or an image to a video model; and once
            the iteration reaches a file that cannot be read, or whose frames have no time.
        NotFiniteError: if the model's prediction for a video is not finite.
    """
    check_decoder(decoder)
    model, clip = load_autoencoder(checkpoint, mask_ratio)
    device = Accelerator().device
    model.to(device).eval()
    outputs = FiniteOutputs(model, "predicted pixels", lambda row: str(videos[row]))
    one_view = EvaluateSettings(num_clips=1, num_crops=1)
    for row, batch in read_files(videos, clip, one_view, DecodingOptions(decoder)):
        draw = generator(seed, row.index)
        noise = torch.rand(1, model.config.num_units, generator=draw).to(device)
        pixel_values = batch.normalized(device, clip.mean, clip.std)
        check = partial(outputs.see, rows=batch.rows)
        frames = reconstruct(model, pixel_values, clip, noise, check)
        outputs.look(wait=True)
        start, end = batch.start_seconds.item(), batch.end_seconds.item()
        if math.isnan(start):
            raise VideoError(row.path, "its frames are pictures, which have no times")
        frame_seconds = (end - start) / frames.original.shape[2]
        yield VideoReconstruction(row.local_file, frames, start, frame_seconds)
