"""Predictions for single videos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator

from hiera_video.config import EvaluateSettings
from hiera_video.data.dataset import EvaluationClips
from hiera_video.data.decode import check_decoder
from hiera_video.data.manifest import Row
from hiera_video.errors import VideoError
from hiera_video.evaluation.run import load_classifier
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
    decoder: str = "pyav",
    top_k: int = 5,
) -> Iterator[Prediction]:
    """Predict one video after the other, averaging views as in an evaluation.

    Raises:
        CheckpointError: if the checkpoint cannot be used.
        VideoError: when a video that cannot be read is reached.
    """
    check_decoder(decoder)
    model, clip, classes = load_classifier(checkpoint)
    device = Accelerator().device
    model.to(device).eval()
    rows = [Row(index, str(path), path, -1, 0.0, None) for index, path in enumerate(videos)]
    dataset = EvaluationClips(rows, clip, evaluate, decoder, seed=0)
    for row in rows:
        batch = dataset[row.index]
        for failure in batch.failures:
            raise VideoError(failure.path, failure.reason)
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
