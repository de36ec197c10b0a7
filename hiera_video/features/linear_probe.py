"""A linear classifier on the vectors of videos.

Axes: V videos to test, D width, K classes.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from hiera_video.config.probe_groups import LinearSettings
from hiera_video.features.folds import Split
from hiera_video.features.pool import VideoPool, standardised
from hiera_video.features.sweep import Choice, choose

logger = logging.getLogger(__name__)


class LinearProbe:
    """Multinomial logistic regression by L-BFGS; the strength of its L2 penalty is chosen by
    held-out videos. Each of the D numbers is standardised by the videos to learn from."""

    chosen = "c"

    def __init__(self, settings: LinearSettings) -> None:
        self.settings = settings

    def __call__(
        self, pool: VideoPool, split: Split, held_out: Sequence[Split]
    ) -> tuple[np.ndarray, Choice]:
        """Scores ``(V, K)`` of the split's V tested videos, and the choice of c."""
        values = sorted(set(self.settings.c))
        choice = choose(values, held_out, pool, lambda part: self._scores(pool, part, values))
        *_, scores = self._scores(pool, split, [choice.value], tell=True)
        return scores, choice

    def _scores(
        self, pool: VideoPool, split: Split, values: Sequence[float], tell: bool = False
    ) -> Iterator[np.ndarray]:
        """Probabilities for each of the values, ascending; each starts from the one before it."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        train, test = standardised(pool.vectors[split.train], pool.vectors[split.test])
        model = LogisticRegression(max_iter=self.settings.max_iterations, warm_start=True)
        for value in values:
            model.set_params(C=value)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(train, pool.labels[split.train])
            if tell and model.n_iter_.max() >= self.settings.max_iterations:
                logger.warning(
                    "linear.max_iterations=%d: L-BFGS was not done by then (c=%g)",
                    self.settings.max_iterations,
                    value,
                )
            scores = np.zeros((len(test), len(pool.classes)), np.float32)
            if len(test):
                scores[:, model.classes_] = model.predict_proba(test)
            yield scores
