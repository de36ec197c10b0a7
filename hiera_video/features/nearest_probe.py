"""k-nearest neighbours among the vectors of videos.

Axes: V videos to test, D width, K classes, k neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hiera_video.config.probe_groups import NeighbourSettings
from hiera_video.errors import UserError
from hiera_video.features.folds import Split
from hiera_video.features.pool import VideoPool, standardised
from hiera_video.features.sweep import Choice, choose


class NearestProbe:
    """Votes of the k videos whose vectors have the largest cosine similarity; k is chosen by
    held-out videos. After Wu et al. (arXiv 1805.01978, Sec. 3.4), as DINO evaluates."""

    chosen = "k"

    def __init__(self, settings: NeighbourSettings) -> None:
        self.settings = settings

    def __call__(
        self, pool: VideoPool, split: Split, held_out: Sequence[Split]
    ) -> tuple[np.ndarray, Choice]:
        """Scores ``(V, K)`` of the split's V tested videos, and the choice of k.

        Raises:
            UserError: if every k is larger than the number of videos to learn from.
        """
        fewest = min(len(part.train) for part in [*held_out, split])
        ks = sorted({k for k in self.settings.k if k <= fewest})
        if not ks:
            raise UserError(
                f"knn.k={self.settings.k}: there are {fewest} videos to learn from; wanted a "
                "number of neighbours up to that"
            )
        choice = choose(ks, held_out, pool, lambda part: self._scores(pool, part, ks))
        (scores,) = self._scores(pool, split, [choice.value])
        return scores, choice

    def _scores(self, pool: VideoPool, split: Split, ks: Sequence[int]) -> Iterator[np.ndarray]:
        from sklearn.neighbors import NearestNeighbors

        search = NearestNeighbors(n_neighbors=max(ks), metric="cosine", algorithm="brute")
        train, test = pool.vectors[split.train], pool.vectors[split.test]
        if self.settings.standardize:
            train, test = standardised(train, test)
        distances, neighbours = search.fit(train).kneighbors(test)
        labels = pool.labels[split.train][neighbours]
        for k in ks:
            yield neighbour_votes(
                1 - distances[:, :k], labels[:, :k], len(pool.classes), self.settings.temperature
            )


def neighbour_votes(
    similarities: np.ndarray, labels: np.ndarray, num_classes: int, temperature: float
) -> np.ndarray:
    """The share of votes of each class ``(V, K)``.

    Args:
        similarities: cosines of the neighbours ``(V, k)``, each with exp(cosine / temperature)
            votes.
        labels: their class indices ``(V, k)``.
    """
    scaled = similarities.astype(np.float64) / temperature
    votes = np.exp(scaled - scaled.max(1, keepdims=True))  # no sum overflows
    scores = np.zeros((len(votes), num_classes))
    np.add.at(scores, (np.arange(len(votes))[:, None], labels), votes)
    return np.asarray(scores / scores.sum(1, keepdims=True), np.float32)
