"""Every regulariser reaches the weights: a run without it ends elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from hiera_video.config.machinery import parse_settings
from hiera_video.models.classification import HieraForVideoClassification
from hiera_video.training.run import train
from hiera_video.training.settings import TrainRun
from hiera_video.training.validation import Validation
from tests.support import TINY_ARGUMENTS, TinyDataset

#: What one run more each says of the settings together; what each does, the tests of its parts say.
MORE_REGULARISERS = [
    "augment.rand_augment_num_ops=2",
    "augment.random_erasing=1",
    "augment.mixup_alpha=0.8",
    "augment.cutmix_alpha=1",
    "train.label_smoothing=0.1",
    "train.clip_grad_norm=0.1",
    "train.ema_decay=0.5",
    "model.head_dropout=0.5",
    "optimizer.weight_decay=0.5",
]


def train_three_steps(dataset: TinyDataset, output_dir: Path, *settings: str) -> dict[str, Tensor]:
    """The weights that a short run ends with, of those that are shared."""
    arguments = [
        *TINY_ARGUMENTS,
        f"data.train.manifest={dataset.train}",
        f"output_dir={output_dir}",
        "data.num_workers=0",
        "trackers=[]",
        "train.batch_size=12",
        "train.epochs=1",
        "optimizer.lr=3e-3",
        *settings,
    ]
    train(parse_settings(TrainRun, arguments))
    return load_file(output_dir / "last" / "model.safetensors")


@pytest.fixture(scope="module")
def plain(tiny_dataset: TinyDataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    return train_three_steps(tiny_dataset, tmp_path_factory.mktemp("plain") / "run")


@pytest.mark.parametrize(
    "regulariser",
    [
        "model.drop_path_rate=0.5",
        "optimizer.layer_decay=0.5",
        *(pytest.param(setting, marks=pytest.mark.long) for setting in MORE_REGULARISERS),
    ],
)
def test_a_run_without_it_ends_with_other_weights(
    regulariser: str, plain: dict[str, Tensor], tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    regularised = train_three_steps(tiny_dataset, tmp_path / "run", regulariser)
    assert max((regularised[name] - plain[name]).abs().max().item() for name in plain) > 1e-5


@pytest.mark.long
def test_two_clips_of_a_video_in_one_pass_are_not_one_in_each_of_two(
    tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    """As many steps, from other clips."""
    once, twice = (
        train_three_steps(
            tiny_dataset,
            tmp_path / f"run_{repeats}",
            "train.epochs=2",
            f"train.repeated_sampling={repeats}",
        )
        for repeats in (1, 2)
    )
    assert max((once[name] - twice[name]).abs().max().item() for name in once) > 1e-5


def test_gradient_checkpointing_changes_nothing(tiny_dataset: TinyDataset, tmp_path: Path) -> None:
    # AdamW makes whole steps of rounding errors where gradients are zero, as for biases of keys.
    plain, checkpointed = (
        train_three_steps(
            tiny_dataset,
            tmp_path / f"run_{enabled}",
            "optimizer.name=sgd",
            f"train.gradient_checkpointing={enabled}",
        )
        for enabled in ("false", "true")
    )
    for name, tensor in plain.items():
        torch.testing.assert_close(checkpointed[name], tensor, rtol=0, atol=1e-6)


def test_the_average_of_weights_is_what_validates_and_what_is_shared(
    tiny_dataset: TinyDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validated: list[dict[str, Tensor]] = []

    def measure(_: Any, model: nn.Module) -> dict[str, float]:
        validated.append({name: t.clone() for name, t in model.state_dict().items()})
        return {"val/top1": 0.5}

    monkeypatch.setattr(Validation, "measure", measure)
    videos = f"data.val.manifest={tiny_dataset.val}"
    train_three_steps(tiny_dataset, tmp_path / "run", "train.ema_decay=0.5", videos)
    shared = HieraForVideoClassification.from_pretrained(tmp_path / "run" / "best").state_dict()
    (checkpoint,) = (tmp_path / "run" / "checkpoints").iterdir()
    trained = torch.load(checkpoint / "training_state.pt", weights_only=True)["weights"]
    (average,) = validated
    name = "classifier.weight"
    assert average[name].equal(shared[name])
    assert not average[name].equal(trained[name])


def test_rates_of_all_layers_are_shown_once(
    tiny_dataset: TinyDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_three_steps(tiny_dataset, tmp_path / "run", "optimizer.layer_decay=0.5")
    output = capsys.readouterr().out
    # Four blocks: 3e-3 at the head, half of it at each layer before.
    line = "layers     embeddings 9.4e-05, blocks 0.00019 0.00038 0.00075 0.0015, head 0.003\n"
    assert output.count(line) == 1
