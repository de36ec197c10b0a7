"""Predictions for single videos."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from hiera_video.config.groups import ClipSettings, EvaluateSettings
from hiera_video.data.file_search import VIDEO_SUFFIXES, find_files
from hiera_video.data.loader import read_files
from hiera_video.decoding.decoders import check_decoder
from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.source import IMAGE_SUFFIXES
from hiera_video.errors import ConfigError, UserError, VideoError
from hiera_video.evaluation.run import load_trained
from hiera_video.evaluation.scores import ViewAverage
from hiera_video.tasks.registry import task_of

#: What an address of a file that can be downloaded begins with.
_DOWNLOADS = {"http", "https", "ftp", "s3", "gs", "hf"}


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of a video, best first, each with its probability; or the reason
    why there are none."""

    path: str
    classes: list[tuple[str, float]]
    reason: str | None = None


@dataclass(frozen=True)
class PredictionOptions:
    """How files are read and what is told of them.

    Args:
        overrides: fields of ``ClipSettings`` in place of the checkpoint's own.
        classes: names in index order, which published weights often come without.
        decoder: the name of the decoder that reads videos.
        top_k: how many classes to give, from 1; all of them if there are no more.
    """

    overrides: Mapping[str, Any] = field(default_factory=dict)
    classes: Sequence[str] | None = None
    decoder: str = "pyav"
    top_k: int = 5


def predict(
    checkpoint: str,
    files: Sequence[str | Path],
    evaluate: EvaluateSettings,
    options: PredictionOptions = PredictionOptions(),
) -> Iterator[Prediction]:
    """Predict one video or image after the other, averaging views as in an evaluation.

    A file that cannot be read, an image where the model takes clips, and a video where it takes
    images have a reason in place of classes.

    Args:
        files: videos or images, as the model takes; folders, for all of those below them; and
            patterns such as ``clips/*.mp4``.
        evaluate: the views of each file whose scores are averaged.

    Raises:
        CheckpointError: if the checkpoint cannot be used.
        ConfigError: if ``options`` do not fit it, or for ``top_k``.
        NotFiniteError: when what the model says of a video is not finite.
        UserError: for an address, a stream or a device, before anything starts.
    """
    check_decoder(options.decoder)
    check_are_files(files)
    if options.top_k < 1:
        raise ConfigError(f"top_k={options.top_k}: wanted the number of classes to show, 1 or more")
    model, clip, names = load_trained(checkpoint, options.overrides)
    classes = options.classes
    if classes is not None and len(classes) != len(names):
        raise ConfigError(f"classes: {len(classes)} names, and the model has {len(names)} classes")
    names = list(classes or names)
    views = evaluate.of(clip)
    path = Path()
    average = ViewAverage(
        model.to(Accelerator().device),
        task_of(model.config, names, clip),
        views,
        lambda _: str(path),
    )
    for path, reason in _each_file(files, clip):
        try:
            if reason is not None:
                raise VideoError(str(path), reason)
            ((row, batch),) = read_files([path], clip, views, DecodingOptions(options.decoder))
        except VideoError as error:
            yield Prediction(error.path, [], error.reason)
            continue
        scores = average(batch)[0]
        average.check()
        best = scores.topk(min(options.top_k, len(names)))
        probabilities = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        yield Prediction(row.path, [(names[index], value) for index, value in probabilities])


def check_are_files(files: Sequence[str | Path]) -> None:
    """Make sure that nothing has to be fetched or recorded before it can be read.

    Raises:
        UserError: for the first address, stream or device, with what to do instead.
    """
    for given in map(str, files):
        scheme = re.match(r"([a-z][a-z0-9+.-]*):/", given, re.IGNORECASE)
        path = Path(given)
        if not given:
            raise UserError("FILE: is empty; wanted a path")
        if given == "-":
            raise UserError("-: standard input is not read; write it to a file, and name that")
        if scheme and not _exists(path):
            instead = "download it" if scheme[1].lower() in _DOWNLOADS else "record it to a file"
            raise UserError(f"{given}: only files are read; {instead}, and name the file")
        is_something_else = _exists(path) and not path.is_file() and not path.is_dir()
        if given.startswith("/dev/") or is_something_else:
            raise UserError(
                f"{given}: devices and pipes are not read; record it to a file, and name that"
            )


def _each_file(
    given: Sequence[str | Path], clip: ClipSettings
) -> Iterator[tuple[Path, str | None]]:
    """Files as they are given, those below folders, and those that a pattern stands for; with the
    reason, if what was given stands for none."""
    suffixes = IMAGE_SUFFIXES if clip.is_image else VIDEO_SUFFIXES
    for path in map(Path, given):
        found = [path]
        if glob.has_magic(str(path)) and not _exists(path):
            # Path.glob takes no absolute patterns.
            found = sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207
            if not found:
                yield path, "no file matches this pattern"
        for file in found:
            if not _exists(file) or not file.is_dir():
                yield file, None
                continue
            below = [
                file / each.relative_to(file.absolute()) for each in find_files(file, suffixes)
            ]
            yield from ((each, None) for each in below)
            if not below:
                kind = "images" if clip.is_image else "videos"
                yield file, f"no {kind} in this folder, nor in those below it"


def _exists(path: Path) -> bool:
    """Whether there is such a path, as far as can be told."""
    try:
        return path.exists()
    except OSError:  # a name that is too long, a folder that is closed
        return False
