"""Models to and from disk and hub.

A checkpoint directory holds ``config.json`` (the :class:`HieraConfig`), ``model.safetensors``, and,
where training wrote it, ``preprocessor.json`` (what a clip is and how it is normalised).
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, TypeVar

import torch
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hiera_video.errors import CheckpointError, UserError
from hiera_video.files import atomic_path
from hiera_video.models.config import HieraConfig

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
PREPROCESSOR_FILE = "preprocessor.json"

M = TypeVar("M", bound="PretrainedModel")


class PretrainedModel(nn.Module):
    """A model with a :class:`HieraConfig` that can be saved, loaded and shared."""

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        self.config = config

    def save_pretrained(self, directory: str | Path) -> None:
        """Write ``config.json`` and ``model.safetensors``; each file appears whole or not at all."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        weights = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        with atomic_path(directory / WEIGHTS_FILE) as path:
            save_file(weights, path, metadata={"format": "pt"})
        described = {"architecture": type(self).__name__, **self.config.to_dict()}
        with atomic_path(directory / CONFIG_FILE) as path:
            path.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls: type[M], source: str | Path, **overrides: Any) -> M:
        """Load a model from a directory or a hub id, in evaluation mode.

        Args:
            source: a checkpoint directory, or the id of a model on the hub.
            overrides: ``HieraConfig`` fields to change. With another ``num_labels`` (or
                ``id2label``) the classifier starts anew; everything else must fit.

        Raises:
            CheckpointError: if it is missing, damaged, or belongs to another architecture; the
                message names what differs.
        """
        directory = find_checkpoint(source)
        config, architecture = read_config(directory)
        if architecture != cls.__name__:
            raise CheckpointError(f"{source}: holds a {architecture}, wanted a {cls.__name__}")
        saved_labels = config.num_labels
        if "num_labels" in overrides or "id2label" in overrides:
            overrides = {"num_labels": None, "id2label": None, "label2id": None, **overrides}
        values = {**config.to_dict(), **overrides}
        if values["num_labels"] is None and values["id2label"] is not None:
            values["num_labels"] = len(values["id2label"])
        model = cls(HieraConfig.from_dict(values))
        weights = read_weights(directory)
        if model.config.num_labels != saved_labels:
            weights = {n: t for n, t in weights.items() if not n.startswith("classifier.")}
            weights |= {n: t for n, t in model.state_dict().items() if n.startswith("classifier.")}
        load_weights(model, weights, source)
        return model.eval()

    def push_to_hub(self, repo_id: str, *, private: bool | None = None, **arguments: Any) -> str:
        """Upload what :meth:`save_pretrained` writes, and return the address of the commit.

        ``arguments`` go to ``huggingface_hub.HfApi.upload_folder`` (``token``, ``commit_message``...).
        """
        api = HfApi(token=arguments.pop("token", None))
        api.create_repo(repo_id, private=private, exist_ok=True)
        with tempfile.TemporaryDirectory() as directory:
            self.save_pretrained(directory)
            return str(api.upload_folder(repo_id=repo_id, folder_path=directory, **arguments))

    def _initialize(self, module: nn.Module) -> None:
        """Initialise one module's own parameters as the official code does."""
        std = self.config.initializer_range
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d):
            nn.init.trunc_normal_(module.weight, std=std)
            if module.bias is not None:
                # A quirk of the official code, kept: biases start at the weights' deviation.
                nn.init.constant_(module.bias, std)
        elif isinstance(module, nn.LayerNorm):
            nn.init.constant_(module.weight, self.config.layer_norm_init)
            nn.init.constant_(module.bias, std)
        else:
            for parameter in module.parameters(recurse=False):
                nn.init.trunc_normal_(parameter, std=std)


def find_checkpoint(source: str | Path) -> Path:
    """The directory of a checkpoint given by directory or hub id.

    Raises:
        CheckpointError: if there is none.
    """
    path = Path(source)
    if path.is_dir():
        return path
    if path.exists() or os.sep in str(source).rstrip(os.sep).partition(os.sep)[2]:
        raise CheckpointError(f"{source}: wanted a directory with {CONFIG_FILE} and {WEIGHTS_FILE}")
    try:
        return Path(snapshot_download(str(source)))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(
            f"{source}: is no directory here, and the hub gave none ({reason})"
        ) from None


def read_config(directory: Path) -> tuple[HieraConfig, str]:
    """The configuration in a checkpoint directory, and the name of the model class it is for.

    Raises:
        CheckpointError: if it is missing or cannot be understood.
    """
    path = directory / CONFIG_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        architecture = values.pop("architecture")
        return HieraConfig.from_dict(values), architecture
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, AttributeError, KeyError, UserError) as error:
        raise CheckpointError(f"{path}: is not a configuration of this package ({error})") from None


def read_weights(directory: Path) -> dict[str, Tensor]:
    """The weights in a checkpoint directory.

    Raises:
        CheckpointError: if they are missing or damaged.
    """
    path = directory / WEIGHTS_FILE
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from None


def load_weights(model: nn.Module, weights: dict[str, Tensor], source: str | Path) -> None:
    """Load ``weights`` strictly.

    Raises:
        CheckpointError: naming the tensors that are missing, left over, or of another shape.
    """
    wanted = model.state_dict()
    missing = sorted(wanted.keys() - weights.keys())
    unexpected = sorted(weights.keys() - wanted.keys())
    reshaped = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in sorted(wanted.keys() & weights.keys())
        if wanted[name].shape != weights[name].shape
    ]
    faults = [
        f"{what}: {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        for what, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", reshaped),
        )
        if names
    ]
    if faults:
        raise CheckpointError(f"{source}: weights do not fit the model ({'; '.join(faults)})")
    with torch.no_grad():
        model.load_state_dict(weights)
