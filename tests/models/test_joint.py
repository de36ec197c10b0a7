"""One encoder, trained on images and clips in turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hiera_video import HieraConfig, HieraForImageClassification, HieraForVideoClassification
from hiera_video.errors import ConfigError
from hiera_video.models.joint import HieraForJointClassification
from tests.models.small import IMAGE, VIDEO, clips, images


def make_joint() -> HieraForJointClassification:
    return HieraForJointClassification(
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


def test_other_encoders_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"depths is \[1, 1, 2, 1\] for images and \[1, "):
        HieraForJointClassification(
            HieraForImageClassification(HieraConfig(**IMAGE)),
            HieraForVideoClassification(HieraConfig(**{**VIDEO, "depths": [1, 1, 1, 1]})),
        )
