"""Finding checkpoints and reading their files, in any layout."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hiera_video.errors import CheckpointError
from hiera_video.files import reading
from hiera_video.hub import find_source
from hiera_video.models.config_files import read_config

WEIGHTS_FILE = "model.safetensors"
TARGETS_FILE = "targets.json"
#: Where a pickle may have its weights: of the official package, and of SAM 2.
_KEYS = ("model_state", "model")
#: Files that may hold a directory's weights, in this order; an index lists several files.
_WEIGHT_FILES = (WEIGHTS_FILE, f"{WEIGHTS_FILE}.index.json", "pytorch_model.bin")


def find_checkpoint(source: str | Path, subfolder: str = "", revision: str | None = None) -> Path:
    """The directory or file of a checkpoint, given by path (``~`` is the home folder) or hub id.

    Raises:
        CheckpointError: if there is none.
    """

    def fetch(repo_id: str) -> str:
        wanted = {"revision": revision, "allow_patterns": f"{subfolder}/*" if subfolder else None}
        given: dict[str, Any] = {name: value for name, value in wanted.items() if value}
        return snapshot_download(repo_id, **given)

    return find_source(source, subfolder, revision, fetch)


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
        names = read_config(path).get("weight_map", {}).values()
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
    weights = content if isinstance(content, dict) else None
    for key in _KEYS:
        weights = weights.get(key, weights) if weights else weights
    if not isinstance(weights, dict) or not all(isinstance(t, Tensor) for t in weights.values()):
        raise CheckpointError(
            f"{path}: wanted a dictionary of tensors, or one under {' or '.join(_KEYS)}"
        )
    return weights
