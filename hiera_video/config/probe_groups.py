"""Groups of settings of probes: what is learned from frozen features, and how it is measured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from hiera_video.config.limits import at_least
from hiera_video.config.machinery import Settings

#: The names of the probes that ``hiera_video.features.probes`` has.
ProbeName = Literal["knn", "linear", "attentive"]

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class NeighbourSettings(Settings):
    """k-nearest neighbours."""

    k: list[Annotated[int, at_least(1)]] = Field(
        [1, 3, 5, 10, 20, 50, 100, 200],
        min_length=1,
        description="numbers of neighbours to choose from; more than there are videos to learn "
        "from are passed over",
    )
    temperature: _Positive = Field(
        0.07, description="a neighbour of cosine similarity s has exp(s / temperature) votes"
    )
    standardize: bool = Field(
        False,
        description="first give each number of the vectors mean 0 and variance 1 over the videos "
        "to learn from: features of a model that learned little all point the same way",
    )


class LinearSettings(Settings):
    """Multinomial logistic regression."""

    c: list[_Positive] = Field(
        [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100],
        min_length=1,
        description="inverse strengths of the L2 penalty to choose from, scikit-learn's `C`",
    )
    max_iterations: int = Field(1000, ge=1, description="steps of L-BFGS")


class AttentiveSettings(Settings):
    """The attentive head, trained with AdamW on a cosine schedule."""

    epochs: int = Field(100, ge=1, description="passes over the videos")
    batch_size: int = Field(16, ge=1, description="videos per step")
    lr: _Positive = Field(1e-3, description="peak learning rate, after a tenth of the steps")
    weight_decay: float = Field(0.05, ge=0)


class ProbeSettings(Settings):
    """Probes, and how they are measured."""

    probes: list[ProbeName] = Field(
        ["knn", "linear", "attentive"], min_length=1, description="which of knn, linear, attentive"
    )
    folds: int | Literal["groups"] | None = Field(
        None,
        description="without val_features: parts that are tested in turn (default 5), or `groups` "
        "to leave out one group at a time",
    )
    seed: int = Field(0, ge=0, description="of folds, attentive probe and resamples")
    held_out_parts: int = Field(
        5,
        ge=1,
        le=5,
        description="of five parts of the videos to learn from, how many are held out in turn to "
        "choose k and the penalty; 1 is five times as fast",
    )
    num_resamples: int = Field(1000, ge=100, description="of the bootstrap that gives intervals")
    knn: NeighbourSettings = Field(default_factory=NeighbourSettings)
    linear: LinearSettings = Field(default_factory=LinearSettings)
    attentive: AttentiveSettings = Field(default_factory=AttentiveSettings)

    @field_validator("probes")
    @classmethod
    def _check_once(cls, value: list[ProbeName]) -> list[ProbeName]:
        if len(set(value)) < len(value):
            raise ValueError("wanted each probe once")
        return value

    @field_validator("folds", mode="before")
    @classmethod
    def _check_folds(cls, value: object) -> object:
        is_number = isinstance(value, int) and value >= 2  # True is 1
        if not is_number and value not in (None, "groups"):
            raise ValueError("wanted a number of at least 2, or `groups`")
        return value

    @property
    def plain(self) -> ProbeSettings:
        """These alone, for a function that takes groups and no command's settings."""
        return ProbeSettings(**{name: getattr(self, name) for name in ProbeSettings.model_fields})
