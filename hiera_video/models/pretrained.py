"""Models to and from disk and hub.

A checkpoint directory holds ``config.json`` (the :class:`HieraConfig`), ``model.safetensors``, and,
where training wrote it, ``preprocessor.json`` (what a clip is and how it is normalised), which
stays with the model.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from huggingface_hub import HfApi
from torch import Tensor, nn

from hiera_video.errors import CheckpointError, UserError, reason_of
from hiera_video.labels import same_names
from hiera_video.models.config import HieraConfig
from hiera_video.models.embeddings import resize_table, sine_cosine_table
from hiera_video.models.encoder import Stage
from hiera_video.models.layouts import (
    PREPROCESSOR_FILE,
    Checkpoint,
    bare_name,
    read_checkpoint,
    write_checkpoint,
)

logger = logging.getLogger(__name__)

M = TypeVar("M", bound="PretrainedModel")

#: Position tables that are resized where the user asks for another input size.
_TABLES = (
    "position_embedding.joint",
    "position_embedding.spatial",
    "position_embedding.temporal",
    "decoder.position_embedding",
)


class PretrainedModel(nn.Module):
    """A model with a :class:`HieraConfig` that can be saved, loaded and shared.

    Raises:
        ConfigError: if the config's fields do not fit together.
    """

    #: Arguments of the constructor besides the config, which ``from_pretrained`` passes on.
    init_arguments: ClassVar[tuple[str, ...]] = ()

    #: Whether this is a model of clips that was made from one of images.
    inflated: bool = False

    #: ``preprocessor.json``, which the model was loaded or is trained with and is saved with.
    preprocessor: bytes | None = None

    #: Where the model was loaded from, for messages.
    source: str = "model"

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        HieraConfig.from_dict(config.to_dict())  # fields may have been set since it was checked
        self.config = config

    def to_checkpoint(self, state: Mapping[str, Tensor] | None = None) -> Checkpoint:
        """The model's class, config and weights, ready for :func:`write_checkpoint`.

        ``state`` are weights in place of the model's own, named as in its ``state_dict``.
        """
        state = self.state_dict() if state is None else state
        weights = {bare_name(name): tensor for name, tensor in state.items()}
        return Checkpoint(type(self).__name__, self.config, weights, self.preprocessor)

    def without_weights(self) -> PretrainedModel:
        """The same model on the meta device, as training makes them: of a config alone."""
        with torch.device("meta"):
            model = type(self)(self.config)
        model.preprocessor = self.preprocessor
        return model

    def save_pretrained(self, directory: str | Path) -> None:
        """Write ``config.json``, ``model.safetensors``, and the ``preprocessor.json`` that the
        model was loaded with, if there was one; each file whole or not at all."""
        write_checkpoint(self.to_checkpoint(), directory, "hiera_video")

    @classmethod
    def from_pretrained(
        cls: type[M], source: str | Path, config: HieraConfig | None = None, **overrides: Any
    ) -> M:
        """Load a model from a directory, a file or a hub id, in any of the three layouts.

        Args:
            source: a checkpoint directory, a bare official ``.pth`` file, or the id of a model on
                the hub.
            config: used in place of the checkpoint's own, and needed where an official ``.pth`` is
                of no published architecture.
            overrides: ``HieraConfig`` fields to change, and the constructor's own arguments. With
                another ``num_labels``, or other names in ``id2label``, the classifier starts anew;
                with another ``image_size`` position embeddings are resized; everything else must
                fit.

        Returns:
            The model in evaluation mode. An encoder loads from any checkpoint, a classifier also
            from an encoder or pre-training one if ``num_labels`` is given: its head starts anew.

        Raises:
            CheckpointError: if it is missing, damaged, refused, or does not fit; the message names
                what differs.
        """
        arguments = {name: overrides.pop(name) for name in cls.init_arguments if name in overrides}
        checkpoint = read_checkpoint(source, config, overrides)
        if config is not None:
            overrides = {"num_labels": config.num_labels, "id2label": config.id2label, **overrides}
        return cls.from_checkpoint(checkpoint, str(source), overrides, arguments)

    @classmethod
    def from_checkpoint(
        cls: type[M],
        checkpoint: Checkpoint,
        source: str,
        overrides: Mapping[str, Any],
        arguments: Mapping[str, Any] | None = None,
    ) -> M:
        """What :meth:`from_pretrained` does after reading; ``source`` is for messages."""
        config = _adapted_config(cls, checkpoint, overrides)
        arguments = arguments or {}
        with torch.device("meta"):  # names and shapes; nothing is initialised in vain
            model = cls(config, **arguments)
        wanted = {bare_name(name): tensor for name, tensor in model.state_dict().items()}
        weights = dict(checkpoint.weights)
        if "image_size" in overrides:
            weights |= _resized_tables(weights, wanted, source)
        _drop_foreign_parts(weights, wanted, checkpoint.architecture == cls.__name__)
        fresh = _fresh_parts(cls, checkpoint, source, weights, wanted, config, overrides)
        if fresh:
            initial = cls(config, **arguments).state_dict()
            weights = {n: t for n, t in weights.items() if _part(n) not in fresh}
            weights |= {bare_name(n): t for n, t in initial.items() if _part(bare_name(n)) in fresh}
        load_weights(model, weights, source)
        model.source, model.inflated = source, checkpoint.inflated
        if config.image_size == checkpoint.config.image_size:
            model.preprocessor = checkpoint.preprocessor
        elif checkpoint.preprocessor is not None:
            logger.warning(
                "%s: %s is for image_size=%s and does not stay with this model",
                source,
                PREPROCESSOR_FILE,
                checkpoint.config.image_size,
            )
        return model.eval()

    def push_to_hub(self, repo_id: str, *, private: bool | None = None, **arguments: Any) -> str:
        """Upload what :meth:`save_pretrained` writes, and return the address of the commit.

        ``arguments`` go to ``huggingface_hub.HfApi.upload_folder`` (``token``,
        ``commit_message``...).

        Raises:
            UserError: if the hub cannot be reached, or refuses it.
        """
        api = HfApi(token=arguments.pop("token", None))
        with tempfile.TemporaryDirectory() as directory:
            self.save_pretrained(directory)
            try:
                api.create_repo(repo_id, private=private, exist_ok=True)
                return str(api.upload_folder(repo_id=repo_id, folder_path=directory, **arguments))
            except TypeError:  # of an argument that it does not take
                raise
            except Exception as error:  # each version of the hub's package has its own
                raise UserError(
                    f"{repo_id}: could not be pushed to the hub ({reason_of(error)})"
                ) from None

    def gradient_checkpointing_enable(self) -> None:
        """Recompute blocks in the backward pass rather than keep their intermediate results."""
        self._set_gradient_checkpointing(True)

    def gradient_checkpointing_disable(self) -> None:
        """Undo :meth:`gradient_checkpointing_enable`."""
        self._set_gradient_checkpointing(False)

    def _set_gradient_checkpointing(self, value: bool) -> None:
        for module in self.modules():
            if isinstance(module, Stage):
                module.gradient_checkpointing = value

    def _initialize(self, module: nn.Module) -> None:
        """Initialise one module's own parameters as the official code does."""
        std = self.config.initializer_range
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=std)
            # A quirk of the official code, kept: biases start at the weights' deviation.
            nn.init.constant_(module.bias, std)
        elif isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.trunc_normal_(module.weight, std=std)  # biases as PyTorch has them, there too
        elif isinstance(module, nn.LayerNorm):
            nn.init.constant_(module.weight, self.config.layer_norm_init)
            nn.init.constant_(module.bias, std)
        else:
            for parameter in module.parameters(recurse=False):
                *size, width = parameter.shape
                if size and self.config.position_initializer == "sine_cosine":
                    parameter.data.copy_(sine_cosine_table(size, width))
                else:
                    nn.init.trunc_normal_(parameter, std=std)


