"""An image model and a clip model that share one encoder; the rest of each stays separate."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hiera_video.errors import CheckpointError, ConfigError
from hiera_video.models.config import HieraConfig
from hiera_video.models.layouts import Checkpoint, find_checkpoint, read_checkpoint
from hiera_video.models.pretrained import PretrainedModel
from hiera_video.models.registry import class_named

#: Folder of the image model, below that of the clip model.
IMAGES_FOLDER = "images"


class HieraForJointTraining(PretrainedModel):
    """An image model and a clip model that share one encoder; takes input of either kind.

    Both classify, or both are for pre-training. ``images`` gets the encoder and pooler of
    ``clips``; patch embeddings, positions, heads and decoders stay separate. Each remains a whole
    model: :meth:`save_pretrained` writes ``clips`` into a directory and ``images`` into the folder
    ``images`` below it, and each loads by itself.

    Raises:
        ConfigError: if they are not such a pair, or their encoders differ; the message names the
            differences.
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
        image_trunk, clip_trunk = images.get_submodule("hiera"), clips.get_submodule("hiera")
        image_trunk.encoder = clip_trunk.encoder
        if image_trunk.norm is not None and clip_trunk.norm is not None:  # some heads need no norm
            image_trunk.norm = clip_trunk.norm
        # The only field of an encoder that may differ between the two configs.
        config = HieraConfig.from_dict(
            images.config.to_dict(), drop_path_rate=clips.config.drop_path_rate
        )
        for module in images.modules():
            if isinstance(module, PretrainedModel):
                module.config = config
        self.inflated = clips.inflated
        self.preprocessor, self.source = clips.preprocessor, clips.source

    def forward(self, pixel_values: Tensor, **arguments: Any) -> Any:
        """The output of the image model for images ``(B, C, H, W)``, or of the clip model for clips
        ``(B, C, T, H, W)``. ``arguments`` go to that model's ``forward``."""
        model = self.clips if pixel_values.ndim == 5 else self.images
        return model(pixel_values, **arguments)

    def to_checkpoint(self, state: Mapping[str, Tensor] | None = None) -> Checkpoint:
        """The checkpoint of ``clips``, accompanied by that of ``images``."""
        state = self.state_dict() if state is None else state
        clip_state, image_state = (
            {n.removeprefix(part): tensor for n, tensor in state.items() if n.startswith(part)}
            for part in ("clips.", "images.")
        )
        checkpoint = self.clips.to_checkpoint(clip_state)
        checkpoint.companions[IMAGES_FOLDER] = self.images.to_checkpoint(image_state)
        return checkpoint

    def without_weights(self) -> HieraForJointTraining:
        """The same models on the meta device."""
        return type(self)(self.images.without_weights(), self.clips.without_weights())

    def get_input_embeddings(self) -> nn.Module:
        """Refused: there are two; ask ``images`` or ``clips``."""
        raise ConfigError("joint models embed images and clips: ask model.images or model.clips")

    @classmethod
    def from_pretrained(  # type: ignore[override]  # a pair is loaded as it was saved
        cls, source: str | Path | Checkpoint, config: HieraConfig | None = None, **overrides: Any
    ) -> HieraForJointTraining:
        """Load both models from a directory that :meth:`save_pretrained` wrote.

        Raises:
            CheckpointError: if one of them is missing or damaged.
            ConfigError: if ``config`` or ``overrides`` are given: nothing can be changed here.
        """
        if config is not None or overrides:
            raise ConfigError("joint models are loaded as they were saved")
        if isinstance(source, Checkpoint):
            if IMAGES_FOLDER not in source.companions:
                raise CheckpointError(f"{source.source}: wanted a model of images beside it")
            return cls.from_checkpoints(source.companions[IMAGES_FOLDER], source)
        folder = find_checkpoint(source)
        return cls.from_checkpoints(
            read_checkpoint(folder / IMAGES_FOLDER), read_checkpoint(folder)
        )

    @classmethod
    def from_checkpoints(cls, images: Checkpoint, clips: Checkpoint) -> HieraForJointTraining:
        """A joint model from two checkpoints, each loaded strictly; the encoder is that of
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
    """All properties of a config that the encoder depends on. It knows only flat sizes."""
    names = (
        "depths",
        "num_heads",
        "num_query_pool",
        "masked_unit_attention",
        "window_units",
        "global_attention_blocks",
        "skip",
        "layer_scale_init",
        "mlp_ratio",
        "hidden_act",
        "layer_norm_eps",
    )
    return {
        "stage_dims": config.stage_dims,
        "tokens per query pooling": prod(config.query_stride),
        **{name: getattr(config, name) for name in names},
    }
