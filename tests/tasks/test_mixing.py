"""Mixup and cutmix mix clips and targets by the same shares, all frames alike."""

from __future__ import annotations

import pytest
import torch

from hiera_video.config.clip_groups import AugmentSettings
from hiera_video.tasks.mixing import Mixing


def constant_clips(num_clips: int) -> torch.Tensor:
    """Clip i is i everywhere, (B, C, T, H, W)."""
    return torch.arange(num_clips).float().view(-1, 1, 1, 1, 1).expand(-1, 3, 4, 16, 16)


def test_without_mixing_targets_are_one_hot() -> None:
    clips, targets = Mixing(AugmentSettings(), 3)(constant_clips(3), torch.tensor([2, 0, 1]))
    assert clips.equal(constant_clips(3))
    assert targets.equal(torch.eye(3)[[2, 0, 1]])


def test_mixup_mixes_values_and_targets_alike() -> None:
    torch.manual_seed(0)
    mixing = Mixing(AugmentSettings(mixup_alpha=0.8), 4)
    clips, targets = mixing(constant_clips(4), torch.arange(4))
    assert clips.shape == (4, 3, 4, 16, 16)
    torch.testing.assert_close(targets.sum(1), torch.ones(4))
    # Clip i has value i and class i, so a mixed clip's value is its targets' mean class.
    torch.testing.assert_close(clips[:, 0, 0, 0, 0], targets @ torch.arange(4).float())
    assert ((targets > 0) & (targets < 1)).any()


def test_cutmix_pastes_the_same_box_into_every_frame() -> None:
    torch.manual_seed(1)
    mixing = Mixing(AugmentSettings(cutmix_alpha=1.0), 4)
    clips, targets = mixing(constant_clips(4), torch.arange(4))
    assert clips.equal(clips[:, :1, :1].expand_as(clips))
    torch.testing.assert_close(clips.mean((1, 2, 3, 4)), targets @ torch.arange(4).float())
    assert ((targets > 0) & (targets < 1)).any()


def test_with_both_on_both_are_used() -> None:
    mixing = Mixing(AugmentSettings(mixup_alpha=0.8, cutmix_alpha=1.0), 4)
    kinds = set()
    for seed in range(20):
        torch.manual_seed(seed)
        clips, _ = mixing(constant_clips(4), torch.arange(4))
        whole = clips == clips.round()
        kinds.add("cutmix" if whole.all() else "mixup")
    assert kinds == {"mixup", "cutmix"}


def test_an_empty_batch_passes_through() -> None:
    mixing = Mixing(AugmentSettings(mixup_alpha=0.8), 4)
    clips, targets = mixing(torch.zeros(0, 3, 4, 16, 16), torch.zeros(0, dtype=torch.int64))
    assert clips.shape[0] == 0
    assert targets.shape == (0, 4)


def test_images_are_mixed_too() -> None:
    images = constant_clips(4)[:, :, 0]
    for augment in (AugmentSettings(mixup_alpha=0.8), AugmentSettings(cutmix_alpha=1.0)):
        torch.manual_seed(1)
        mixed, targets = Mixing(augment, 4)(images, torch.arange(4))
        assert mixed.shape == images.shape
        torch.testing.assert_close(mixed.mean((1, 2, 3)), targets @ torch.arange(4).float())
        assert ((targets > 0) & (targets < 1)).any()


@pytest.mark.parametrize("augment", [{"mixup_alpha": 1.0}, {"cutmix_alpha": 1.0}])
def test_clips_of_one_video_are_not_mixed_with_each_other(augment: dict[str, float]) -> None:
    """Three videos, two clips of each side by side: every target has two classes."""
    torch.manual_seed(0)
    mixing = Mixing(AugmentSettings(**augment), 3, repeats=2)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    for _ in range(5):
        clips, targets = mixing(torch.rand(6, 3, 4, 32, 32), labels)
        assert clips.shape == (6, 3, 4, 32, 32)
        assert ((targets > 0).sum(1) <= 2).all()
        assert torch.allclose(targets.sum(0), torch.full((3,), 2.0))
        mixed = targets[targets.max(1).values < 1]
        assert len(mixed) in (0, 6)  # all of them, or none where a box has no area
    assert len(mixed) == 6


def test_mixup_and_cutmix_leave_the_same_memory_order() -> None:
    """A compiled model is compiled anew for another one."""
    for settings in (AugmentSettings(mixup_alpha=0.8), AugmentSettings(cutmix_alpha=1.0)):
        clips, _ = Mixing(settings, 4)(constant_clips(4), torch.arange(4))
        assert clips.is_contiguous()
