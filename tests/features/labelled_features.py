"""Folders of features that were drawn, as `hiera-video features` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hiera_video.data.manifest import Row
from hiera_video.features.writer import FeatureWriter, IndexEntry, VideoFeatures

SETTINGS = {"weights": "a1b2", "layer": "pooled"}


def write_features(
    folder: Path,
    videos: Sequence[Tensor | None],
    labels: Sequence[str | None] | None,
    groups: Sequence[str | None] | None = None,
    **settings: str,
) -> Path:
    """A folder with the features ``(N, ...)`` of each video; None is one that could not be read."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = FeatureWriter(folder, {**SETTINGS, **settings})
    entries = []
    for number, features in enumerate(videos):
        path = f"{folder.name}/{number:03d}.mp4"
        if features is None:
            entries.append(IndexEntry(number, path, None, 0, [], "the file is empty (0 bytes)"))
            continue
        video = VideoFeatures(len(features), features.shape[1:])
        video.features[:] = features
        video.starts[:] = torch.arange(len(features))
        video.ends[:] = video.starts + 1
        row = Row(number, path, folder / path, {}, 0.0, None)
        entries.append(writer.write(row, video))
    columns = {"label": labels, "group": groups}
    kept = {name: texts for name, texts in columns.items() if texts is not None}
    writer.write_index(entries, "runs/mine/best", kept)
    return folder


def clusters(
    num_videos: int, *, spread: float, width: int = 8, num_classes: int = 3, seed: int = 0
) -> tuple[list[Tensor | None], list[str]]:
    """Videos of one to three windows ``(N, D)`` around the direction of their class; classes take
    turns, and are called "2", "10" and so on, which have another order as text."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(num_classes, width))
    names = [str(2 + 8 * index) for index in range(num_classes)]
    videos: list[Tensor | None] = []
    for number in range(num_videos):
        windows = 1 + number % 3
        noise = spread * random.normal(size=(windows, width))
        videos.append(torch.from_numpy(centres[number % num_classes] + noise).float())
    return videos, [names[number % num_classes] for number in range(num_videos)]
