"""Differences between a resumed run and its checkpoint, by the rules in ``rules.py``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from hiera_video.data.class_labels import LabelEncoder
from hiera_video.data.manifest import Manifest
from hiera_video.errors import CheckpointError, ConfigError
from hiera_video.training.rules import rule_of
from hiera_video.training.saving import Progress


def digest(manifest: Manifest | None) -> tuple[str, str]:
    """Digests of a manifest's videos, in order, and of their targets; empty without a manifest.

    Paths are relative to the folder that contains all videos, so that this may be moved.
    """
    if manifest is None:
        return "", ""
    paths = manifest.paths
    # The first and the last of them differ soonest; relative and absolute ones may be mixed.
    folder = os.path.commonprefix([min(paths), max(paths)]).rfind("/") + 1  # noqa: RUF071
    named = zip(paths, manifest.segments, strict=True)
    rows = (f"{path[folder:]}\0{segment}\n" for path, segment in named)
    targets = [_values(manifest, name) for name in manifest.target_names] or [[None] * len(paths)]
    classes: list[str] = (
        manifest.targets.classes if isinstance(manifest.targets, LabelEncoder) else []
    )
    return _short("".join(rows)), _short(str([classes, *targets]))


def _values(manifest: Manifest, name: str) -> list[Any]:
    """A target of all rows; of several values a row, which may be hundreds, their digest."""
    values = manifest.target_array(name)
    return manifest.column(name) if values.ndim == 1 else [sha256(values.tobytes()).hexdigest()]


def _short(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def first_progress(
    seed: int,
    repeats: int,
    videos: Manifest,
    images: Manifest | None,
    validation: Manifest | None,
) -> Progress:
    """The progress of a new run that takes ``repeats`` clips of each video in a pass."""
    files, labels = digest(videos)
    return Progress(
        num_rows=len(videos),
        seed=seed,
        repeats=repeats,
        num_images=len(images) if images else 0,
        videos=files,
        labels=labels,
        image_files=digest(images)[0],
        validation="".join(digest(validation)),
    )


def refuse_settings(before: Mapping[str, Any], now: Mapping[str, Any], source: Path) -> None:
    """Make sure that no setting changed that may not. (``check_same_model`` compares the model.)

    Raises:
        CheckpointError: naming each that changed, with both values.
    """
    differences = [
        f"{key}={now[key]} instead of {before[key]}"
        for key in now
        if key in before and before[key] != now[key] and not _fits(key, before[key], now[key])
    ]
    with_images = [settings.get("images.train.manifest") is not None for settings in (before, now)]
    if before and with_images[0] != with_images[1]:
        differences.append(
            f"images.train.manifest was {'' if with_images[0] else 'not '}given before"
        )
    if differences:
        raise CheckpointError(
            f"{source}: cannot go on with {'; '.join(differences)}; go on with the same, or give "
            "another output_dir, and init_from to start from its weights"
        )


def _fits(key: str, before: Any, now: Any) -> bool:
    """Whether a setting may change from ``before`` to ``now``."""
    if key == "optimizer.layer_decay":  # of 1: groups of parameters are others
        return (before < 1) == (now < 1)
    of_model = key.startswith(("model.", "images.model."))
    return of_model or rule_of(key).kind != "refused"


def go_on(
    saved: Progress, begin: Progress, epochs: int, source: Path
) -> tuple[Progress, list[str]]:
    """Continue a run of ``epochs`` from ``saved``; ``begin`` is where it would begin anew.

    Returns:
        Its progress, and a line for each manifest whose contents changed.

    Raises:
        CheckpointError: in the middle of a pass that cannot continue with these videos.
        ConfigError: if the remaining epochs are not whole passes.
    """
    _check_within_pass(saved, begin, source)
    left = epochs - saved.epochs
    if left > 0 and left % begin.repeats:
        raise ConfigError(
            f"train.repeated_sampling={begin.repeats}: does not divide the {left} epochs that are "
            f"left of train.epochs={epochs}, which count clips per video"
        )
    changed = []
    for key, before, now in (
        ("data.train.manifest: other videos", saved.videos, begin.videos),
        ("data.train.manifest: other labels", saved.labels, begin.labels),
        ("data.val.manifest: other videos or labels", saved.validation, begin.validation),
        ("images.train.manifest: other images", saved.image_files, begin.image_files),
    ):
        if before and before != now:
            changed.append(key)
    images = saved.images
    if saved.image_files and saved.image_files != begin.image_files:
        # The next permutation: of the one begun, other images would be left.
        images = -(-images // max(saved.num_images, 1)) * begin.num_images
    # Between passes, `repeats` still says what the last one took.
    progress = replace(
        begin,
        step=saved.step,
        passes=saved.passes,
        rows=saved.rows,
        epochs=saved.epochs,
        repeats=saved.repeats,
        images=images,
        judged_after=saved.judged_after,
    )
    return progress, changed


def _check_within_pass(saved: Progress, begin: Progress, source: Path) -> None:
    if not saved.rows:
        return
    before, now = (
        {
            "videos": progress.num_rows,
            "seed": progress.seed,
            "train.repeated_sampling": progress.repeats,
            "data.sampler": progress.sampler,
        }
        for progress in (saved, begin)
    )
    others = saved.videos and saved.videos != begin.videos and saved.num_rows == begin.num_rows
    # An order by classes is another one with other labels.
    relabelled = saved.sampler != "uniform" and saved.labels != begin.labels
    if before != now or others or relabelled:
        differences = [
            f"{name}={now[name]} instead of {before[name]}"
            for name in before
            if before[name] != now[name]
        ]
        differences += ["other videos, or in another order"] * bool(others)
        differences += ["other labels"] * bool(relabelled and not others)
        raise CheckpointError(
            f"{source}: was made in the middle of a pass over {saved.num_rows} videos with "
            f"seed={saved.seed}, which cannot go on with {', '.join(differences)}; go on with the "
            "same ones, or from a checkpoint at the end of a pass (resume=DIR, in another "
            "output_dir)"
        )


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Settings that differ from those the run was started with, as ``key old -> new``."""
    # A field of the model stands there only where it was given. (Other keys that one side lacks
    # are another version's.)
    fields = [key for key in {**before, **now} if key.startswith(("model.", "images.model."))]
    before, now = ({**dict.fromkeys(fields, "default"), **values} for values in (before, now))
    return [
        f"{key} {before[key]} -> {now[key]}"
        for key in now
        if key in before and before[key] != now[key] and key not in ("output_dir", "resume")
    ]


def is_judged_otherwise(saved: Progress, begin: Progress, changed: Sequence[str]) -> bool:
    """Whether earlier figures of validation are not comparable with those to come; ``changed`` is
    the result of :func:`changed_settings`."""
    keys = [change.partition(" ")[0] for change in changed]
    others = bool(saved.validation) and saved.validation != begin.validation
    return others or any(rule_of(key).new_best for key in keys if key != "data.val.manifest")
