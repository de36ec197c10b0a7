"""One encoder for images and clips, with embeddings and a head or decoder for each."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from torch import Tensor

from hiera_video.errors import CheckpointError, ConfigError
from hiera_video.models.config import HieraConfig
from hiera_video.models.layouts import Checkpoint, find_checkpoint, read_checkpoint
from hiera_video.models.pretrained import PretrainedModel
from hiera_video.models.registry import class_named

#: Folder of the model of images, below that of the model of clips.
IMAGES_FOLDER = "images"


class HieraForJointTraining(PretrainedModel):
    """A model of images and one of clips, for input of either kind, with one encoder between them.

    Both classify or both are for pre-training. ``images`` gets the encoder and pooler of ``clips``;
    patch embeddings, positions, heads and decoders stay apart. Each of the two is a whole model
    still: :meth:`save_pretrained` writes ``clips`` into a directory and ``images`` into the folder
    ``images`` below it, and either loads by itself.

    Raises:
        ConfigError: if they are not such a pair, or their encoders are not alike; the message names
            what differs.
    """

    def __init__(self, images: PretrainedModel, clips: PretrainedModel) -> None:
        super().__init__(clips.config)
        _check_pair(images, clips)
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
        of_images, of_clips = images.get_submodule("hiera"), clips.get_submodule("hiera")
        of_images.encoder = of_clips.encoder
        if of_images.norm is not None and of_clips.norm is not None:  # not every head has a pooler
            of_images.norm = of_clips.norm
        # The one thing that an encoder has from a config and that need not be alike.
        config = HieraConfig.from_dict(
            images.config.to_dict(), drop_path_rate=clips.config.drop_path_rate
        )
        for module in images.modules():
            if isinstance(module, PretrainedModel):
                module.config = config
        self.inflated = clips.inflated
        self.preprocessor, self.source = clips.preprocessor, clips.source

    def forward(self, pixel_values: Tensor, **arguments: Any) -> Any:
        """What the model of images says of images ``(B, C, H, W)``, or that of clips of clips
        ``(B, C, T, H, W)``. ``arguments`` are those of its ``forward``."""
        model = self.clips if pixel_values.ndim == 5 else self.images
        return model(pixel_values, **arguments)

    def to_checkpoint(self, state: Mapping[str, Tensor] | None = None) -> Checkpoint:
        """The checkpoint of ``clips``, with that of ``images`` beside it."""
        state = self.state_dict() if state is None else state
        of_clips, of_images = (
            {n.removeprefix(part): tensor for n, tensor in state.items() if n.startswith(part)}
            for part in ("clips.", "images.")
        )
        checkpoint = self.clips.to_checkpoint(of_clips)
        checkpoint.beside[IMAGES_FOLDER] = self.images.to_checkpoint(of_images)
        return checkpoint

    def without_weights(self) -> HieraForJointTraining:
        """The same models on the meta device."""
        return type(self)(self.images.without_weights(), self.clips.without_weights())

    @classmethod
    def from_pretrained(
        cls, source: str | Path | Checkpoint, config: HieraConfig | None = None, **overrides: Any
    ) -> HieraForJointTraining:
        """Both models, from a directory that :meth:`save_pretrained` wrote.

        Raises:
            CheckpointError: if one of them is missing or damaged.
            ConfigError: for ``config`` and ``overrides``: the directory says it all.
        """
        if config is not None or overrides:
            raise ConfigError("joint models are loaded as they were saved")
        if isinstance(source, Checkpoint):
            if IMAGES_FOLDER not in source.beside:
                raise CheckpointError(f"{source.source}: wanted a model of images beside it")
            return cls.from_checkpoints(source.beside[IMAGES_FOLDER], source)
        folder = find_checkpoint(source)
        return cls.from_checkpoints(
            read_checkpoint(folder / IMAGES_FOLDER), read_checkpoint(folder)
        )

    @classmethod
    def from_checkpoints(cls, images: Checkpoint, clips: Checkpoint) -> HieraForJointTraining:
        """The models of two checkpoints, each with exactly its weights; the encoder is that of
        ``clips``.

        Returns:
            The model in evaluation mode.

        Raises:
            CheckpointError: if weights do not fit the model that their checkpoint describes.
            ConfigError: as the constructor does.
        """
        return cls(_exact_model(images), _exact_model(clips)).eval()


def _exact_model(checkpoint: Checkpoint) -> PretrainedModel:
    cls = class_named(checkpoint.architecture, checkpoint.source)
    model = cls.from_weights(checkpoint.config, checkpoint.weights, checkpoint.source)
    model.preprocessor = checkpoint.preprocessor
    return model


def _check_pair(images: PretrainedModel, clips: PretrainedModel) -> None:
    if images.config.is_video or not clips.config.is_video:
        raise ConfigError(
            f"wanted a model of images and one of clips; got image_size={images.config.image_size} "
            f"and {clips.config.image_size}"
        )
    if images.kind != clips.kind or clips.kind not in ("classification", "pretraining"):
        raise ConfigError(
            "wanted two classifiers, or two models to pre-train; got "
            f"images={type(images).__name__}, clips={type(clips).__name__}"
        )


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
