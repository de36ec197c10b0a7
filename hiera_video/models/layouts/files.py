"""Finding checkpoints and reading their files, in any layout."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hiera_video.errors import CheckpointError, reason_of
from hiera_video.files import reading

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
PREPROCESSOR_FILE = "preprocessor.json"
TARGETS_FILE = "targets.json"
#: Files that may hold a directory's weights, in this order; an index lists several files.
_WEIGHT_FILES = (WEIGHTS_FILE, f"{WEIGHTS_FILE}.index.json", "pytorch_model.bin")


def find_checkpoint(source: str | Path) -> Path:
    """The directory or file of a checkpoint, given by path (``~`` is the home folder) or hub id.

    Raises:
        CheckpointError: if there is none.
    """
    # Like a shell, this keeps `~USER` of an unknown user in the path; `Path.expanduser` raises.
    path = Path(os.path.expanduser(source))  # noqa: PTH111
    if path.exists():
        return path
    looks_like_path = (
        path.is_absolute() or str(source).startswith((".", "~")) or len(path.parts) > 2
    )
    if looks_like_path or path.suffix in (".pth", ".pt", ".bin", ".safetensors"):
        raise CheckpointError(f"{source}: no such file or directory")
    try:
        return Path(snapshot_download(str(source)))
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{source}: no such file or directory, and it could not be fetched from the hub "
            f"({reason_of(error)})"
        ) from None


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        CheckpointError: if the file is missing or holds something else.
    """
    with reading(path, CheckpointError):
        text = path.read_text(encoding="utf-8")
    try:
        values = json.loads(text)
    except ValueError as error:
        raise CheckpointError(f"{path}: is not valid JSON ({reason_of(error)})") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: wanted an object, got {type(values).__name__}")
    return values


def read_weights(path: Path) -> dict[str, Tensor]:
    """All weights of a checkpoint file or directory.

    Raises:
        CheckpointError: if they are missing or damaged, or if a pickle holds more than tensors.
    """
    if path.is_dir():
        files = _weight_files(path)
        if not files:
            for link in ("best", "last"):
                if _weight_files(path / link):
                    raise CheckpointError(
                        f"{path}: is a run's output folder; did you mean {path / link}?"
                    )
            raise CheckpointError(
                f"{path / WEIGHTS_FILE}: cannot be read (no such file or directory)"
            )
        path = files[0]
    if path.name.endswith(".index.json"):
        names = read_json(path).get("weight_map", {}).values()
        shards = [read_weights(path.parent / name) for name in sorted(set(names))]
        return {name: tensor for shard in shards for name, tensor in shard.items()}
    if path.suffix == ".safetensors":
        with reading(path, CheckpointError, SafetensorError):
            return load_file(path)
    with reading(path, CheckpointError, RuntimeError, EOFError, ValueError, KeyError):
        return _read_pickle(path)


def _weight_files(directory: Path) -> list[Path]:
    return [directory / name for name in _WEIGHT_FILES if (directory / name).exists()]


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        # Always with weights_only: reading a pickle can run any code.
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = " ".join(str(error).split())
        if "GLOBAL" in reason or "Unsupported class" in reason:
            raise CheckpointError(
                f"{path}: is refused: it holds more than tensors, and reading it could run code"
            ) from None
        raise CheckpointError(
            f"{path}: holds no weights that can be read without running code"
        ) from None
    weights = content.get("model_state", content) if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(t, Tensor) for t in weights.values()):
        raise CheckpointError(f"{path}: wanted a dictionary of tensors, or one under `model_state`")
    return weights
