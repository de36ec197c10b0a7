"""Names and indices of the stages that a backbone returns, against ``transformers``."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import transformers

from hiera_video import HieraConfig
from hiera_video.errors import ConfigError
from tests.models.small import IMAGE

NAMES = ["stem", "stage1", "stage2", "stage3", "stage4", "stage5"]


def chosen(made: Any) -> tuple[list[str], list[int]]:
    return list(made.out_features), list(made.out_indices)


def both(values: dict[str, Any]) -> tuple[Any, Any]:
    """What each of the two makes of ``values``; None is a refusal."""
    results: list[Any] = []
    # theirs raises IndexError for some indices
    refusals: dict[Any, type[Exception]] = {
        HieraConfig: ConfigError,
        transformers.HieraConfig: Exception,
    }
    for config_class, refusal in refusals.items():
        try:
            results.append(chosen(config_class(**values)))
        except refusal:
            results.append(None)
    return results[0], results[1]


def random_choice(rng: random.Random) -> dict[str, Any]:
    """Valid ones, and ones with duplicates, in another order, or of stages that do not exist."""
    order = sorted if rng.random() < 0.7 else list
    pick = rng.sample if rng.random() < 0.8 else rng.choices
    places = order(pick(range(6 if rng.random() < 0.2 else 5), k=rng.randint(1, 4)))
    features = [NAMES[place] for place in places]
    indices = [place - 5 if rng.random() < 0.3 else place for place in places]
    if rng.random() < 0.15:
        indices = order(rng.choices(range(-7, 7), k=len(places)))
    kind = rng.choice(("features", "indices", "both"))
    return {
        "out_features": features if kind != "indices" else None,
        "out_indices": indices if kind != "features" else None,
    }


def test_resolved_as_in_transformers() -> None:
    rng, outcomes = random.Random(0), {True: 0, False: 0}
    for _ in range(600):
        values = random_choice(rng)
        ours, theirs = both(values)
        assert ours == theirs, values
        outcomes[ours is None] += 1
    assert min(outcomes.values()) > 150, outcomes


@pytest.mark.parametrize(
    ("values", "features", "indices"),
    [
        ({}, ["stage4"], [4]),
        ({"out_features": None, "out_indices": None}, ["stage4"], [4]),
        ({"out_features": ["stem", "stage1"], "out_indices": [0, 1]}, ["stem", "stage1"], [0, 1]),
        ({"out_features": ["stage1", "stage3"]}, ["stage1", "stage3"], [1, 3]),
        ({"out_indices": [0, 2]}, ["stem", "stage2"], [0, 2]),
        ({"out_indices": [0, -1]}, ["stem", "stage4"], [0, -1]),
        ({"depths": [1, 1, 1], "num_heads": [1, 2, 4], "num_query_pool": 2,
          "masked_unit_attention": [True, False, False]}, ["stage3"], [3]),
    ],
)  # fmt: skip
def test_each_from_the_other(
    values: dict[str, Any], features: list[str], indices: list[int]
) -> None:
    config = HieraConfig(**values)
    assert chosen(config) == (features, indices) == chosen(transformers.HieraConfig(**values))
    assert config.stages_out == features
    assert HieraConfig.from_dict(config.to_dict()) == config


def test_an_empty_list_is_no_choice() -> None:
    """``transformers`` makes a backbone without feature maps of it."""
    assert chosen(HieraConfig(out_features=[])) == (["stage4"], [4])
    assert chosen(HieraConfig(out_indices=[], out_features=["stem"])) == (["stem"], [0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"out_features": ["stage1", "stage1"]}, "out_features=.*: a stage is named twice"),
        ({"out_indices": [4, -1]}, r"out_indices=\[4, -1\]: a stage is named twice"),
        (
            {"out_features": ["stage3", "stage1"]},
            r"out_features=\['stage3', 'stage1'\]: wanted the order of the network, \['stage1', ",
        ),
        ({"out_indices": [-1, 0]}, r"wanted the order of the network, \[0, -1\]"),
        ({"out_indices": [-6]}, "out_indices: -6 is no stage, valid: 0 to 4"),
        ({"out_features": ["stage1"], "out_indices": [1, 2]}, "name different stages"),
    ],
)
def test_refusals(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HieraConfig(**values)


def test_choices_follow_changes() -> None:
    config = HieraConfig(**IMAGE, out_features=["stem", "stage2"])
    other = HieraConfig.from_dict(config.to_dict(), out_indices=[1])
    assert chosen(other) == (["stage1"], [1])
    three = {"depths": [1, 1, 1], "num_heads": [1, 2, 4], "num_query_pool": 2}
    three["masked_unit_attention"] = [True, False, False]
    kept = HieraConfig.from_dict(config.to_dict(), **three)
    assert chosen(kept) == (["stem", "stage2"], [0, 2])
    assert chosen(HieraConfig.from_dict(HieraConfig(**IMAGE).to_dict(), **three)) == (
        ["stage3"],
        [3],
    )


@pytest.mark.parametrize(
    ("saved", "features"),
    [
        ({"out_features": None, "out_indices": None}, ["stage4"]),
        ({"out_features": ["stage3", "stage1"], "out_indices": None}, ["stage1", "stage3"]),
        ({"out_features": None, "out_indices": [-1, 0, 4]}, ["stem", "stage4"]),
        ({"out_features": ["stage2", "stem"], "out_indices": [0, 2]}, ["stem", "stage2"]),
    ],
)
def test_older_files_load(tmp_path: Path, saved: dict[str, Any], features: list[str]) -> None:
    """They chose stages in any order, and knew no ``problem_type``."""
    values = {**HieraConfig(**IMAGE).to_dict(), "architecture": "HieraBackbone", **saved}
    del values["problem_type"]
    path = tmp_path / "config.json"
    path.write_text(json.dumps(values))
    assert HieraConfig.from_json_file(path) == HieraConfig(**IMAGE, out_features=features)
    assert HieraConfig.from_pretrained(tmp_path).stages_out == features
