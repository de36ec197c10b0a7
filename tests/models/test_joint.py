"""One encoder, trained on images and clips in turn."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hiera_video import (
    HieraConfig,
    HieraForImageClassification,
    HieraForPreTraining,
    HieraForVideoClassification,
)
from hiera_video.errors import CheckpointError, ConfigError
from hiera_video.models.joint import HieraForJointTraining
from hiera_video.models.layouts import files, read_checkpoint
from tests.models.small import DECODER, IMAGE, VIDEO, clips, images


def make_joint() -> HieraForJointTraining:
    return HieraForJointTraining(
        HieraForImageClassification(HieraConfig(**IMAGE, num_labels=5)),
        HieraForVideoClassification(HieraConfig(**VIDEO, num_labels=3)),
    ).train()


def test_steps_on_images_and_clips_change_the_same_encoder(tmp_path: Path) -> None:
    joint: Any = make_joint()
    encoder = joint.images.hiera.encoder
    assert joint.clips.hiera.encoder is encoder
    names = [name for name, _ in joint.named_parameters()]
    assert len(names) == len({id(p) for p in joint.parameters()})
    optimizer = torch.optim.SGD(joint.parameters(), lr=1.0)
    for pixel_values, own, other in (
        (images(), joint.images, joint.clips),
        (clips(), joint.clips, joint.images),
    ):
        shared = encoder.stages[2][0].mlp.fc1.weight
        before = [w.detach().clone() for w in (shared, own.classifier.weight)]
        untouched = other.hiera.patch_embedding.projection.weight.detach().clone()
        optimizer.zero_grad()
        joint(pixel_values, labels=torch.tensor([0, 2])).loss.backward()
        optimizer.step()
        assert not torch.equal(shared, before[0])
        assert not torch.equal(own.classifier.weight, before[1])
        assert torch.equal(other.hiera.patch_embedding.projection.weight, untouched)

    joint.clips.save_pretrained(tmp_path)
    alone = HieraForVideoClassification.from_pretrained(tmp_path)
    assert torch.equal(alone(clips()).logits, joint.eval()(clips()).logits)


def test_both_are_saved_and_loaded_whole(tmp_path: Path) -> None:
    joint: Any = make_joint().eval()
    joint.save_pretrained(tmp_path)
    for folder, text in ((".", '{"stride": 7}'), ("images", '{"short_side": 80}')):
        (tmp_path / folder / "preprocessor.json").write_text(text)
    again: Any = HieraForJointTraining.from_pretrained(tmp_path)
    assert (again.preprocessor, again.source) == (b'{"stride": 7}', str(tmp_path))
    again.save_pretrained(tmp_path / "copy")
    for folder in (".", "images"):
        of_copy = tmp_path / "copy" / folder / "preprocessor.json"
        assert of_copy.read_text() == (tmp_path / folder / "preprocessor.json").read_text()
    assert again.images.hiera.encoder is again.clips.hiera.encoder
    for pixel_values in (images(), clips()):
        assert torch.equal(again(pixel_values).logits, joint(pixel_values).logits)
    of_images = HieraForImageClassification.from_pretrained(tmp_path / "images")
    assert torch.equal(of_images(images()).logits, joint(images()).logits)
    with pytest.raises(ConfigError, match="joint models are loaded as they were saved"):
        HieraForJointTraining.from_pretrained(tmp_path, num_labels=3)
    shutil.rmtree(tmp_path / "images")
    with pytest.raises(CheckpointError, match=r"images: no such file or directory"):
        HieraForJointTraining.from_pretrained(tmp_path)


def test_exactly_two_checkpoints(tmp_path: Path) -> None:
    joint: Any = make_joint().eval()
    joint.save_pretrained(tmp_path)
    of_images, of_clips = read_checkpoint(tmp_path / "images"), read_checkpoint(tmp_path)
    before = torch.get_rng_state()
    again: Any = HieraForJointTraining.from_checkpoints(of_images, of_clips)
    assert torch.equal(torch.get_rng_state(), before)
    assert again.images.hiera.encoder is again.clips.hiera.encoder
    assert not any(p.is_meta for p in again.parameters())
    for name, tensor in joint.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)
    assert torch.equal(
        HieraForJointTraining.from_pretrained(joint.to_checkpoint())(clips()).logits,
        joint(clips()).logits,
    )
    with pytest.raises(CheckpointError, match="wanted a model of images beside it"):
        HieraForJointTraining.from_pretrained(of_clips)
    of_now = replace(
        of_clips, config=HieraConfig.from_dict(of_clips.config.to_dict(), drop_path_rate=0.3)
    )
    changed: Any = HieraForJointTraining.from_checkpoints(of_images, of_now)
    assert changed.images.config.drop_path_rate == changed.images.hiera.config.drop_path_rate == 0.3
    del of_images.weights["classifier.bias"]
    with pytest.raises(CheckpointError, match=r"images: .*missing: classifier\.bias"):
        HieraForJointTraining.from_checkpoints(of_images, of_clips)


def test_decoders_stay_apart() -> None:
    of_images: Any = HieraForPreTraining(HieraConfig(**{**IMAGE, **DECODER}))
    of_clips: Any = HieraForPreTraining(HieraConfig(**{**VIDEO, **DECODER}))
    joint: Any = HieraForJointTraining(of_images, of_clips)
    assert of_images.hiera.encoder is of_clips.hiera.encoder
    assert of_images.decoder is not of_clips.decoder
    assert joint(images()).loss.isfinite()
    assert joint(clips()).loss.isfinite()


def test_both_come_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_joint().save_pretrained(tmp_path)
    monkeypatch.setattr(files, "snapshot_download", lambda repo_id: str(tmp_path))
    assert isinstance(HieraForJointTraining.from_pretrained("me/joint"), HieraForJointTraining)


def test_drop_path_is_that_of_the_encoder() -> None:
    of_images = HieraForImageClassification(HieraConfig(**IMAGE, drop_path_rate=0.5))
    of_clips = HieraForVideoClassification(HieraConfig(**VIDEO, drop_path_rate=0.1))
    HieraForJointTraining(of_images, of_clips)
    assert of_images.config.drop_path_rate == 0.1


def test_other_pairs_are_refused() -> None:
    of_images = HieraForImageClassification(HieraConfig(**IMAGE))
    of_clips = HieraForVideoClassification(HieraConfig(**VIDEO))
    decoder = HieraForPreTraining(HieraConfig(**{**VIDEO, **DECODER}))
    for pair, message in (
        ((of_clips, of_clips), "wanted a model of images and one of clips"),
        ((decoder, decoder), "wanted a model of images and one of clips"),
        ((of_images, of_images), "wanted a model of images and one of clips"),
        ((of_images, decoder), "wanted two classifiers, or two models to pre-train; got images="),
        ((of_images, of_clips.hiera), "clips=HieraModel"),
    ):
        with pytest.raises(ConfigError, match=message):
            HieraForJointTraining(*pair)


def test_other_encoders_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"depths is \[1, 1, 2, 1\] for images and \[1, "):
        HieraForJointTraining(
            HieraForImageClassification(HieraConfig(**IMAGE)),
            HieraForVideoClassification(HieraConfig(**{**VIDEO, "depths": [1, 1, 1, 1]})),
        )
