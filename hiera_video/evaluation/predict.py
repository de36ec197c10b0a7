"""Predictions for single videos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from hiera_video.config import EvaluateSettings
from hiera_video.data.loader import read_files
from hiera_video.decoding.decoders import check_decoder
from hiera_video.decoding.options import DecodingOptions
from hiera_video.errors import ConfigError
from hiera_video.evaluation.run import load_trained
from hiera_video.evaluation.views import score_batch
from hiera_video.models.finite import FiniteOutputs


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of a video, best first, each with its probability."""

    path: str
    classes: list[tuple[str, float]]


def predict(
    checkpoint: str,
    videos: Sequence[Path],
    evaluate: EvaluateSettings,
    *,
    overrides: Mapping[str, Any] | None = None,
    classes: Sequence[str] | None = None,
    decoder: str = "pyav",
    top_k: int = 5,
) -> Iterator[Prediction]:
    """Predict one video or image after the other, averaging views as in an evaluation.

    Args:
        overrides: fields of ``ClipSettings`` in place of the checkpoint's own.
        classes: names in index order, which published weights often come without.

    Raises:
        CheckpointError: if the checkpoint cannot be used.
        ConfigError: if ``overrides`` or ``classes`` do not fit it.
        VideoError: for a video where images are wanted, or an image where clips are; and when one
            that cannot be read is reached.
        NotFiniteError: when what the model says of a video is not finite.
    """
    check_decoder(decoder)
    model, clip, names = load_trained(checkpoint, overrides or {})
    if classes is not None and len(classes) != len(names):
        raise ConfigError(f"classes: {len(classes)} names, and the model has {len(names)} classes")
    names = list(classes or names)
    device = Accelerator().device
    model.to(device).eval()
    outputs = FiniteOutputs(model, "logits", lambda row: str(videos[row]))
    for row, batch in read_files(videos, clip, evaluate.of(clip), DecodingOptions(decoder)):
        scores = score_batch(model, batch, clip, len(batch), device, outputs)[0]
        outputs.look(wait=True)
        best = scores.topk(min(top_k, len(names)))
        yield Prediction(
            row.path,
            [
                (names[index], probability)
                for index, probability in zip(
                    best.indices.tolist(), best.values.tolist(), strict=True
                )
            ],
        )
