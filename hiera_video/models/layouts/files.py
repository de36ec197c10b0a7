"""Finding checkpoints and reading their files; nothing here knows a layout."""

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

from hiera_video.errors import CheckpointError

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
PREPROCESSOR_FILE = "preprocessor.json"
#: Where a directory's weights may be, in this order; an index lists several files.
_WEIGHT_FILES = (WEIGHTS_FILE, f"{WEIGHTS_FILE}.index.json", "pytorch_model.bin")


def find_checkpoint(source: str | Path) -> Path:
    """The directory or file of a checkpoint given by path (``~`` is the home folder) or hub id.

    Raises:
        CheckpointError: if there is none.
    """
    # As a shell does: a user who does not exist stays in the path. `Path.expanduser` raises.
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
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(
            f"{source}: no such file or directory, and it could not be fetched from the hub "
            f"({reason})"
        ) from None


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        CheckpointError: if the file is missing or holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({os.strerror(error.errno or 0)})") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: is not valid JSON ({error})") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: wanted an object, got {type(values).__name__}")
    return values


def read_weights(path: Path) -> dict[str, Tensor]:
    """All weights of a checkpoint file or directory.

    Raises:
        CheckpointError: if they are missing or damaged, or if a pickle holds more than tensors.
    """
    if path.is_dir():
        found = _weight_files(path)
        if not found:
            for link in ("best", "last"):
                if _weight_files(path / link):
                    raise CheckpointError(
                        f"{path}: is a run's output folder; did you mean {path / link}?"
                    )
            raise CheckpointError(
                f"{path / WEIGHTS_FILE}: cannot be read (No such file or directory)"
            )
        path = found[0]
    if path.name.endswith(".index.json"):
        files = read_json(path).get("weight_map", {}).values()
        shards = [read_weights(path.parent / name) for name in sorted(set(files))]
        return {name: tensor for shard in shards for name, tensor in shard.items()}
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path}: cannot be read ({error})") from None
    return _read_pickle(path)


def _weight_files(directory: Path) -> list[Path]:
    return [directory / name for name in _WEIGHT_FILES if (directory / name).exists()]


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        # Never without weights_only: a pickle may run any code while it is read.
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
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path}: cannot be read ({reason})") from None
    weights = content.get("model_state", content) if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(t, Tensor) for t in weights.values()):
        raise CheckpointError(f"{path}: wanted a dictionary of tensors, or one under `model_state`")
    return weights
