"""Extracted features of labelled videos, read back and checked.

Axes: V videos, N tokens of a video, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from hiera_video.errors import UserError
from hiera_video.features.writer import INDEX_FILE
from hiera_video.files import reading
from hiera_video.labels import normalize_label

#: Features of all videos stay in memory up to so many bytes; more are read again for each use.
_MOST_KEPT_BYTES = 2 << 30
_BYTES_PER_NUMBER = 4
#: Number of threads that read files: each read takes milliseconds on a network file system.
_PARALLEL_READS = 32
_COLUMNS = ("path", "features", "num_windows", "shape", "reason")


class Origin(NamedTuple):
    """What features come from: a fingerprint of the weights, the layer, and the width D."""

    weights: str
    layer: str
    width: int


@dataclass(frozen=True)
class LabelledFeatures:
    """Features of V videos, in the order of their manifest.

    ``labels`` are normalised names; ``groups`` are None where the manifest had none. A video whose
    extraction failed has a reason, and zeros in ``vectors`` ``(V, D)``: the others' means over all
    tokens of all windows. ``checkpoint`` is None where an older version wrote the index.
    """

    folder: Path
    paths: list[str]
    labels: list[str]
    groups: list[str] | None
    reasons: list[str | None]
    vectors: np.ndarray
    origin: Origin
    checkpoint: str | None
    _rows: list[dict[str, Any]]
    _kept: list[Tensor | None]

    def tokens(self, video: int) -> Tensor:
        """The tokens ``(N, D)`` of a video that has features: one of each window, or a map's."""
        kept = self._kept[video]
        return _Video.read(self.folder, self._rows[video]).tokens if kept is None else kept


def read_labelled(folder: Path, key: str) -> LabelledFeatures:
    """The features that ``hiera-video features`` wrote into ``folder``.

    Args:
        key: the setting that named the folder, for messages.

    Raises:
        UserError: if the index or a file is missing or damaged, features are not finite or come
            from several models, no video has any, there is no column ``label``, or a video has no
            label, several, or no group where others have one.
    """
    index = _read_index(folder, key)
    rows = index.to_pylist()
    labels = _labels(rows, index, folder)
    groups = _groups(rows, index, folder)
    readable = [number for number, row in enumerate(rows) if row["features"] is not None]
    if not readable:
        raise UserError(f"{key}={folder}: none of {len(rows)} videos has features")
    sizes = [rows[number]["num_windows"] * prod(rows[number]["shape"]) for number in readable]
    is_kept = sum(sizes) * _BYTES_PER_NUMBER <= _MOST_KEPT_BYTES

    def read(number: int) -> tuple[Origin, np.ndarray, Tensor | None]:
        video = _Video.read(folder, rows[number])
        mean = video.tokens.double().mean(0).float().numpy()
        return video.origin, mean, video.tokens if is_kept else None

    with ThreadPoolExecutor(_PARALLEL_READS) as pool:
        videos = dict(zip(readable, pool.map(read, readable), strict=True))
    origin = videos[readable[0]][0]
    _check_same_origin(folder, rows, {number: video[0] for number, video in videos.items()})
    vectors = np.zeros((len(rows), origin.width), np.float32)
    for number, (_, mean, _) in videos.items():
        vectors[number] = mean
    return LabelledFeatures(
        folder=folder,
        paths=[row["path"] for row in rows],
        labels=labels,
        groups=groups,
        reasons=[None if row["features"] else row["reason"] or "no features" for row in rows],
        vectors=vectors,
        origin=origin,
        checkpoint=(index.schema.metadata or {}).get(b"checkpoint", b"").decode() or None,
        _rows=rows,
        _kept=[videos[number][2] if number in videos else None for number in range(len(rows))],
    )


def _read_index(folder: Path, key: str) -> pa.Table:
    path = folder / INDEX_FILE
    if not path.exists():
        raise UserError(
            f"{key}={folder}: has no {INDEX_FILE}; wanted a folder that `hiera-video features` "
            "wrote to the end"
        )
    with reading(path, UserError, pa.ArrowException):
        table = pq.read_table(path)
    if missing := [name for name in _COLUMNS if name not in table.column_names]:
        raise UserError(f"{path}: is no index of features: it has no column {missing[0]}")
    if not table.num_rows:
        raise UserError(f"{path}: lists no videos")
    return table


def _labels(rows: Sequence[dict[str, Any]], index: pa.Table, folder: Path) -> list[str]:
    path = folder / INDEX_FILE
    if "label" not in index.column_names:
        raise UserError(
            f"{path}: has no column label; extract again with a manifest that has one (features "
            "that are there are kept)"
        )
    labels = [normalize_label(row["label"] or "") for row in rows]
    for row, label in zip(rows, labels, strict=True):
        if not label:
            raise UserError(f"{path}: {row['path']} has no label, and probes need one of each")
        if "|" in label:
            raise UserError(
                f"{path}: {row['path']} has the label {label!r}: several labels of a video, joined "
                "by |, are not supported by probes yet"
            )
    return labels


def _groups(rows: Sequence[dict[str, Any]], index: pa.Table, folder: Path) -> list[str] | None:
    if "group" not in index.column_names or all(row["group"] is None for row in rows):
        return None
    for row in rows:
        if row["group"] is None:
            raise UserError(
                f"{folder / INDEX_FILE}: {row['path']} has no group, and others have one"
            )
    return [row["group"] for row in rows]


def _check_same_origin(
    folder: Path, rows: Sequence[dict[str, Any]], origins: dict[int, Origin]
) -> None:
    first = next(iter(origins))
    for number, origin in origins.items():
        if origin != origins[first]:
            raise UserError(
                f"{folder / rows[number]['features']}: {what_differs(origins[first], origin)} than "
                f"{folder / rows[first]['features']}; extract again"
            )


def what_differs(wanted: Origin, found: Origin) -> str:
    """In words, in what features differ that come from different models or layers."""
    if found.layer != wanted.layer:
        return f"has features of another layer ({found.layer}, not {wanted.layer})"
    if found.width != wanted.width:
        return f"has features of another width ({found.width}, not {wanted.width})"
    return "has features of another checkpoint"


class _Video(NamedTuple):
    """The tokens ``(N, D)`` of a video, and what they come from."""

    origin: Origin
    tokens: Tensor

    @classmethod
    def read(cls, folder: Path, row: dict[str, Any]) -> _Video:
        """The file that a row of the index names.

        Raises:
            UserError: if it is missing or damaged, is not what the row says, or is not finite.
        """
        path = folder / row["features"]
        with reading(path, UserError, SafetensorError), safe_open(path, "pt") as file:
            settings = file.metadata() or {}
            has_features = "features" in file.keys()  # noqa: SIM118 (it is no dictionary)
            features = file.get_tensor("features").clone() if has_features else torch.empty(0)
        wanted = [row["num_windows"], *row["shape"]]
        if list(features.shape) != wanted or not features.numel():
            raise UserError(
                f"{path}: wanted features {wanted}, as {INDEX_FILE} says, found "
                f"{list(features.shape)}; extract again"
            )
        tokens = features.reshape(-1, features.shape[-1]).float()
        if not tokens.isfinite().all():
            raise UserError(f"{path}: has features that are not finite")
        origin = Origin(settings.get("weights", ""), settings.get("layer", ""), tokens.shape[1])
        return cls(origin, tokens)