def _part(name: str) -> str:
    """The part of a model that a weight belongs to; each norm of a backbone is one of its own."""
    first, _, rest = name.partition(".")
    return f"norms.{rest.partition('.')[0]}" if first == "norms" else first


def _adapted_config(
    cls: type[PretrainedModel], checkpoint: Checkpoint, overrides: Mapping[str, Any]
) -> HieraConfig:
    values = checkpoint.config.to_dict()
    classifies = cls.__name__.endswith("Classification")
    if classifies and checkpoint.architecture == "HieraForPreTraining":
        # Pre-training leaves out the pooling before the last stage; its weights fit with it too,
        # and published classifiers were fine-tuned so.
        values["num_query_pool"] = len(values["depths"]) - 1
    return HieraConfig.from_dict(values, **overrides)


def _resized_tables(
    weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor], source: str
) -> dict[str, Tensor]:
    """Position tables of ``weights`` at the sizes of ``wanted``, where they differ."""
    resized = {}
    for name in _TABLES:
        table, target = weights.get(name), wanted.get(name)
        if table is None or target is None or table.shape == target.shape:
            continue
        if table.ndim == target.ndim and table.shape[-1] == target.shape[-1]:
            resized[name] = resize_table(table, tuple(target.shape[:-1]))
            logger.warning(
                "%s: %s resized from %s to %s",
                source,
                name,
                "x".join(map(str, table.shape[:-1])),
                "x".join(map(str, target.shape[:-1])),
            )
    return resized


