"""Our models as models of ``transformers``: the same modules, with that library's loading, saving,
outputs and losses around them.

Axes: B batch, C channels, T H W frames, rows, columns.
"""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers.backbone_utils import BackboneMixin
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import ModelOutput as TransformersOutput

from hiera_video.errors import ConfigError
from hiera_video.integrations.transformers.configuration import HieraVideoConfig
from hiera_video.integrations.transformers.outputs import (
    HieraVideoBackboneOutput,
    HieraVideoClassifierOutput,
    HieraVideoForPreTrainingOutput,
    HieraVideoModelOutput,
)
from hiera_video.models.backbone import HieraBackbone
from hiera_video.models.classification import (
    HieraForImageClassification,
    HieraForVideoClassification,
)
from hiera_video.models.hiera import HeadMask, HieraModel
from hiera_video.models.mae import HieraForPreTraining
from hiera_video.models.pretrained import PretrainedModel


class HieraVideoPreTrainedModel(PreTrainedModel):
    """Base of all: a model of ours, whose modules are this model's modules.

    ``core`` is the model of ours. It computes, and is no module of this one: both have the same
    dictionary of modules. So weights have our names, and a module that is replaced in one (by a
    wrapper, an adapter) is replaced in the other.
    """

    config_class = HieraVideoConfig
    base_model_prefix = "hiera"
    main_input_name = "pixel_values"
    input_modalities = ("video", "image")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules: ClassVar[list[str]] = ["Block"]

    #: The class of ``core``, and of what ``forward`` returns.
    core_class: ClassVar[type[PretrainedModel]]
    output_class: ClassVar[type[TransformersOutput]]

    #: Adds the code that a saved model needs to its folder. The package sets it; a model that was
    #: loaded from such code has none, since ``transformers`` then copies the file.
    write_code: ClassVar[Any] = None

    def __init__(self, config: HieraVideoConfig, **arguments: Any) -> None:
        super().__init__(config)
        core = self.core_class(config.to_hiera(), **arguments)
        self.__dict__["core"] = core
        self.__dict__["_modules"] = core._modules
        self.post_init()

    def init_weights(self) -> None:
        """Do nothing more: ``core`` has drawn its weights, the same as outside transformers."""
        self.tie_weights(recompute_mapping=False)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Draw one module's own parameters, except those that were loaded."""
        own = list(module.parameters(recurse=False))
        loaded = [(p, p.clone()) for p in own if getattr(p, "_is_hf_initialized", False)]
        if len(loaded) == len(own):
            return
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d):
            module.reset_parameters()  # for what our initialisation leaves as PyTorch draws it
        if not self._keeps_default_weights(module):
            self.core._initialize(module)
        if module is self._last_layer():
            for parameter in own:
                parameter.mul_(self.config.head_init_scale)
        for parameter, value in loaded:
            parameter.copy_(value)

    def _keeps_default_weights(self, module: nn.Module) -> bool:
        """Whether ``core`` leaves this module as PyTorch initialises it."""
        return False

    def _last_layer(self) -> nn.Module | None:
        """The layer that computes logits."""
        return None

    def _compute(self, pixel_values: Tensor, return_dict: bool | None, **arguments: Any) -> Any:
        """``core``'s output; arguments that are None are the config's."""
        for name in ("output_attentions", "output_hidden_states"):
            if arguments.get(name) is None:
                arguments[name] = bool(getattr(self.config, name))
        computed = self.core(pixel_values, return_dict=True, **arguments)
        output = self.output_class(**dict(zip(computed.keys(), computed, strict=True)))
        wants_dict = self.config.return_dict if return_dict is None else return_dict
        return output if wants_dict else output.to_tuple()

    def get_input_embeddings(self) -> nn.Module:
        """The patch embedding."""
        return self.base_model.patch_embedding

    def save_pretrained(
        self, save_directory: str | Path, push_to_hub: bool = False, **kwargs: Any
    ) -> None:
        """Save weights and config as ``transformers`` does, and the code that loads them with
        ``trust_remote_code=True`` where this package is not installed.

        The folder is also a checkpoint of ours: ``hiera_video.load_model`` reads it.
        """
        if push_to_hub:
            names = ("repo_id", "commit_message", "private", "create_pr")
            of_hub = {name: kwargs.pop(name) for name in names if name in kwargs}
        super().save_pretrained(save_directory, **kwargs)
        if self.write_code is not None and kwargs.get("is_main_process", True):
            self.write_code(Path(save_directory))
        if push_to_hub:
            of_hub.setdefault("repo_id", Path(save_directory).name)
            self.push_to_hub(token=kwargs.get("token"), **of_hub)

    def _replicate_for_data_parallel(self) -> Any:
        """A replica has its own modules; its ``core`` must have them, too."""
        replica = super()._replicate_for_data_parallel()
        core = copy(self.core)
        core.__dict__ = {**vars(self.core), "_modules": replica._modules}
        replica.__dict__["core"] = core
        return replica


