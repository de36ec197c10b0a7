"""The configuration of our models for ``transformers``."""

from __future__ import annotations

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers.backbone_utils import BackboneConfigMixin
from transformers.configuration_utils import PreTrainedConfig

from hiera_video.models.config import HieraConfig

#: Fields of :class:`HieraConfig` that ``transformers`` has for every model.
_SHARED = {
    "id2label",
    "label2id",
    "num_labels",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "problem_type",
}
#: Fields that :class:`BackboneConfigMixin` keeps.
_STAGES = {"out_features", "out_indices"}


@strict  # finds the methods `validate_…` of this class
class HieraVideoConfig(BackboneConfigMixin, PreTrainedConfig):
    """The fields of :class:`hiera_video.HieraConfig`, with their names, defaults and checks.

    Unlike a ``HieraConfig``, its fields can be set; they are checked again when a model is made
    of it, and when it is saved.

    Raises:
        ConfigError: as ``HieraConfig`` does; but unknown keys are kept, as in every config of
            ``transformers``.
    """

    model_type = "hiera_video"

    def __post_init__(self, **kwargs: Any) -> None:
        kwargs.pop("architecture", None)  # ours; `architectures` says it there
        own = HieraConfig.model_fields.keys() - _SHARED - _STAGES
        config = HieraConfig(**{name: kwargs.pop(name) for name in own & kwargs.keys()})
        for name in own:
            setattr(self, name, getattr(config, name))
        names, numbers = (getattr(self, field) for field in ("id2label", "label2id"))
        if names is None and numbers is not None:
            names = {index: name for name, index in numbers.items()}
        if names is not None and numbers is None:
            numbers = {name: int(index) for index, name in names.items()}
        self.id2label, self.label2id = names, numbers
        features, indices = (kwargs.pop(name, None) for name in ("out_features", "out_indices"))
        self.set_output_features_output_indices(out_features=features, out_indices=indices)
        super().__post_init__(**kwargs)
        self.to_hiera()

    def to_hiera(self) -> HieraConfig:
        """The same configuration as our modules take it.

        Raises:
            ConfigError: if fields that were set since do not fit together.
        """
        names = HieraConfig.model_fields.keys() - {"out_indices"}  # they follow from out_features
        return HieraConfig(**{name: getattr(self, name) for name in names})

    @property
    def output_attentions(self) -> bool:
        """Whether outputs have attention weights; our models compute them with any
        ``attn_implementation``, so unlike other configs this one lets it be set with each."""
        return bool(self._output_attentions)

    @output_attentions.setter
    def output_attentions(self, value: bool) -> None:
        self._output_attentions = value

    def validate_output_attentions(self) -> None:
        """Called before the config is saved: nothing is forbidden."""

    def validate_architecture(self) -> None:
        """Called before the config is saved."""
        self.to_hiera()

    @property
    def stage_names(self) -> list[str]:
        """The valid ``out_features``, in the order of ``out_indices``."""
        return ["stem", *(f"stage{stage}" for stage in range(1, len(self.depths) + 1))]

    @property
    def num_hidden_layers(self) -> int:
        """The number of stages: ``hidden_states`` has one more."""
        return len(self.depths)

    @property
    def hidden_size(self) -> int:
        """The width of the last stage."""
        return self.to_hiera().stage_dims[-1]

    @property
    def num_frames(self) -> int:
        """Frames of a clip, 1 of an image."""
        return self.image_size[0] if len(self.image_size) == 3 else 1
