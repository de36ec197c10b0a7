"""Every regulariser does in a run what it is for: single steps of plain descent from known weights.

A step of SGD without momentum moves the weights by its gradient times the rate, so that what a
setting changes shows in the move as a number.

Axes: B clips, C channels, T H W frames, rows, columns.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from hiera_video.config.machinery import parse_settings
from hiera_video.models.classification import HieraClassifier, HieraForVideoClassification
from hiera_video.training.run import train
from hiera_video.training.settings import TrainRun
from hiera_video.training.validation import Validation
from tests.support import TINY_ARGUMENTS, TinyDataset

Weights = dict[str, Tensor]
RATE = 0.1
#: What drops, drops nothing less than everything: one clip in a million would be left.
ALWAYS = 0.999999


def train_steps(dataset: TinyDataset, output_dir: Path, *settings: str) -> Weights:
    """The weights that a run of three steps ends with, of those that are shared."""
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


Step = Callable[..., Weights]


@pytest.fixture(scope="module")
def start(tiny_checkpoint: Path) -> Weights:
    """Where every step begins."""
    return load_file(tiny_checkpoint / "model.safetensors")


@pytest.fixture(scope="module")
def step(
    tiny_dataset: TinyDataset,
    tiny_checkpoint: Path,
    start: Weights,
    tmp_path_factory: pytest.TempPathFactory,
) -> Step:
    """By how much one step with all videos moves each weight."""

    def move(*settings: str) -> Weights:
        common = [f"init_from={tiny_checkpoint}", "train.batch_size=36", f"optimizer.lr={RATE}"]
        common += ["optimizer.name=sgd", "optimizer.momentum=0", "optimizer.weight_decay=0"]
        folder = tmp_path_factory.mktemp("step") / "run"
        ended = train_steps(tiny_dataset, folder, *common, *settings)
        assert ended.keys() == start.keys()
        return {name: ended[name] - start[name] for name in start}

    return move


@pytest.fixture(scope="module")
def plain(step: Step) -> Weights:
    moves = step()
    assert all(move.abs().max() > 1e-5 for name, move in moves.items() if "norm" not in name)
    return moves


def assert_moves(found: Tensor, wanted: Tensor, name: str) -> None:
    torch.testing.assert_close(
        found, wanted, rtol=1e-3, atol=1e-6, msg=lambda text: f"{name}: {text}"
    )


def test_layer_decay_lowers_the_steps_of_early_layers(step: Step, plain: Weights) -> None:
    for name, move in step("optimizer.layer_decay=0.5").items():
        layers_after = 0
        if "embedding" in name:
            layers_after = 5
        elif ".stages." in name:
            layers_after = 4 - int(name.partition(".stages.")[2][0])
        assert_moves(move, plain[name] / 2**layers_after, name)


def test_weight_decay_shrinks_matrices(step: Step, plain: Weights, start: Weights) -> None:
    for name, move in step("optimizer.weight_decay=0.5").items():
        decays = start[name].ndim > 1 and "position_embedding" not in name
        assert_moves(move, plain[name] - decays * RATE * 0.5 * start[name], name)


def test_clipping_shortens_the_step_and_keeps_its_direction(step: Step, plain: Weights) -> None:
    length = torch.stack([move.norm() for move in plain.values()]).norm()
    assert length > 2 * RATE * 0.01
    for name, move in step("train.clip_grad_norm=0.01").items():
        assert_moves(move, plain[name] * RATE * 0.01 / length, name)


def test_dropped_paths_leave_the_last_block_as_it_is(step: Step, plain: Weights) -> None:
    """The rate grows from none at the first block to what is set at the last."""
    moves = step(f"model.drop_path_rate={ALWAYS}")
    last = [name for name in moves if ".stages.3.0.mlp." in name]
    assert len(last) == 4
    assert all(plain[name].any() and not moves[name].any() for name in last)
    assert all(moves[name].any() for name in moves if ".stages.0.0.mlp." in name)


def test_dropped_features_leave_only_the_bias_of_the_head(step: Step, plain: Weights) -> None:
    moves = step(f"model.head_dropout={ALWAYS}")
    assert {name for name, move in moves.items() if move.any()} == {"classifier.bias"}


def test_smoothed_labels_move_the_head_in_proportion(step: Step, plain: Weights) -> None:
    """The gradient is linear in the targets."""
    name = "classifier.weight"
    little, more = (step(f"train.label_smoothing={share}")[name] for share in (0.2, 0.4))
    assert (little - plain[name]).abs().max() > 1e-3
    assert_moves(more - plain[name], 2 * (little - plain[name]), name)


# What the model sees.
Seen = Callable[..., Tensor]


@pytest.fixture
def seen(step: Step, monkeypatch: pytest.MonkeyPatch) -> Seen:
    """The clips ``(B, C, T, H, W)`` of a step, as the model is given them."""
    forward = HieraClassifier.forward
    given: list[Tensor] = []

    def watched(self: HieraClassifier, pixel_values: Tensor, **named: Any) -> Any:
        given.append(pixel_values)
        return forward(self, pixel_values, **named)

    monkeypatch.setattr(HieraClassifier, "forward", watched)

    def see(*settings: str) -> Tensor:
        step(*settings)
        return given[-1]  # the first one only counts memory

    return see


def test_mixup_blends_each_clip_with_its_neighbour(seen: Seen) -> None:
    clips, mixed = seen(), seen("augment.mixup_alpha=0.8")
    others = clips.roll(1, 0)
    share = ((mixed - others) * (clips - others)).sum() / (clips - others).square().sum()
    assert 0.01 < share < 0.99
    torch.testing.assert_close(mixed, share * clips + (1 - share) * others, rtol=0, atol=1e-4)


def test_cutmix_puts_a_box_of_its_neighbour_into_each_clip(seen: Seen) -> None:
    clips, mixed = seen(), seen("augment.cutmix_alpha=1")
    own, pasted = mixed == clips, mixed == clips.roll(1, 0)
    assert (own | pasted).all()
    assert_boxes(~own)


def test_random_erasing_fills_a_box_of_each_clip(seen: Seen) -> None:
    assert_boxes(seen("augment.random_erasing=1") != seen())


def assert_boxes(changed: Tensor) -> None:
    """What is changed of ``(B, C, T, H, W)`` is a box in each clip, the same in all its frames."""
    for clip in changed:
        picture = clip.any(0).any(0)
        rows, columns = picture.any(1), picture.any(0)
        box = rows[:, None] & columns
        assert 0 < box.sum() < box.numel()
        for mask in (rows, columns):  # without gaps
            assert mask.diff().sum() <= 2
        # A value may be what it was before, by chance.
        assert (picture & box).sum() > 0.9 * box.sum()
        assert clip[:, :, box].float().mean() > 0.8


def test_random_augmentation_alters_most_clips(seen: Seen) -> None:
    clips, altered = seen(), seen("augment.rand_augment_num_ops=2")
    differ = (altered != clips).flatten(1).any(1)
    assert len(clips) / 2 < differ.sum()
    # And nothing else: another crop would differ everywhere.
    assert (altered == clips).float().mean() > 0.05


def test_gradient_checkpointing_changes_nothing(tiny_dataset: TinyDataset, tmp_path: Path) -> None:
    # AdamW makes whole steps of rounding errors where gradients are zero, as for biases of keys.
    plain, checkpointed = (
        train_steps(
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
    """It begins with the first step's weights, and goes half of the way to each of the next."""
    validated: list[Weights] = []

    def measure(_: Any, model: nn.Module) -> dict[str, float]:
        validated.append({name: t.clone() for name, t in model.state_dict().items()})
        return {"val/top1": 0.5}

    monkeypatch.setattr(Validation, "measure", measure)
    more = ["train.checkpoint_steps=1", "train.keep_checkpoints=3"]
    more.append(f"data.val.manifest={tiny_dataset.val}")
    train_steps(tiny_dataset, tmp_path / "run", "train.ema_decay=0.5", *more)
    shared = HieraForVideoClassification.from_pretrained(tmp_path / "run" / "best").state_dict()
    one, two, three = (
        torch.load(checkpoint / "training_state.pt", weights_only=True)["weights"]
        for checkpoint in sorted((tmp_path / "run" / "checkpoints").iterdir())
    )
    (average,) = validated
    for name, tensor in shared.items():
        assert average[name].equal(tensor)
        wanted = one[name] / 4 + two[name] / 4 + three[name] / 2
        torch.testing.assert_close(tensor, wanted, rtol=0, atol=1e-6)
    assert not average["classifier.weight"].equal(three["classifier.weight"])


def test_rates_of_all_layers_are_shown_once(
    tiny_dataset: TinyDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_steps(tiny_dataset, tmp_path / "run", "optimizer.layer_decay=0.5")
    output = capsys.readouterr().out
    # Four blocks: 3e-3 at the head, half of it at each layer before.
    line = "layers     embeddings 9.4e-05, blocks 0.00019 0.00038 0.00075 0.0015, head 0.003\n"
    assert output.count(line) == 1