class HieraVideoModel(HieraVideoPreTrainedModel):
    """:class:`hiera_video.HieraModel` for ``AutoModel``."""

    core_class = HieraModel
    output_class = HieraVideoModelOutput

    def __init__(
        self, config: HieraVideoConfig, add_pooling_layer: bool = True, is_mae: bool = False
    ) -> None:
        super().__init__(config, add_pooling_layer=add_pooling_layer, is_mae=is_mae)

    def forward(
        self,
        pixel_values: Tensor,
        noise: Tensor | None = None,
        head_mask: HeadMask | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        interpolate_pos_encoding: bool | None = None,
        return_dict: bool | None = None,
    ) -> HieraVideoModelOutput | tuple[Any, ...]:
        """See :meth:`hiera_video.HieraModel.forward`."""
        return self._compute(
            pixel_values,
            return_dict,
            noise=noise,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            interpolate_pos_encoding=interpolate_pos_encoding,
        )


class HieraVideoForPreTraining(HieraVideoPreTrainedModel):
    """:class:`hiera_video.HieraForPreTraining` for ``AutoModelForPreTraining``."""

    core_class = HieraForPreTraining
    output_class = HieraVideoForPreTrainingOutput

    def _keeps_default_weights(self, module: nn.Module) -> bool:
        return any(module is layer for layer in self.fusion.layers)

    def forward(
        self,
        pixel_values: Tensor,
        noise: Tensor | None = None,
        head_mask: HeadMask | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        interpolate_pos_encoding: bool | None = None,
        return_dict: bool | None = None,
    ) -> HieraVideoForPreTrainingOutput | tuple[Any, ...]:
        """See :meth:`hiera_video.HieraForPreTraining.forward`; there is always a loss."""
        return self._compute(
            pixel_values,
            return_dict,
            noise=noise,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            interpolate_pos_encoding=interpolate_pos_encoding,
        )


class HieraVideoClassifier(HieraVideoPreTrainedModel):
    """Base of both classifiers."""

    output_class = HieraVideoClassifierOutput

    def _last_layer(self) -> nn.Module:
        return self.classifier.last_layer()

    def forward(
        self,
        pixel_values: Tensor,
        head_mask: HeadMask | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        interpolate_pos_encoding: bool | None = None,
        return_dict: bool | None = None,
    ) -> HieraVideoClassifierOutput | tuple[Any, ...]:
        """Logits ``(B, num_labels)`` of images or clips.

        With ``labels`` there is a loss too, that of ``config.problem_type``, as for every
        classifier of ``transformers``; where it is not set, the number of labels and the type of
        ``labels`` decide.

        Raises:
            ConfigError: if there are labels, and no classifier.
        """
        output = self._compute(
            pixel_values,
            True,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            interpolate_pos_encoding=interpolate_pos_encoding,
        )
        if labels is not None:
            if self.config.num_labels == 0:
                raise ConfigError("labels: the model has num_labels=0, no classifier")
            loss = self.loss_function(labels, output.logits, self.config)
            output = self.output_class(**{**output, "loss": loss})
        wants_dict = self.config.return_dict if return_dict is None else return_dict
        return output if wants_dict else output.to_tuple()


class HieraVideoForVideoClassification(HieraVideoClassifier):
    """Classifies clips ``(B, C, T, H, W)``."""

    core_class = HieraForVideoClassification


class HieraVideoForImageClassification(HieraVideoClassifier):
    """Classifies images ``(B, C, H, W)``."""

    core_class = HieraForImageClassification


class HieraVideoBackbone(BackboneMixin, HieraVideoPreTrainedModel):
    """:class:`hiera_video.HieraBackbone` for ``AutoBackbone``: maps ``(B, D, [T,] H, W)``."""

    core_class = HieraBackbone
    output_class = HieraVideoBackboneOutput

    def __init__(self, config: HieraVideoConfig) -> None:
        super().__init__(config)
        self.num_features = [config.embed_dim, *config.to_hiera().stage_dims]

    def forward(
        self,
        pixel_values: Tensor,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        head_mask: HeadMask | None = None,
        interpolate_pos_encoding: bool | None = None,
    ) -> HieraVideoBackboneOutput | tuple[Any, ...]:
        """See :meth:`hiera_video.HieraBackbone.forward`."""
        return self._compute(
            pixel_values,
            return_dict,
            head_mask=head_mask,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            interpolate_pos_encoding=interpolate_pos_encoding,
        )
