"""Feature maps of chosen stages, for detection, segmentation and similar models.

Axes: B batch, D width, T H W tokens along time, height and width.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from hiera_video.models.config import HieraConfig
from hiera_video.models.hiera import HeadMask, HieraModel, choose
from hiera_video.models.outputs import HieraBackboneOutput
from hiera_video.models.pretrained import PretrainedModel


class HieraBackbone(PretrainedModel):
    """The encoder, and a norm for each stage in ``config.out_features`` (or ``out_indices``).

    Feature maps are the normalised ``reshaped_hidden_states`` of :class:`HieraModel`. (Those of the
    class of this name in ``transformers`` are not, as it never puts tokens in mask-unit order.)
    """

    kind = "backbone"
    fresh_parts = ("norms",)
    optional_parts = ("norm", "norms")

    def __init__(self, config: HieraConfig) -> None:
        super().__init__(config)
        self.hiera = HieraModel(config, add_pooling_layer=False)
        self.out_features = config.stages_out
        #: Width of each feature map.
        self.channels = [
            dict(zip(config.stage_names, [config.embed_dim, *config.stage_dims], strict=True))[name]
            for name in self.out_features
        ]
        # The default epsilon rather than the config's, as in `transformers`.
        self.norms = nn.ModuleDict(
            {
                name: nn.LayerNorm(width)
                for name, width in zip(self.out_features, self.channels, strict=True)
            }
        )
        self.norms.apply(self._initialize)

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
