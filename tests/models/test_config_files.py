"""Configurations as dictionaries, JSON and files, as documented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import transformers

from hiera_video import HieraConfig, HieraForImageClassification, HieraForVideoClassification
from hiera_video.errors import CheckpointError, ConfigError
from tests.models.small import DECODER, IMAGE, VIDEO

CONFIGS: dict[str, dict[str, Any]] = {
    "default": {},
    "no labels": {**IMAGE, "num_labels": 0},
    "two names": {**IMAGE, "id2label": {0: "run", 1: "sit"}},
    "clips": {**VIDEO, **DECODER, "num_labels": 3, "problem_type": "multi_label_classification"},
    "stages": {**IMAGE, "out_indices": [0, -1], "output_attentions": True, "return_dict": False},
    "ours": {**VIDEO, "head": "attentive", "head_dropout": 0.1, "num_labels": 1},
}


@pytest.fixture(params=CONFIGS)
def config(request: pytest.FixtureRequest) -> HieraConfig:
    return HieraConfig(**CONFIGS[request.param])


def test_round_trips(config: HieraConfig, tmp_path: Path) -> None:
    assert HieraConfig.from_dict(config.to_dict()) == config
    assert HieraConfig.from_dict(config.to_diff_dict()) == config
    for use_diff in (True, False):
        text = config.to_json_string(use_diff)
        assert HieraConfig.from_dict(json.loads(text)) == config
        config.to_json_file(tmp_path / "config.json", use_diff)
        assert (tmp_path / "config.json").read_text() == text
        assert HieraConfig.from_json_file(tmp_path / "config.json") == config
    config.save_pretrained(tmp_path / "new" / "folder")
    for source in (tmp_path / "new" / "folder", tmp_path / "new" / "folder" / "config.json"):
        back = HieraConfig.from_pretrained(source)
        assert back == config
        assert back.to_dict() == config.to_dict()


def test_given_values_are_in_the_string() -> None:
    for values in CONFIGS.values():
        text = json.loads(HieraConfig(**values).to_json_string())
        differ = {"id2label": {"0": "run", "1": "sit"}}
        for name, value in values.items():
            assert text[name] == differ.get(name, value)


@pytest.mark.parametrize("changes", [{}, {"num_labels": 3}, {"output_attentions": True}])
def test_a_difference_holds_what_that_of_transformers_does(changes: dict[str, Any]) -> None:
    ours = HieraConfig(**changes).to_diff_dict()
    theirs = transformers.HieraConfig(**changes).to_diff_dict()
    derived = {"hidden_size", "stage_names", "model_type", "transformers_version"}
    own = {name for name in ours if name not in transformers.HieraConfig().to_dict()}
    assert ours.keys() - own == theirs.keys() - derived
    for name in ours.keys() - own - {"id2label"}:  # whose keys are text in JSON
        assert ours[name] == theirs[name]
    assert ours["hidden_act"] == "gelu"
    assert "return_dict" not in ours


def test_derived_properties() -> None:
    for values in (IMAGE, {}, {"embed_dim": 144, "num_heads": [2, 4, 8, 16]}):
        ours, theirs = HieraConfig(**values), transformers.HieraConfig(**values)
        assert ours.hidden_size == theirs.hidden_size
        assert ours.stage_names == theirs.stage_names
        assert ours.num_hidden_layers == len(theirs.depths)


def test_overrides_and_what_is_no_field(tmp_path: Path) -> None:
    HieraConfig(**IMAGE).save_pretrained(tmp_path)
    changed = HieraConfig.from_pretrained(tmp_path, num_labels=5, output_attentions=True)
    assert changed == HieraConfig(**IMAGE, num_labels=5, output_attentions=True)
    with pytest.raises(ConfigError, match="num_label: unknown key, did you mean num_labels"):
        HieraConfig.from_pretrained(tmp_path, num_label=5)
    given, unused = HieraConfig.from_pretrained(
        tmp_path, return_unused_kwargs=True, num_labels=5, foo=False
    )
    assert (given.num_labels, unused) == (5, {"foo": False})
    assert HieraConfig.from_pretrained(tmp_path, return_unused_kwargs=True) == (
        HieraConfig(**IMAGE),
        {},
    )


def test_the_class_of_a_saved_model_stays(tmp_path: Path) -> None:
    HieraForVideoClassification(HieraConfig(**VIDEO)).save_pretrained(tmp_path)
    HieraConfig(**VIDEO, id2label={0: "run", 1: "sit"}).save_pretrained(tmp_path)
    loaded = HieraForVideoClassification.from_pretrained(tmp_path)
    assert loaded.config.id2label == {0: "run", 1: "sit"}


def test_from_a_checkpoint_of_transformers(tmp_path: Path) -> None:
    values: dict[str, Any] = {**IMAGE, "num_labels": 3, "out_features": ["stage1", "stage2"]}
    theirs = transformers.HieraConfig(**values)
    theirs.problem_type = "single_label_classification"
    theirs.save_pretrained(tmp_path)
    ours = HieraConfig.from_pretrained(tmp_path)
    assert (ours.num_labels, ours.stages_out) == (3, ["stage1", "stage2"])
    assert (ours.embed_dim, ours.problem_type) == (24, "single_label_classification")


def test_where_a_configuration_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = HieraConfig(**IMAGE)
    config.save_pretrained(tmp_path / "a" / "b")
    assert HieraConfig.from_pretrained(tmp_path, subfolder="a/b") == config
    with pytest.raises(CheckpointError, match=r"has no folder 'c', given as subfolder"):
        HieraConfig.from_pretrained(tmp_path, subfolder="c")
    with pytest.raises(CheckpointError, match=r"revision='v2' is for ids of the hub, and this is"):
        HieraConfig.from_pretrained(tmp_path / "a/b", revision="v2")
    with pytest.raises(CheckpointError, match=r"config\.json: cannot be read"):
        HieraConfig.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"nowhere: no such file or directory$"):
        HieraConfig.from_pretrained(tmp_path / "nowhere")
    asked = []

    def download(repo_id: str, filename: str, **where: Any) -> str:
        asked.append((repo_id, filename, where))
        return str(tmp_path / "a/b/config.json")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert HieraConfig.from_pretrained("some/model", subfolder="x", revision="v2") == config
    assert asked == [("some/model", "config.json", {"subfolder": "x", "revision": "v2"})]


def test_files_that_are_no_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("[1]")
    with pytest.raises(CheckpointError, match=r"config\.json: wanted an object, got list"):
        HieraConfig.from_pretrained(tmp_path)
    path.write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json: is not valid JSON"):
        HieraConfig.from_pretrained(tmp_path)
    path.write_text(json.dumps({"embed_dim": 96, "stages": [2, 3, 16, 3]}))
    with pytest.raises(CheckpointError, match=r"is in the official layout, and says less"):
        HieraConfig.from_pretrained(tmp_path)


def test_every_kind_of_problem_is_kept(tmp_path: Path) -> None:
    problem = "multi_label_classification"
    config = HieraConfig(**IMAGE, num_labels=3, problem_type=problem)
    HieraForImageClassification(config).save_pretrained(tmp_path)
    assert HieraForImageClassification.from_pretrained(tmp_path).config.problem_type == problem
    with pytest.raises(ConfigError, match="problem_type: input should be 'regression', 'single"):
        HieraConfig(problem_type="clustering")
