"""The videos of a probing: all that probes see, by number.

Axes: V videos, N tokens of a video, D width, K classes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from torch import Tensor

from hiera_video.errors import UserError, suggest
from hiera_video.features.labelled import LabelledFeatures, what_differs
from hiera_video.labels import order_classes, similar_labels

logger = logging.getLogger(__name__)

#: A mean shorter than this has no direction.
_SHORTEST = 1e-12
#: Numbers that vary by less than this share of their mean do so by rounding alone.
SMALLEST_SCALE = 1e-7


@dataclass(frozen=True)
class VideoPool:
    """V videos: those of one folder, or of one to learn from and then of one to be tested on.

    ``labels`` ``(V,)`` are class indices and ``readable`` ``(V,)`` says which videos have features.
    ``units`` ``(V,)`` numbers the groups that videos belong to: each video its own where a folder
    has no groups, which ``grouped`` says of each. ``vectors`` ``(V, D)`` have length 1.
    """

    parts: tuple[LabelledFeatures, ...]
    classes: list[str]
    labels: np.ndarray
    units: np.ndarray
    grouped: tuple[bool, ...]
    readable: np.ndarray
    vectors: np.ndarray

    @property
    def paths(self) -> list[str]:
        return list(chain.from_iterable(part.paths for part in self.parts))

    @property
    def reasons(self) -> list[str | None]:
        """Why a video has no features; None where it has."""
        return list(chain.from_iterable(part.reasons for part in self.parts))

    def numbers(self, part: int) -> np.ndarray:
        """The numbers of the videos of a part."""
        first = sum(len(one.paths) for one in self.parts[:part])
        return np.arange(first, first + len(self.parts[part].paths))

    def tokens(self, video: int) -> Tensor:
        """``(N, D)``, of a video that has features."""
        for part in self.parts:
            if video < len(part.paths):
                return part.tokens(video)
            video -= len(part.paths)
        raise IndexError(video)


def make_pool(features: LabelledFeatures, val: LabelledFeatures | None) -> VideoPool:
    """The videos of ``features`` and, if there are any, of ``val``, by the classes of ``features``.

    Raises:
        UserError: if the two come from different models or layers, if a label of ``val`` is none of
            ``features``, or if there is one class only.
    """
    parts = (features,) if val is None else (features, val)
    if val is not None:
        _check_fit(features, val)
    classes = order_classes(features.labels)
    if len(classes) < 2:
        raise UserError(
            f"{features.folder}: all {len(features.labels)} videos are of one class, "
            f"{classes[0]!r}; wanted two classes or more"
        )
    indices = {name: index for index, name in enumerate(classes)}
    counts = {name: features.labels.count(name) for name in classes}
    for warning in similar_labels(counts):
        logger.warning("%s", warning)
    for label, path in zip(val.labels if val else (), val.paths if val else (), strict=True):
        if label not in indices:
            raise UserError(
                f"val_features={parts[-1].folder}: {path} has the label {label!r}, which no video "
                f"of {features.folder} has, {suggest(label, classes)}"
            )
    vectors = np.concatenate([part.vectors for part in parts])
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return VideoPool(
        parts=parts,
        classes=classes,
        labels=np.array([indices[name] for part in parts for name in part.labels], np.int64),
        units=_units(parts),
        grouped=tuple(part.groups is not None for part in parts),
        readable=np.array([reason is None for part in parts for reason in part.reasons]),
        vectors=vectors / np.maximum(lengths, _SHORTEST),
    )


def _check_fit(features: LabelledFeatures, val: LabelledFeatures) -> None:
    if features.folder.resolve() == val.folder.resolve():
        raise UserError(
            f"val_features={val.folder}: is the folder to learn from; leave it out for folds"
        )
    if val.origin != features.origin:
        raise UserError(
            f"val_features={val.folder}: {what_differs(features.origin, val.origin)} than "
            f"features={features.folder}"
        )
    common = set(features.groups or ()) & set(val.groups or ())
    if common:
        logger.warning(
            "groups that are in features and in val_features, so that what is tested may have "
            "been seen: %d (such as %r)",
            len(common),
            min(common),
        )


def _units(parts: Sequence[LabelledFeatures]) -> np.ndarray:
    """A number for each video: the same for those of one folder that have the same group."""
    names = [
        (number, group)
        for number, part in enumerate(parts)
        for group in (part.groups or range(len(part.paths)))
    ]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], np.int64)


def standardised(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``(V, D)`` each, in double precision, with mean 0 and variance 1 over ``train``; what does
    not vary there is 0 in it."""
    train, test = train.astype(np.float64), test.astype(np.float64)
    mean, scale = train.mean(0), train.std(0)
    scale[scale <= SMALLEST_SCALE * np.abs(mean)] = 1.0
    return (train - mean) / scale, (test - mean) / scale
