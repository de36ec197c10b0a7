"""Which videos probes learn from, and which they are tested on; no group is ever on both sides."""

from __future__ import annotations

import warnings
from typing import Literal, NamedTuple

import numpy as np

from hiera_video.errors import UserError
from hiera_video.features.pool import VideoPool

#: Parts of the videos to learn from, some of which are held out to choose settings.
_NUM_PARTS = 5
_DEFAULT_FOLDS = 5


class Split(NamedTuple):
    """Numbers of the videos to learn from, all readable, and of those to be tested."""

    train: np.ndarray
    test: np.ndarray


def splits_of(pool: VideoPool, folds: int | Literal["groups"] | None, seed: int) -> list[Split]:
    """The one split into two folders, or the folds of one: each video is tested exactly once.

    Raises:
        UserError: if folds are given and not wanted, or cannot be made; or if videos of one class
            only are left to learn from.
    """
    if len(pool.parts) == 1:
        splits = _folds_of(pool, _DEFAULT_FOLDS if folds is None else folds, seed)
    elif folds is not None:
        raise UserError(
            f"folds={folds}: with val_features, those are tested; leave one of them out"
        )
    else:
        splits = [Split(pool.numbers(0), pool.numbers(1))]
    splits = [Split(train[pool.readable[train]], test) for train, test in splits]
    for number, (train, _) in enumerate(splits):
        if len(np.unique(pool.labels[train])) < 2:
            left = [pool.classes[index] for index in np.unique(pool.labels[train])]
            raise UserError(
                f"{pool.parts[0].folder}: fold {number} leaves videos of {' '.join(left) or 'no'} "
                "class alone to learn from; wanted two classes or more"
            )
    return splits


def _folds_of(pool: VideoPool, folds: int | Literal["groups"], seed: int) -> list[Split]:
    folder, videos = pool.parts[0].folder, pool.numbers(0)
    num_units = len(np.unique(pool.units))
    kind = "groups" if pool.grouped[0] else "videos"
    if folds == "groups":
        if not pool.grouped[0] or num_units < 2:
            raise UserError(
                f"folds=groups: {folder} has {num_units if pool.grouped[0] else 'no'} groups; "
                "wanted a column group in the manifest, with two or more"
            )
        return [
            Split(videos[pool.units != unit], videos[pool.units == unit])
            for unit in np.unique(pool.units)
        ]
    if num_units < folds:
        raise UserError(
            f"folds={folds}: {folder} has {num_units} {kind}; wanted as many folds or fewer"
        )
    largest = np.bincount(pool.labels).max()
    if largest < folds:
        raise UserError(
            f"folds={folds}: no class of {folder} has more than {largest} videos; wanted as many "
            "folds or fewer"
        )
    return stratified_parts(pool, videos, folds, seed)


def stratified_parts(pool: VideoPool, videos: np.ndarray, num_parts: int, seed: int) -> list[Split]:
    """``videos`` in ``num_parts`` parts, each tested once, with classes in like proportions; by
    group where the folder to learn from has groups."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    kind = StratifiedGroupKFold if pool.grouped[0] else StratifiedKFold
    parts = kind(num_parts, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Of classes that have fewer videos than there are parts: some parts are without them.
        warnings.simplefilter("ignore", UserWarning)
        drawn = list(parts.split(videos, pool.labels[videos], pool.units[videos]))
    return [Split(videos[train], videos[test]) for train, test in drawn if len(test)]


def held_out_parts(pool: VideoPool, train: np.ndarray, count: int, seed: int) -> list[Split]:
    """Up to ``count`` parts of ``train``, each to be held out; none where there are too few videos
    for any, or videos of one class only would be left."""
    largest = np.bincount(pool.labels[train]).max()
    num_parts = min(_NUM_PARTS, largest, len(np.unique(pool.units[train])))
    if num_parts < 2:
        return []
    parts = stratified_parts(pool, train, int(num_parts), seed)
    return [part for part in parts if len(np.unique(pool.labels[part.train])) > 1][:count]