def _drop_foreign_parts(
    weights: dict[str, Tensor], wanted: Mapping[str, Tensor], same_class: bool
) -> None:
    """Remove what another class's model has and this one does not: its head, decoder, pooler.

    Within one class nothing may be too much but what the user can leave out: norms, and with
    ``num_labels=0`` the classifier.
    """
    parts = {_part(name) for name in wanted}
    optional = ("norm", "classifier")
    for name in list(weights):
        if _part(name) not in parts and (not same_class or _part(name).startswith(optional)):
            del weights[name]


def _fresh_parts(
    cls: type[PretrainedModel],
    checkpoint: Checkpoint,
    source: str,
    weights: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    config: HieraConfig,
    overrides: Mapping[str, Any],
) -> list[str]:
    """Parts that start anew because the user asked for it, each with a warning.

    Raises:
        CheckpointError: if a classifier would start anew and nobody asked for one.
    """
    held, asked = checkpoint.architecture, "num_labels" in overrides or "id2label" in overrides
    missing = {_part(name) for name in wanted} - {_part(name) for name in weights}
    fresh: dict[str, str] = {}
    if "classifier" in missing and (asked or not held.endswith("Classification")):
        if not asked:
            raise CheckpointError(
                f"{source}: holds a {held}, wanted a {cls.__name__}: give num_labels to start a "
                "new classifier on its encoder"
            )
        fresh["classifier"] = f"a {held} has none"
    elif asked and "classifier" not in missing and "classifier.weight" in wanted:
        before, now = len(weights["classifier.weight"]), len(wanted["classifier.weight"])
        if before != now:
            fresh["classifier"] = f"{now} labels instead of {before}"
        elif checkpoint.config.has_label_names and not same_names(
            config.id2label, checkpoint.config.id2label
        ):
            fresh["classifier"] = "labels of other names"
    if held != cls.__name__:
        for part in sorted(missing - {"classifier", "patch_embedding", "encoder"}):
            if part != "norm" or not held.endswith("Classification"):
                fresh[part] = f"a {held} has none"
    elif "out_features" in overrides or "out_indices" in overrides:
        fresh |= {part: "not among the saved ones" for part in missing if part.startswith("norms.")}
    for part, reason in fresh.items():
        logger.warning("%s: %s is newly initialized (%s)", source, part, reason)
    return list(fresh)


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Put ``weights`` (bare names) in place of the model's parameters, strictly.

    Raises:
        CheckpointError: naming the tensors that are missing, left over, or of another shape.
    """
    state = model.state_dict()
    names = {bare_name(name): name for name in state}
    missing = sorted(names.keys() - weights.keys())
    unexpected = sorted(weights.keys() - names.keys())
    reshaped = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(state[full].shape)}"
        for name, full in sorted(names.items())
        if name in weights and weights[name].shape != state[full].shape
    ]
    faults = [
        f"{what}: {', '.join(found[:3])}" + (f" and {len(found) - 3} more" if found[3:] else "")
        for what, found in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", reshaped),
        )
        if found
    ]
    if faults:
        raise CheckpointError(f"{source}: weights do not fit the model ({'; '.join(faults)})")
    # A copy each: models are in 32 bits whatever the file's precision, and share no memory with it.
    tensors = {full: weights[name].to(torch.float32, copy=True) for name, full in names.items()}
    model.load_state_dict(tensors, assign=True)
