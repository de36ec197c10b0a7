"""One encoder for images and clips, with a patch embedding and a head for each."""

from __future__ import annotations

from math import prod
from typing import Any

from torch import Tensor, nn

from hiera_video.errors import ConfigError
from hiera_video.models.classification import (
    HieraForImageClassification,
    HieraForVideoClassification,
)
from hiera_video.models.config import HieraConfig
from hiera_video.models.outputs import HieraClassificationOutput


class HieraForJointClassification(nn.Module):
    """Classifies images and clips, batch by batch, with one encoder between them.

    ``clips`` gets the encoder and pooler of ``images``; patch embeddings, positions and heads stay
    apart. Each of the two is a whole model still: save, load and evaluate it by itself
    (``joint.clips.save_pretrained(directory)``).

    Raises:
        ConfigError: if the two encoders are not alike; the message names what differs.
    """

    def __init__(
        self, images: HieraForImageClassification, clips: HieraForVideoClassification
    ) -> None:
        super().__init__()
        one, other = _encoder_fields(images.config), _encoder_fields(clips.config)
        differences = [
            f"{name} is {one[name]} for images and {other[name]} for clips"
            for name in one
            if one[name] != other[name]
        ]
        if differences:
            raise ConfigError(f"no encoder fits both models: {'; '.join(differences)}")
        self.images = images
        self.clips = clips
        clips.hiera.encoder = images.hiera.encoder
        clips.hiera.norm = images.hiera.norm

    def forward(self, pixel_values: Tensor, **arguments: Any) -> HieraClassificationOutput:
        """Images ``(B, C, H, W)`` or clips ``(B, C, T, H, W)``, all of one kind in a batch.

        ``arguments`` are those of the classifiers' ``forward``.
        """
        model = self.clips if pixel_values.ndim == 5 else self.images
        output: HieraClassificationOutput = model(pixel_values, **arguments)
        return output


def _encoder_fields(config: HieraConfig) -> dict[str, Any]:
    """All that the encoder knows of a config. Sizes are flat there."""
    names = (
        "depths",
        "num_heads",
        "num_query_pool",
        "masked_unit_attention",
        "mlp_ratio",
        "hidden_act",
        "layer_norm_eps",
    )
    return {
        "stage_dims": config.stage_dims,
        "tokens per query pooling": prod(config.query_stride),
        **{name: getattr(config, name) for name in names},
    }
