"""Checkpoints on disk, in four layouts: ours, the official one, and those of ``transformers`` and
``timm``. Files of SAM 2 are read, too.

Each foreign layout has a module that maps names, shapes and configuration both ways; reading always
gives a :class:`Checkpoint` with our names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from hiera_video.errors import CheckpointError, UserError
from hiera_video.files import atomic_path
from hiera_video.hub import CONFIG_FILE
from hiera_video.labels import normalize_label
from hiera_video.models.config import HieraConfig
from hiera_video.models.config_files import (
    MODEL_TYPE,
    read_config,
    split_config,
    transformers_name,
)
from hiera_video.models.layouts import official, sam2, timm, transformers
from hiera_video.models.layouts.base import Checkpoint, bare_name, full_name
from hiera_video.models.layouts.files import (
    TARGETS_FILE,
    WEIGHTS_FILE,
    find_checkpoint,
    read_weights,
)
from hiera_video.models.layouts.processors import (
    PREPROCESSOR_FILE,
    PROCESSOR_FILES,
    processor_files,
)

__all__ = [
    "LAYOUTS",
    "PREPROCESSOR_FILE",
    "PROCESSOR_FILES",
    "TARGETS_FILE",
    "Checkpoint",
    "bare_name",
    "find_checkpoint",
    "read_checkpoint",
    "read_label_names",
    "write_checkpoint",
]

LAYOUTS = ("hiera_video", "transformers", "official", "timm")


def read_checkpoint(
    source: str | Path,
    config: HieraConfig | None = None,
    hints: Mapping[str, Any] | None = None,
    subfolder: str = "",
    revision: str | None = None,
) -> Checkpoint:
    """Read a checkpoint in any layout, from a directory, a file or a hub id.

    Args:
        config: replaces the checkpoint's own.
        hints: ``HieraConfig`` fields that help to deduce an architecture: ``num_heads``.
        subfolder: the folder of ``source`` that holds it.
        revision: branch, tag or commit on the hub.

    Raises:
        CheckpointError: if it is missing, damaged, refused, or in no known layout.
    """
    path = find_checkpoint(source, subfolder, revision)
    weights = read_weights(path)
    checkpoint = _read_layout(path, weights, str(source), config, hints or {})
    checkpoint.source = str(source)
    folder = path if path.is_dir() else path.parent
    checkpoint.preprocessor = _bytes_of(folder / PREPROCESSOR_FILE)
    checkpoint.targets = _bytes_of(folder / TARGETS_FILE)
    return checkpoint


def _bytes_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def read_label_names(source: str | Path) -> list[str] | None:
    """The class names of a checkpoint in index order, normalised; does not read the weights.

    None if it has no names, or cannot be read; :func:`read_checkpoint` then raises the error.
    """
    try:
        values = read_config(find_checkpoint(source) / CONFIG_FILE)
        labels = {name: values.get(name) for name in ("id2label", "label2id")}
        config = HieraConfig(**{name: value for name, value in labels.items() if value})
    except UserError:
        return None
    if not config.has_label_names:
        return None
    names = config.id2label or {}
    return [normalize_label(names[index]) for index in range(len(names))]


def _read_layout(
    path: Path,
    weights: dict[str, Tensor],
    source: str,
    config: HieraConfig | None,
    hints: Mapping[str, Any],
) -> Checkpoint:
    directory = path if path.is_dir() else path.parent
    config_path = directory / CONFIG_FILE
    # A config.json beside a .pth file may describe another model.
    has_config = config_path.exists() and (path.is_dir() or path.name == WEIGHTS_FILE)
    values = read_config(config_path) if has_config else None
    try:
        if sam2.recognises(weights):
            weights = sam2.to_timm(weights)
        if timm.recognises(weights):
            return timm.read(values, weights, config, hints.get("num_heads"))
        if official.recognises(weights):
            return official.read(values, weights, config, hints.get("num_heads"))
        if values is None and config is None:
            raise CheckpointError(f"{config_path}: is missing, and these weights need it")
        if transformers.recognises(weights):
            return transformers.read(config.to_dict() if config else values or {}, weights)
        return _read_hiera_video(values or {}, weights, config)
    except UserError as error:
        raise CheckpointError(f"{source}: {error}") from None


def _read_hiera_video(
    values: dict[str, Any], weights: dict[str, Tensor], config: HieraConfig | None
) -> Checkpoint:
    if not any(bare_name(name).startswith("patch_embedding.") for name in weights):
        names = ", ".join(sorted(weights)[:3])
        raise CheckpointError(f"holds no Hiera weights of a known layout (but {names}, ...)")
    stored_config, architecture = _parse_config(values) if values else (None, None)
    config = config or stored_config
    if config is None or architecture is None:
        raise CheckpointError(f"{CONFIG_FILE} is missing, which says what model this is")
    return Checkpoint(architecture, config, {bare_name(n): t for n, t in weights.items()})


def _parse_config(values: dict[str, Any]) -> tuple[HieraConfig, str]:
    _, architecture = split_config(values, HieraConfig.model_fields)
    if not isinstance(architecture, str):
        raise CheckpointError(f"{CONFIG_FILE} names no architecture")
    return HieraConfig.from_file_values(values), architecture


def write_checkpoint(checkpoint: Checkpoint, directory: str | Path, layout: str) -> list[Path]:
    """Write a checkpoint in one of :data:`LAYOUTS`; each file is written atomically.

    The official layout is written in both of its forms, hub and ``.pth``. Only our layout has
    ``preprocessor.json``, and beside it the same settings for ``transformers``; all have
    ``targets.json``, if the model has one.

    Returns:
        The written files.

    Raises:
        CheckpointError: if that layout cannot express the model.
    """
    if layout == "transformers":
        values, weights = transformers.write(checkpoint)
    elif layout == "official":
        values, weights = official.write(checkpoint)
    elif layout == "timm":
        values, weights = timm.write(checkpoint)
    else:
        values = {
            "architecture": checkpoint.architecture,
            "architectures": [transformers_name(checkpoint.architecture)],
            "model_type": MODEL_TYPE,
            **checkpoint.config.to_dict(),
        }
        weights = {full_name(n, checkpoint.architecture): t for n, t in checkpoint.weights.items()}
    weights = {name: tensor.detach().contiguous() for name, tensor in weights.items()}
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / WEIGHTS_FILE, directory / CONFIG_FILE]
    with atomic_path(paths[0]) as path:
        save_file(weights, path, metadata={"format": "pt"})
    with atomic_path(paths[1]) as path:
        path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    files = _settings_files(checkpoint) if layout == "hiera_video" else {}
    for name in (PREPROCESSOR_FILE, *PROCESSOR_FILES):
        if name not in files:
            (directory / name).unlink(missing_ok=True)  # of an earlier model
            continue
        paths.append(directory / name)
        with atomic_path(paths[-1]) as path:
            path.write_bytes(files[name])
    if checkpoint.targets is not None:
        paths.append(directory / TARGETS_FILE)
        with atomic_path(paths[-1]) as path:
            path.write_bytes(checkpoint.targets)
    else:
        (directory / TARGETS_FILE).unlink(missing_ok=True)
    if layout == "official":
        paths.append(directory / "model.pth")
        with atomic_path(paths[-1]) as path:
            torch.save({"model_state": weights}, path)
    for name, companion in checkpoint.companions.items():
        paths += write_checkpoint(companion, directory / name, layout)
    return paths


def _settings_files(checkpoint: Checkpoint) -> dict[str, bytes]:
    """What says how pixels become a model's input, for us and for ``transformers``, by file."""
    derived = processor_files(checkpoint.config, checkpoint.preprocessor)
    files = {name: (json.dumps(v, indent=2) + "\n").encode() for name, v in derived.items()}
    if checkpoint.preprocessor is not None:
        files[PREPROCESSOR_FILE] = checkpoint.preprocessor
    return files
