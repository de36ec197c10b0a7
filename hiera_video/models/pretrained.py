"""Loading models from disk or hub, and saving them.

A checkpoint directory holds ``config.json`` (the :class:`HieraConfig`), ``model.safetensors``, and,
if training wrote them, ``preprocessor.json`` (clip settings and normalisation) and ``targets.json``
(thresholds of labels, or how numbers are normalised), which stay with the model.
``preprocessor_config.json`` and ``video_preprocessor_config.json`` say to ``transformers`` what
``preprocessor.json`` does.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, overload

import torch
from huggingface_hub import HfApi
from torch import Tensor, nn

from hiera_video.errors import ConfigError, UserError, reason_of
from hiera_video.labels import same_names
from hiera_video.models.adaptation import Adaptation, ModelClass, adapted_config, part_of
from hiera_video.models.config import HieraConfig
from hiera_video.models.embeddings import sine_cosine_table
from hiera_video.models.encoder import LayerScale
from hiera_video.models.kinds import Kind
from hiera_video.models.layouts import (
    PREPROCESSOR_FILE,
    Checkpoint,
    bare_name,
    read_checkpoint,
    write_checkpoint,
)
from hiera_video.models.loading import (
    LoadingInfo,
    dtype_of,
    load_weights,
    loading_info,
    wanted_device,
    wanted_dtype,
)
from hiera_video.models.module_surface import ModuleSurface

logger = logging.getLogger(__name__)

M = TypeVar("M", bound="PretrainedModel")


class PretrainedModel(ModuleSurface):
    """A model with a :class:`HieraConfig` that can be saved, loaded and shared.

    A subclass declares its ``kind``, and the names of the parts that may start anew or be absent.
    The name of a part is the beginning of the names of its weights, such as ``decoder``.
    """

    #: The purpose of the model; no two kinds have the same parts.
    kind: ClassVar[Kind]

    #: Parts that may start anew if the weights come from a model of another class.
    fresh_parts: ClassVar[tuple[str, ...]] = ()

    #: Parts that a model of this class may lack although its checkpoint has them.
    optional_parts: ClassVar[tuple[str, ...]] = ("norm",)

    #: Arguments of the constructor besides the config, which ``from_pretrained`` passes on.
    init_arguments: ClassVar[tuple[str, ...]] = ()

    #: Whether this is a clip model that was made from an image model.
    inflated: bool = False

    #: The bytes of ``preprocessor.json``: read with the model or set by training, saved with it.
    preprocessor: bytes | None = None

    #: The bytes of ``targets.json``, likewise; ``tasks`` says what is in it.
    targets: bytes | None = None

    #: Where the model was loaded from, for messages.
    source: str = "model"

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        self.config = config

    def to_checkpoint(self, state: Mapping[str, Tensor] | None = None) -> Checkpoint:
        """The model's class, config and weights, ready for :func:`write_checkpoint`.

        ``state`` replaces the model's own ``state_dict``.
        """
        state = self.state_dict() if state is None else state
        weights = {bare_name(name): tensor for name, tensor in state.items()}
        name = type(self).__name__
        return Checkpoint(name, self.config, weights, self.preprocessor, self.targets)

    def without_weights(self) -> PretrainedModel:
        """The same model on the meta device, constructed from its config alone."""
        with torch.device("meta"):
            model = type(self)(self.config)
        model.preprocessor, model.targets = self.preprocessor, self.targets
        return model

    def save_pretrained(self, directory: str | Path) -> None:
        """Write ``config.json``, ``model.safetensors``, ``preprocessor.json`` and ``targets.json``
        if the model has them, and what follows for ``transformers``; each file atomically."""
        write_checkpoint(self.to_checkpoint(), directory, "hiera_video")

    @overload
    @classmethod
    def from_pretrained(
        cls: type[M],
        source: str | Path | Checkpoint,
        config: HieraConfig | None = None,
        *,
        output_loading_info: Literal[False] = False,
        **options: Any,
    ) -> M: ...

    @overload
    @classmethod
    def from_pretrained(
        cls: type[M],
        source: str | Path | Checkpoint,
        config: HieraConfig | None = None,
        *,
        output_loading_info: Literal[True],
        **options: Any,
    ) -> tuple[M, LoadingInfo]: ...

    @classmethod
    def from_pretrained(
        cls: type[M],
        source: str | Path | Checkpoint,
        config: HieraConfig | None = None,
        *,
        dtype: str | torch.dtype | None = None,
        torch_dtype: str | torch.dtype | None = None,
        device_map: str | int | torch.device | Mapping[str, Any] | None = None,
        output_loading_info: bool = False,
        ignore_mismatched_sizes: bool = False,
        subfolder: str = "",
        revision: str | None = None,
        **overrides: Any,
    ) -> M | tuple[M, LoadingInfo]:
        """Load a model from a directory, a file or a hub id, in any layout.

        Args:
            source: a checkpoint directory, a bare official ``.pth`` file, the id of a model on the
                hub, or a checkpoint in memory.
            config: replaces the checkpoint's own; required for an official ``.pth`` whose
                architecture was not published.
            dtype, torch_dtype: of the parameters, for any type in the file: by default float32;
                "auto" is the file's.
            device_map: one device; "auto" is the machine's accelerator if it has one.
            output_loading_info: also give a :class:`~hiera_video.models.loading.LoadingInfo`.
            ignore_mismatched_sizes: weights of another shape start anew, each with a warning,
                instead of being an error.
            subfolder: the folder of ``source`` that holds the checkpoint.
            revision: branch, tag or commit on the hub.
            overrides: ``HieraConfig`` fields to change, and the constructor's own arguments. With
                another ``num_labels``, other names in ``id2label`` or another ``head``, the
                classifier starts anew; with another ``image_size`` position embeddings are resized;
                everything else must fit.

        Returns:
            The model in evaluation mode. An encoder loads from any checkpoint. A classifier also
            loads from an encoder or pre-training checkpoint if ``num_labels`` is given: its head
            starts anew.

        Raises:
            CheckpointError: if the checkpoint is missing, damaged, refused, or does not fit; the
                message names the differences.
            ConfigError: if an argument does not make sense, or fields do not fit.
        """
        wanted, device = wanted_dtype(dtype, torch_dtype), wanted_device(device_map)
        arguments = {name: overrides.pop(name) for name in cls.init_arguments if name in overrides}
        if not isinstance(source, Checkpoint):
            checkpoint = read_checkpoint(source, config, overrides, subfolder, revision)
        elif subfolder or revision:
            raise ConfigError("subfolder and revision say where files are: this is in memory")
        else:
            checkpoint = source if config is None else replace(source, config=config)
        if config is not None:
            head = {name: getattr(config, name) for name in ("num_labels", "id2label", "head")}
            overrides = {**head, **overrides}
        model, fresh = cls._adapted(checkpoint, overrides, arguments, ignore_mismatched_sizes)
        model.to(device, wanted or dtype_of(checkpoint.weights))
        model.source, model.inflated = checkpoint.source, checkpoint.inflated
        model._keep_settings(checkpoint)
        if output_loading_info:
            return model, loading_info(model, checkpoint.weights, fresh, cls.__name__)
        return model

    def _keep_settings(self, checkpoint: Checkpoint) -> None:
        """What is known of the checkpoint's pixels stays with a model of its input size, and of its
        targets with one of the same outputs."""
        if same_outputs(self.config, checkpoint.config):
            self.targets = checkpoint.targets
        if self.config.image_size == checkpoint.config.image_size:
            self.preprocessor = checkpoint.preprocessor
        elif checkpoint.preprocessor is not None:
            logger.warning(
                "%s: %s is for image_size=%s and does not stay with this model",
                checkpoint.source,
                PREPROCESSOR_FILE,
                checkpoint.config.image_size,
            )

    @classmethod
    def from_weights(
        cls: type[M], config: HieraConfig, weights: Mapping[str, Tensor], source: str
    ) -> M:
        """The model of ``config`` with exactly these weights, without a random initialisation.

        Args:
            weights: tensors under bare names, as in a :class:`Checkpoint`; copied to float32.
            source: their origin, for messages.

        Returns:
            The model in evaluation mode.

        Raises:
            CheckpointError: if tensors are missing, left over, or of another shape; the message
                names them.
        """
        with torch.device("meta"):
            model = cls(config)
        load_weights(model, weights, source)
        model.source = source
        return model.eval()

    @classmethod
    def _adapted(
        cls: type[M],
        checkpoint: Checkpoint,
        overrides: Mapping[str, Any],
        arguments: Mapping[str, Any],
        ignore_mismatched_sizes: bool,
    ) -> tuple[M, set[str]]:
        """The model with the checkpoint's weights, adapted to ``overrides``, and the bare names of
        weights that started anew."""
        config = adapted_config(cls.kind, checkpoint, overrides)
        with torch.device("meta"):  # only names and shapes, without a random initialisation
            model = cls(config, **arguments)
        targets = {bare_name(name): tensor for name, tensor in model.state_dict().items()}
        model_class = ModelClass(cls.__name__, cls.kind, cls.fresh_parts, cls.optional_parts)
        adaptation = Adaptation(checkpoint, model_class, config, targets, overrides)
        weights = adaptation.weights()
        parts = adaptation.fresh_parts(weights)
        fresh = {name for name in targets if part_of(name) in parts}
        weights = {n: t for n, t in weights.items() if part_of(n) not in parts}
        if ignore_mismatched_sizes:
            fresh |= adaptation.mismatched(weights)
        if fresh:
            with torch.device("cpu"):  # whatever the default device is, like those from the file
                initial = cls(config, **arguments).state_dict()
            weights |= {bare_name(n): t for n, t in initial.items() if bare_name(n) in fresh}
        load_weights(model, weights, checkpoint.source)
        return model.eval(), fresh

    def push_to_hub(self, repo_id: str, *, private: bool | None = None, **arguments: Any) -> str:
        """Upload the files of :meth:`save_pretrained`; returns the address of the commit.

        ``arguments`` go to ``huggingface_hub.HfApi.upload_folder`` (``token``,
        ``commit_message``...).

        Raises:
            UserError: if the hub cannot be reached, or refuses the upload.
        """
        api = HfApi(token=arguments.pop("token", None))
        with tempfile.TemporaryDirectory() as directory:
            self.save_pretrained(directory)
            try:
                api.create_repo(repo_id, private=private, exist_ok=True)
                return str(api.upload_folder(repo_id=repo_id, folder_path=directory, **arguments))
            except TypeError:  # the caller gave an unknown argument
                raise
            except Exception as error:  # exceptions differ between versions of the hub's package
                raise UserError(
                    f"{repo_id}: could not be pushed to the hub ({reason_of(error)})"
                ) from None

    def _initialize(self, module: nn.Module) -> None:
        """Initialise one module's own parameters as the official code does."""
        std = self.config.initializer_range
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=std)
            # A quirk of the official code, kept: biases start at the weights' deviation.
            nn.init.constant_(module.bias, std)
        elif isinstance(module, nn.Conv2d | nn.Conv3d):
            # As in the official code, biases keep PyTorch's initialisation.
            nn.init.trunc_normal_(module.weight, std=std)
        elif isinstance(module, nn.LayerNorm):
            nn.init.constant_(module.weight, self.config.layer_norm_init)
            nn.init.constant_(module.bias, std)
        elif isinstance(module, LayerScale):
            nn.init.constant_(module.weight, module.initial)
        else:
            for parameter in module.parameters(recurse=False):
                *size, width = parameter.shape
                if size and self.config.position_initializer == "sine_cosine":
                    parameter.data.copy_(sine_cosine_table(size, width))
                else:
                    nn.init.trunc_normal_(parameter, std=std)


def same_outputs(one: HieraConfig, other: HieraConfig) -> bool:
    """Whether outputs have the same names and are of the same kind of problem."""
    same_problem = one.problem_type == other.problem_type
    return same_problem and same_names(one.id2label, other.id2label)
