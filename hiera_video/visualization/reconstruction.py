"""What a masked autoencoder makes of what it does not see.

Axes: B clips or images, C channels, F frames that patches stand for (the first of each token of a
clip; one for images), H W rows and columns, N patches, P pixel values of a patch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor

from hiera_video.config.groups import ClipSettings, EvaluateSettings
from hiera_video.data.loader import read_files
from hiera_video.decoding.decoders import check_decoder
from hiera_video.decoding.options import DecodingOptions
from hiera_video.errors import CheckpointError
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

#: Colour of hidden patches, in 0..1.
_GREY = 0.5


@dataclass(frozen=True)
class Reconstruction:
    """Frames ``(B, C, F, H, W)`` in colours from 0 to 1; ``hidden`` ``(B, 1, F, H, W)`` is True
    where pixels were not seen; ``patch_size`` is rows and columns of a patch; ``given_statistics``
    is True if each hidden patch's mean and deviation were taken from the original."""

    original: Tensor
    masked: Tensor
    reconstructed: Tensor
    hidden: Tensor
    patch_size: tuple[int, int]
    given_statistics: bool


@dataclass(frozen=True)
class HiddenErrors:
    """Mean squared errors over hidden pixels, of colours from 0 to 1: of the reconstruction, of the
    mean colour of all visible patches, and of each hidden patch's own mean colour."""

    reconstruction: float
    visible_colour: float
    patch_colour: float


@torch.inference_mode()
def reconstruct(
    model: HieraForPreTraining,
    pixel_values: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    noise: Tensor | None = None,
    see: Callable[[Tensor], None] | None = None,
) -> Reconstruction:
    """Hide patches of clips ``(B, C, T, H, W)`` or images ``(B, C, H, W)``, normalised with
    ``mean`` and ``std`` of each channel, and paste what ``model`` predicts in their place.

    A model that predicts normalised patches says nothing about the mean and the deviation of a
    patch: these two numbers are the original's. ``noise`` is as in ``model.forward``; ``see`` is
    called with the predicted patches ``(B, N, P)``, since in colours an infinite value is a 1.
    """
    config = model.config
    output = model(pixel_values, noise=noise)
    if see is not None:
        see(output.logits)
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
        torch.tensor(values, device=patches.device).view(-1, 1, 1, 1) for values in (std, mean)
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
        given_statistics=config.normalize_pixel_loss,
    )


def hidden_errors(result: Reconstruction) -> HiddenErrors:
    """How far the reconstruction, and two plain colours, are from what was hidden."""
    original, hidden = result.original, result.hidden
    pixels = (2, 3, 4)
    seen = original.masked_fill(hidden, 0).sum(pixels, keepdim=True)
    visible_colour = seen / (~hidden).sum(pixels, keepdim=True)
    patch = (1, *result.patch_size)
    patch_colour = F.interpolate(F.avg_pool3d(original, patch), size=original.shape[2:])
    where = hidden.expand_as(original)
    return HiddenErrors(
        *(
            (guess.expand_as(original) - original)[where].square().mean().item()
            for guess in (result.reconstructed, visible_colour, patch_colour)
        )
    )


def mean_errors(errors: Sequence[HiddenErrors]) -> HiddenErrors:
    """The mean over videos, each of which has as many hidden pixels."""
    return HiddenErrors(
        *(sum(values) / len(errors) for values in zip(*map(astuple, errors), strict=True))
    )


@dataclass(frozen=True)
class VideoReconstruction:
    """The reconstruction of one clip of a video, with B = 1: its first frame is shown at
    ``start_seconds`` of the video, and each one for ``frame_seconds``."""

    path: Path
    frames: Reconstruction
    start_seconds: float
    frame_seconds: float


def load_autoencoder(
    checkpoint: str, mask_ratio: float | None = None
) -> tuple[HieraForPreTraining, ClipSettings]:
    """A pre-training model that predicts all that is hidden, and what its clips are.

    Raises:
        CheckpointError: if the checkpoint cannot be read, or holds another model.
        ConfigError: if ``mask_ratio`` (default: the checkpoint's own) hides nothing or too much.
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
    """Reconstruct the middle clip of one video after the other, or images.

    What is hidden is a function of ``seed`` and the video's place in the list.

    Raises:
        CheckpointError, ConfigError: as :func:`load_autoencoder` does.
        VideoError: for a video where images are wanted, or an image where clips are; and when one
            that cannot be read is reached.
        NotFiniteError: when what the model says of a video is not finite.
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
        see = partial(outputs.see, rows=batch.rows)
        frames = reconstruct(model, pixel_values, clip.mean, clip.std, noise, see)
        outputs.look(wait=True)
        start, end = batch.start_seconds.item(), batch.end_seconds.item()
        frame_seconds = (end - start) / frames.original.shape[2]
        yield VideoReconstruction(row.local_file, frames, start, frame_seconds)
