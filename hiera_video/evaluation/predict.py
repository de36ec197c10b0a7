"""Predictions for single videos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from hiera_video.config import EvaluateSettings
from hiera_video.data.decode import check_decoder
from hiera_video.data.loader import read_files
from hiera_video.evaluation.run import load_trained
from hiera_video.evaluation.views import score_batch


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
    decoder: str = "pyav",
    top_k: int = 5,
) -> Iterator[Prediction]:
    """Predict one video or image after the other, averaging views as in an evaluation.

    ``overrides`` are fields of ``ClipSettings`` in place of the checkpoint's own.

    Raises:
        CheckpointError: if the checkpoint cannot be used.
        ConfigError: if ``overrides`` do not fit it.
        VideoError: for a video where images are wanted, or an image where clips are; and when one
            that cannot be read is reached.
    """
    check_decoder(decoder)
    model, clip, classes = load_trained(checkpoint, overrides or {})
    device = Accelerator().device
    model.to(device).eval()
    for row, batch in read_files(videos, clip, evaluate.of(clip), decoder):
        scores = score_batch(model, batch, clip, len(batch), device)[0]
        best = scores.topk(min(top_k, len(classes)))
        yield Prediction(
            row.path,
            [
                (classes[index], probability)
                for index, probability in zip(
                    best.indices.tolist(), best.values.tolist(), strict=True
                )
            ],
        )
