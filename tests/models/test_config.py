"""Every setting that does not fit is refused with a message that names the fix."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hiera_video import (
    HieraConfig,
    HieraForImageClassification,
    HieraForVideoClassification,
    create_model,
)
from hiera_video.errors import ConfigError
from hiera_video.models.activations import ACTIVATIONS
from hiera_video.models.config import ACTIVATION_NAMES
from tests.models.small import VIDEO


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"embed_dims": 96}, "embed_dims: unknown key, did you mean embed_dim?"),
        ({"image_size": [224]}, r"image_size=\[224\]: wanted \[H, W\] or \[T, H, W\]"),
        ({"image_size": [16, 224, 224]}, r"patch_size=\[7, 7\] has 2 values and image_size"),
        ({"image_size": [224, 230]}, r"230 on axis W \(nearest: 224 or 256\)"),
        ({"initializer_range": 0}, "initializer_range: "),
        ({"depths": []}, "at least one block per stage"),
        ({"num_heads": [1, 2]}, r"num_heads=\[1, 2\] has 2 values and depths"),
        ({"num_heads": [1, 2, 4, 7]}, "do not divide the stage widths"),
        ({"num_query_pool": 4}, "at most 3 poolings"),
        ({"separate_position_embeddings": True}, r"needs an image_size of \[T, H, W\]"),
        (
            {"global_position_size": [7]},
            r"global_position_size=\[7\]: wanted one value per axis",
        ),
        ({"patch_size": [12, 7]}, r"axis H: patch_size - 2 \* patch_padding must be in 1\.\."),
        ({"patch_stride": [0, 4]}, "values are too small"),
        ({"masked_unit_size": [8, 4]}, r"does not divide 4 on axis W; nearest that would do: 8"),
        ({"num_labels": 3, "id2label": {0: "a"}}, "id2label names 1 labels and num_labels=3"),
        (
            {"num_labels": 1, "problem_type": "single_label_classification"},
            "problem_type=single_label_classification and num_labels=1: there is nothing to tell",
        ),
        ({"hidden_act": "gleu"}, "hidden_act='gleu': valid: gelu, "),
        ({"decoder_hidden_size": 512}, "a decoder needs decoder_depth, decoder_num_heads too"),
        (
            {"decoder_hidden_size": 50, "decoder_depth": 1, "decoder_num_heads": 16},
            "decoder_num_heads=16 does not divide decoder_hidden_size=50",
        ),
        ({"out_features": ["stage5"]}, "out_features: 'stage5' is no stage"),
        ({"out_indices": [5]}, "out_indices: 5 is no stage, valid: 0 to 4"),
        ({"out_features": ["stage1"], "out_indices": [2]}, "name different stages"),
    ],
)
def test_refusals(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refusal:
        HieraConfig(**values)
    assert "\n" not in str(refusal.value)


def test_dictionary_and_json(tmp_path: Path) -> None:
    config = HieraConfig(**VIDEO, id2label={0: "run", 1: "jump", 2: "sit"})
    assert config.num_labels == 3
    assert HieraConfig.from_dict(config.to_dict()) == config
    config.to_json_file(tmp_path / "config.json")
    assert HieraConfig.from_json_file(tmp_path / "config.json") == config
    HieraForVideoClassification(config).save_pretrained(tmp_path / "checkpoint")
    assert HieraConfig.from_json_file(tmp_path / "checkpoint/config.json") == config


def test_a_config_does_not_change() -> None:
    config = HieraConfig(**VIDEO, id2label={0: "run", 1: "jump", 2: "sit"})
    with pytest.raises(ConfigError, match=r"num_labels=5: a HieraConfig does not change; make"):
        setattr(config, "num_labels", 5)  # noqa: B010 (typed as what cannot be set)
    assert config.num_labels == 3
    assert HieraConfig.from_dict(config.to_dict(), num_labels=5).num_labels == 5


def test_a_config_is_checked_once_on_the_way_to_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = []
    check = HieraConfig._check_sizes

    def counted(self: HieraConfig) -> None:
        checks.append(1)
        check(self)

    monkeypatch.setattr(HieraConfig, "_check_sizes", counted)
    small = {name: VIDEO[name] for name in ("image_size", "embed_dim", "depths", "num_heads")}
    create_model("hiera_base_16x224", **small, num_labels=3)
    assert len(checks) == 1


def test_a_config_is_made_without_torch() -> None:
    """The package itself is left out: it decides for itself what its own import brings."""
    program = """
import sys, types
package = types.ModuleType("hiera_video")
package.__path__ = [sys.argv[1]]
sys.modules["hiera_video"] = package
from hiera_video.models.variants import variant_config
variant_config("hiera_base_16x224")
print(sorted(name for name in ("torch", "numpy", "torchvision") if name in sys.modules))
"""
    package = Path(__file__).parents[2] / "hiera_video"
    command = [sys.executable, "-c", program, str(package)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_every_activation_has_a_function() -> None:
    assert tuple(ACTIVATIONS) == ACTIVATION_NAMES


def test_labels_of_other_types() -> None:
    by_text = HieraConfig(label2id={"yes": "0", "no": "1"})
    assert by_text.id2label == {0: "yes", 1: "no"}
    assert HieraConfig(num_labels=None, id2label={"0": "yes"}).num_labels == 1
    with pytest.raises(ConfigError, match="label2id: input should be a valid dictionary"):
        HieraConfig(label2id=3)
    with pytest.raises(ConfigError, match="num_labels: input should be greater"):
        HieraConfig(num_labels=-1)


def test_labels_are_replaced_together() -> None:
    values = HieraConfig(num_labels=3).to_dict()
    assert HieraConfig.from_dict(values, num_labels=5).label2id["LABEL_4"] == 4  # type: ignore[index]
    assert HieraConfig.from_dict(values, id2label={0: "yes", 1: "no"}).num_labels == 2
    by_name = HieraConfig.from_dict(values, label2id={"yes": 0, "no": 1})
    assert by_name.id2label == {0: "yes", 1: "no"}
    assert HieraConfig.from_dict(by_name.to_dict(), num_labels=2) == by_name


def test_models_for_the_other_kind_of_input() -> None:
    with pytest.raises(ConfigError, match=r"clips need \[T, H, W\]"):
        HieraForVideoClassification(HieraConfig())
    with pytest.raises(ConfigError, match=r"images need \[H, W\]"):
        HieraForImageClassification(HieraConfig(**VIDEO))
