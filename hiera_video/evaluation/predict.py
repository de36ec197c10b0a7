"""Predictions for single videos."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from accelerate import Accelerator

from hiera_video.config.clip_groups import ClipSettings, EvaluateSettings
from hiera_video.data.file_search import VIDEO_SUFFIXES, find_files
from hiera_video.data.loader import read_files
from hiera_video.decoding.decoders import check_decoder
from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.source import IMAGE_SUFFIXES
from hiera_video.errors import ConfigError, UserError, VideoError
from hiera_video.evaluation.run import load_trained
from hiera_video.evaluation.scores import ViewAverage
from hiera_video.tasks.criteria import task_of
from hiera_video.tasks.registry import trained_task

#: Schemes of addresses from which a file can be downloaded.
_DOWNLOAD_SCHEMES = {"http", "https", "ftp", "s3", "gs", "hf"}


#: What is told of a video, by task.
_KINDS: dict[str, Literal["classes", "labels", "values"]] = {
    "single_label": "classes",
    "multi_label": "labels",
    "regression": "values",
}


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of a video, best first, each with its probability; or none and the
    reason.

    ``kind`` says what they are: the most probable ``classes``; the ``labels`` that reach their
    thresholds; or ``values``, the names of targets, each with its number.
    """

    path: str
    classes: list[tuple[str, float]]
    reason: str | None = None
    kind: Literal["classes", "labels", "values"] = "classes"


@dataclass(frozen=True)
class PredictionOptions:
    """How to read files, and how many classes to give.

    Args:
        overrides: fields of ``ClipSettings`` that replace the checkpoint's own.
        classes: names in index order, which published weights often lack.
        decoder: the name of the decoder that reads videos.
        top_k: how many classes to give, at least 1; all of them if the model has fewer. It has no
            effect where videos have several labels, or numbers.
        frame_rate: pictures per second of an archive of them.
    """

    overrides: Mapping[str, Any] = field(default_factory=dict)
    classes: Sequence[str] | None = None
    decoder: str = "pyav"
    top_k: int = 5
    frame_rate: Fraction | None = None

    @property
    def decoding(self) -> DecodingOptions:
        """How files are read."""
        return DecodingOptions(self.decoder, frame_rate=self.frame_rate)


def predict(
    checkpoint: str,
    files: Sequence[str | Path],
    evaluate: EvaluateSettings,
    options: PredictionOptions = PredictionOptions(),
) -> Iterator[Prediction]:
    """Predict one video or image after the other, averaging views as in an evaluation.

    The prediction of a file that cannot be read, or is not of the kind that the model takes (videos
    or images), has a reason instead of classes.

    Args:
        files: videos or images; folders, of which all files are read; patterns such as
            ``clips/*.mp4``; and archives of numbered pictures.
        evaluate: which views of a file are averaged.

    Raises:
        CheckpointError: if the checkpoint cannot be used.
        ConfigError: if ``options`` do not fit it, or ``top_k`` is below 1.
        NotFiniteError: if the model's output for a video is not finite.
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
    task, path = trained_task(model, names, clip), Path()
    kind = _KINDS[task_of(model.config.problem_type)]
    average = ViewAverage(
        model.to(Accelerator().device),
        task,
        views,
        lambda _: str(path),
    )
    for path, reason in _each_file(files, clip):
        try:
            if reason is not None:
                raise VideoError(str(path), reason)
            ((row, batch),) = read_files([path], clip, views, options.decoding)
        except VideoError as error:
            yield Prediction(error.path, [], error.reason, kind)
            continue
        scores = average(batch)[0]
        average.check()
        yield Prediction(row.path, task.answer(scores, options.top_k), kind=kind)


def check_are_files(files: Sequence[str | Path]) -> None:
    """Check that all ``files`` are paths of files, folders or patterns.

    Raises:
        UserError: for the first address, stream or device; the message says what to do instead.
    """
    for given in map(str, files):
        scheme = re.match(r"([a-z][a-z0-9+.-]*):/", given, re.IGNORECASE)
        path = Path(given)
        if not given:
            raise UserError("FILE: is empty; wanted a path")
        if given == "-":
            raise UserError("-: standard input is not read; write it to a file, and name that")
        if scheme and not _exists(path):
            is_download = scheme[1].lower() in _DOWNLOAD_SCHEMES
            advice = "download it" if is_download else "record it to a file"
            raise UserError(f"{given}: only files are read; {advice}, and name the file")
        is_special = _exists(path) and not path.is_file() and not path.is_dir()
        if given.startswith("/dev/") or is_special:
            raise UserError(
                f"{given}: devices and pipes are not read; record it to a file, and name that"
            )


def _each_file(
    given: Sequence[str | Path], clip: ClipSettings
) -> Iterator[tuple[Path, str | None]]:
    """The given files, the files below given folders, and those that match given patterns. A folder
    or pattern without files comes with the reason instead."""
    suffixes = IMAGE_SUFFIXES if clip.is_image else VIDEO_SUFFIXES
    for path in map(Path, given):
        matches = [path]
        if glob.has_magic(str(path)) and not _exists(path):
            # Path.glob takes no absolute patterns.
            matches = sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207
            if not matches:
                yield path, "no file matches this pattern"
        for file in matches:
            if not _exists(file) or not file.is_dir():
                yield file, None
                continue
            below = [
                file / each.relative_to(file.absolute()) for each in find_files(file, suffixes)
            ]
            yield from ((each, None) for each in below)
            if not below:
                yield file, _nothing_found(file, clip)


def _nothing_found(folder: Path, clip: ClipSettings) -> str:
    kind = "images" if clip.is_image else "videos"
    nothing = f"no {kind} in this folder, nor in those below it"
    if clip.is_image or not find_files(folder, IMAGE_SUFFIXES):
        return nothing
    return f"{nothing}; its pictures are the frames of a clip where a manifest names their folder"


def _exists(path: Path) -> bool:
    """Whether a path is known to exist."""
    try:
        return path.exists()
    except OSError:  # the name is too long, or a folder may not be entered
        return False
