"""Mixup and cutmix mix clips and targets by the same shares, all frames alike."""

from __future__ import annotations

import torch

from hiera_video.config import AugmentSettings
from hiera_video.data.mixing import Mixing


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
