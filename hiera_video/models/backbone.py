"""Feature maps of chosen stages, for detection, segmentation and similar models.

Axes: B batch, D width, T H W tokens along time, height and width.
"""

from __future__ import annotations

import inspect
from enum import Enum
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from hiera_video.errors import ConfigError
from hiera_video.models.config import HieraConfig
from hiera_video.models.hiera import HeadMask, HieraModel, choose
from hiera_video.models.outputs import HieraBackboneOutput
from hiera_video.models.pretrained import PretrainedModel


class BackboneType(str, Enum):
    """Where a backbone comes from, by the names that ``transformers`` has for it."""

    TIMM = "timm"
    TRANSFORMERS = "transformers"


class HieraBackbone(PretrainedModel):
    """The encoder, and a norm for each stage in ``config.out_features`` (or ``out_indices``).

    Feature maps are the normalised ``reshaped_hidden_states`` of :class:`HieraModel`. (Those of the
    class of this name in ``transformers`` are not, as it never puts tokens in mask-unit order.)
    """

    kind = "backbone"
    fresh_parts = ("norms",)
    optional_parts = ("norm", "norms")

    #: That of a class with the documented methods, not a wrapper of a model of timm.
    backbone_type: ClassVar[BackboneType] = BackboneType.TRANSFORMERS
    has_attentions: ClassVar[bool] = True

    def __init__(self, config: HieraConfig) -> None:
        super().__init__(config)
        self.hiera = HieraModel(config, add_pooling_layer=False)
        #: Names of the stages that a backbone may return: embeddings, then stages.
        self.stage_names = config.stage_names
        #: Width of each of them.
        self.num_features = [config.embed_dim, *config.stage_dims]
        # The default epsilon rather than the config's, as in `transformers`.
        self.norms = nn.ModuleDict(
            {
                name: nn.LayerNorm(width)
                for name, width in zip(self.out_features, self.channels, strict=True)
            }
        )
        self.norms.apply(self._initialize)

    @property
    def out_features(self) -> list[str]:
        """The chosen stages, in network order."""
        return self.config.stages_out

    @out_features.setter
    def out_features(self, value: list[str]) -> None:
        raise _fixed("out_features", value)

    @property
    def out_indices(self) -> list[int]:
        """Their indices in ``stage_names``, as the config has them."""
        return self.config.out_indices or []

    @out_indices.setter
    def out_indices(self, value: list[int]) -> None:
        raise _fixed("out_indices", value)

    @property
    def out_feature_channels(self) -> dict[str, int]:
        """Width of every stage, by name, chosen or not."""
        return dict(zip(self.stage_names, self.num_features, strict=True))

    @property
    def channels(self) -> list[int]:
        """Width of each feature map."""
        return [self.out_feature_channels[name] for name in self.out_features]

    def forward_with_filtered_kwargs(self, *arguments: Any, **given: Any) -> Any:
        """:meth:`forward` with those of the ``given`` arguments that it has: for models on top of
        any backbone, which give to all of them what some take."""
        known = inspect.signature(self.forward).parameters
        return self(*arguments, **{name: value for name, value in given.items() if name in known})

    def forward(
        self,
        pixel_values: Tensor,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        head_mask: HeadMask | None = None,
        interpolate_pos_encoding: bool | None = None,
    ) -> HieraBackboneOutput | tuple[Tensor, ...]:
        """One map ``(B, D, [T,] H, W)`` per chosen stage (see :meth:`HieraModel.forward`)."""
        config = self.config
        encoded = self.hiera.encode(
            pixel_values,
            head_mask=head_mask,
            output_attentions=choose(output_attentions, config.output_attentions),
            interpolate_pos_encoding=bool(interpolate_pos_encoding),
        )
        maps = []
        for name in self.out_features:
            index = config.stage_names.index(name)
            normed = cast(nn.LayerNorm, self.norms[name])(encoded.states[index])
            maps.append(encoded.grids[index].reroll(normed).movedim(-1, 1).contiguous())
        output = HieraBackboneOutput(feature_maps=tuple(maps))
        encoded.fill(output, choose(output_hidden_states, config.output_hidden_states))
        return output if choose(return_dict, config.return_dict) else output.to_tuple()


def _fixed(name: str, value: object) -> ConfigError:
    return ConfigError(
        f"{name}={value!r}: a backbone has norms for the stages that it was made with; make "
        f"another one: HieraBackbone.from_pretrained(..., {name}={value!r})"
    )
