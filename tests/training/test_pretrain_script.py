"""``scripts/pretrain.py``: real runs, and what fine-tuning makes of them."""

from __future__ import annotations

import re
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from safetensors.torch import load_file

from hiera_video import HieraForPreTraining
from hiera_video.config.machinery import parse_settings
from hiera_video.errors import ConfigError
from hiera_video.models import encoder
from hiera_video.models.preprocessor import load_preprocessor
from hiera_video.training.run import pretrain, train
from hiera_video.training.saving import Checkpoints
from hiera_video.training.settings import PretrainRun, TrainRun
from tests.forked import start_forked
from tests.support import (
    TINY_ARGUMENTS,
    TINY_PRETRAINING_ARGUMENTS,
    TinyDataset,
    error_line,
    forget_accelerator,
    logged,
    read_manifest,
    run_script,
    succeed,
    write_manifest,
)

ARGUMENTS = [
    *TINY_PRETRAINING_ARGUMENTS,
    "data.num_workers=0",
    "train.batch_size=6",
    "optimizer.lr=3e-3",
]


@pytest.fixture(scope="module")
def unlabelled(tiny_dataset: TinyDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of the training videos with paths and nothing else."""
    rows = [(tiny_dataset.folder / path,) for path, _ in read_manifest(tiny_dataset.train)]
    return write_manifest(tmp_path_factory.mktemp("manifest") / "m.csv", rows, header="path")


@pytest.fixture(scope="module")
def pretrained(unlabelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten epochs in five passes over the videos, by ``accelerate launch``."""
    output_dir = tmp_path_factory.mktemp("pretrained") / "run"
    arguments = [
        *ARGUMENTS,
        f"data.train.manifest={unlabelled}",
        f"output_dir={output_dir}",
        "train.epochs=10",
        "train.repeated_sampling=2",
        "train.log_steps=12",
    ]
    output = succeed(run_script("pretrain", *arguments, accelerate=True))
    assert "10: 5 passes of 12 steps, 2 clips per video and pass" in output
    return output_dir


def test_the_loss_falls(pretrained: Path) -> None:
    assert len(logged(pretrained, "train/loss")) == 5
    assert logged(pretrained, "train/loss")[-1] < 0.9 * logged(pretrained, "train/loss")[0]


def test_the_checkpoint_describes_itself(pretrained: Path) -> None:
    model = HieraForPreTraining.from_pretrained(pretrained / "last")
    assert model.config.mask_ratio == 0.5
    assert load_preprocessor(model).crop_size == 64
    assert not (pretrained / "best").exists()  # nothing was validated


def test_fine_tuning_starts_from_its_encoder(
    pretrained: Path, tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    run = parse_settings(
        TrainRun,
        [
            *TINY_ARGUMENTS,
            "clip.crop_size=64",
            f"init_from={pretrained / 'last'}",
            f"data.train.manifest={tiny_dataset.train}",
            f"output_dir={tmp_path / 'run'}",
            "data.num_workers=0",
            "train.batch_size=36",
            "train.epochs=1",
            "optimizer.lr=1e-12",
            "optimizer.min_lr=0",
            "optimizer.weight_decay=0",
        ],
    )
    train(run)
    before = load_file(pretrained / "last" / "model.safetensors")
    after = load_file(tmp_path / "run" / "last" / "model.safetensors")
    shared = {name for name in before if re.match(r"hiera\.(patch|position|encoder)", name)}
    assert len(shared) > 40
    for name in shared:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-9)


def test_an_interrupted_run_goes_on_to_the_same_weights(
    pretrained: Path, unlabelled: Path, tmp_path: Path
) -> None:
    arguments = [
        *ARGUMENTS,
        f"data.train.manifest={unlabelled}",
        f"output_dir={tmp_path / 'run'}",
        "train.epochs=10",
        "train.repeated_sampling=2",
        "train.checkpoint_steps=30",  # in the middle of the third pass
    ]
    run = parse_settings(PretrainRun, arguments)
    with pytest.raises(KeyboardInterrupt):
        pretrain_until(run, step=30)
    forget_accelerator()
    pretrain(run)
    one = load_file(pretrained / "last" / "model.safetensors")
    other = load_file(tmp_path / "run" / "last" / "model.safetensors")
    assert all(one[name].equal(other[name]) for name in one)


def pretrain_until(run: PretrainRun, step: int) -> None:
    """Interrupt a run right after the checkpoint of a step."""
    save = Checkpoints.save

    def save_and_stop(self: Checkpoints, *arguments: object) -> None:
        save(self, *arguments)  # type: ignore[arg-type]
        self.wait()
        if self.directory(step).exists():
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", save_and_stop)
        pretrain(run)


def test_decoder_masking_is_a_setting_that_the_checkpoint_keeps(
    unlabelled: Path, tmp_path: Path
) -> None:
    arguments = [f"data.train.manifest={unlabelled}", f"output_dir={tmp_path / 'run'}"]
    arguments += ["model.decoder_mask_ratio=0.5", "train.epochs=2", "train.log_steps=6"]
    pretrain(parse_settings(PretrainRun, [*ARGUMENTS, *arguments]))
    model = HieraForPreTraining.from_pretrained(tmp_path / "run" / "last")
    assert model.config.decoder_mask_ratio == 0.5
    assert logged(tmp_path / "run", "train/loss")[-1] < logged(tmp_path / "run", "train/loss")[0]


def test_a_classifier_is_refused(unlabelled: Path, tmp_path: Path) -> None:
    arguments = [f"data.train.manifest={unlabelled}", f"output_dir={tmp_path}"]
    result = run_script("pretrain", *arguments, "model.name=hiera_base_16x224")
    assert error_line(result) == ("model.name=hiera_base_16x224: pre-training wants a mae_ model")


@pytest.mark.parametrize(
    "setting", ["train.label_smoothing=0.1", "augment.mixup_alpha=0.8", "model.head_dropout=0.5"]
)
def test_settings_of_labels_are_refused(setting: str, unlabelled: Path, tmp_path: Path) -> None:
    given = [*ARGUMENTS, f"data.train.manifest={unlabelled}", f"output_dir={tmp_path}", setting]
    key = re.escape(setting.partition("=")[0])
    with pytest.raises(ConfigError, match=f"{key}: unknown key, "):
        parse_settings(PretrainRun, given)


def test_training_refuses_a_pretraining_model(tiny_dataset: TinyDataset, tmp_path: Path) -> None:
    arguments = [f"data.train.manifest={tiny_dataset.train}", f"output_dir={tmp_path}"]
    run = parse_settings(TrainRun, [*arguments, "model.name=mae_hiera_base_16x224"])
    with pytest.raises(ConfigError, match="training wants hiera_base_16x224, with the pre-trained"):
        train(run)


def test_two_processes_share_a_step(unlabelled: Path, tmp_path: Path) -> None:
    arguments = [
        *ARGUMENTS,
        f"data.train.manifest={unlabelled}",
        f"output_dir={tmp_path / 'run'}",
        "train.batch_size=3",
        "train.epochs=2",
        "train.log_steps=6",
    ]
    run = start_forked("pretrain", arguments, tmp_path / "log", num_processes=2)
    assert run.wait() == [0, 0], run.output
    assert "6 clips: 3 x 2 processes x 1 accumulated" in run.output
    assert len(logged(tmp_path / "run", "train/loss")) == 2


@pytest.mark.usefixtures("whole_runs")
def test_gradient_checkpointing_is_a_setting(unlabelled: Path, tmp_path: Path) -> None:
    """Of six steps, and of the one whose memory is counted first, each of the five blocks, one of
    them the decoder's, is recomputed once."""
    counts = []
    for value in ("false", "true"):
        arguments = [
            *ARGUMENTS,
            f"data.train.manifest={unlabelled}",
            f"output_dir={tmp_path / value}",
            f"train.gradient_checkpointing={value}",
            "train.epochs=1",
        ]
        with patch.object(encoder, "checkpoint", wraps=encoder.checkpoint) as recompute:
            pretrain(parse_settings(PretrainRun, arguments))
        forget_accelerator()
        counts.append(recompute.call_count)
    assert counts == [0, (1 + 6) * 5]
