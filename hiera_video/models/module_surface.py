"""What documentation promises of every model besides its outputs and files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from hiera_video.errors import ConfigError
from hiera_video.models.encoder import Stage


class ModuleSurface(nn.Module):
    """Properties and methods of the models of ``transformers``, as far as they make sense here.

    There is no ``prune_heads``: the queries, keys and values of a block's heads are one matrix, and
    the widths of a stage follow from its number of heads, so that a model without some of its heads
    would have no configuration. ``head_mask`` of ``forward`` leaves heads out; ``transformers`` 5
    prunes no more either.
    """

    #: The first argument of ``forward``.
    main_input_name: ClassVar[str] = "pixel_values"
    #: The attribute that holds the encoder of a model which is more than an encoder.
    base_model_prefix: ClassVar[str] = "hiera"
    supports_gradient_checkpointing: ClassVar[bool] = True

    _input_hook: RemovableHandle | None = None

    @property
    def base_model(self) -> nn.Module:
        """The encoder with its embeddings and pooler; of an encoder, itself."""
        inner = getattr(self, self.base_model_prefix, self)
        return inner if isinstance(inner, nn.Module) else self

    def get_input_embeddings(self) -> nn.Module:
        """The patch embedding: pixels ``(B, C, [T,] H, W)`` -> tokens."""
        return self.base_model.get_submodule("patch_embedding")

    def get_output_embeddings(self) -> None:
        """None: outputs are no tokens that a table of embeddings could give."""
        return

    @property
    def device(self) -> torch.device:
        """The device of the parameters, which is that of the first one."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the parameters, which is that of the first one."""
        return next(self.parameters()).dtype

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """The number of parameters.

        Args:
            only_trainable: count those only that require gradients.
            exclude_embeddings: leave out tables of embeddings by index (``nn.Embedding``), as in
                ``transformers``. These models have none: patches are embedded by a convolution,
                and positions are parameters, which both count.
        """
        tables = {
            id(module.weight)
            for module in self.modules()
            if exclude_embeddings and isinstance(module, nn.Embedding)
        }
        return sum(
            parameter.numel()
            for parameter in self.parameters()
            if id(parameter) not in tables and (parameter.requires_grad or not only_trainable)
        )

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether blocks are recomputed in the backward pass."""
        return any(stage.gradient_checkpointing for stage in self._stages())

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: Mapping[str, Any] | None = None
    ) -> None:
        """Recompute blocks in the backward pass instead of keeping their intermediate results.

        Args:
            gradient_checkpointing_kwargs: None or ``{"use_reentrant": False}``.

        Raises:
            ConfigError: for anything else: PyTorch's other implementation loses gradients of
                inputs, and its documentation advises against it.
        """
        for name, value in (gradient_checkpointing_kwargs or {}).items():
            if (name, value) != ("use_reentrant", False):
                raise ConfigError(
                    f"gradient_checkpointing_kwargs: {name}={value!r}, wanted use_reentrant=False, "
                    "which is what these models use"
                )
        for stage in self._stages():
            stage.gradient_checkpointing = True

    def gradient_checkpointing_disable(self) -> None:
        """Undo :meth:`gradient_checkpointing_enable`."""
        for stage in self._stages():
            stage.gradient_checkpointing = False

    def enable_input_require_grads(self) -> None:
        """Have the output of the patch embedding require gradients, even if it is frozen: adapters
        on a frozen model ask for that."""
        self.disable_input_require_grads()
        self._input_hook = self.get_input_embeddings().register_forward_hook(_require_gradients)

    def disable_input_require_grads(self) -> None:
        """Undo :meth:`enable_input_require_grads`."""
        if self._input_hook is not None:
            self._input_hook.remove()
            self._input_hook = None

    def _stages(self) -> list[Stage]:
        return [module for module in self.modules() if isinstance(module, Stage)]


def _require_gradients(module: nn.Module, inputs: Any, output: Tensor) -> None:
    output.requires_grad_(True)
