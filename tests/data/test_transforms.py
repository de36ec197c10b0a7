"""Views of a clip: alike for all frames, a function of the seed, crops where they belong."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from hiera_video.config.clip_groups import AugmentSettings, ClipSettings
from hiera_video.data.sampling import RULES
from hiera_video.data.transforms import EvaluationViews, TrainView

CLIP = ClipSettings(num_frames=4, crop_size=32)
#: Rule -> where three crops begin along a side with 25, and with 27 pixels too many. The middle is
#: at 12.5 and at 13.5: ours is rounded, halves to even; others round up, or down.
THREE_CROPS = {
    "hiera_video": ([0, 12, 25], [0, 14, 27]),
    "pyslowfast": ([0, 13, 25], [0, 14, 27]),
    "pyslowfast_no_offset": ([0, 13, 25], [0, 14, 27]),
    "videomae": ([0, 12, 25], [0, 13, 27]),
    "mmaction2": ([0, 12, 24], [0, 13, 26]),
    "pytorchvideo": ([0, 13, 25], [0, 14, 27]),
    "pytorchvideo_main": ([0, 13, 25], [0, 14, 27]),
    "segments": ([0, 13, 25], [0, 14, 27]),
}


def still_clip() -> torch.Tensor:
    """The same random picture four times, (T, C, H, W)."""
    picture = torch.randint(0, 256, (3, 48, 64), generator=torch.Generator().manual_seed(0))
    return picture.to(torch.uint8).expand(4, -1, -1, -1)


def test_all_frames_are_treated_alike() -> None:
    augment = AugmentSettings(rand_augment_num_ops=3, rand_augment_magnitude=9)
    view = TrainView(augment, CLIP)
    for seed in range(10):
        frames = view(still_clip(), seed)
        assert frames.shape == (4, 3, 32, 32)
        assert frames.dtype == torch.uint8
        assert frames[1:].equal(frames[:1].expand(3, -1, -1, -1))


def test_views_are_a_function_of_the_seed() -> None:
    view = TrainView(AugmentSettings(rand_augment_num_ops=2), CLIP)
    state = torch.get_rng_state()
    assert view(still_clip(), 1).equal(view(still_clip(), 1))
    assert not view(still_clip(), 1).equal(view(still_clip(), 2))
    assert torch.get_rng_state().equal(state)


def test_the_crop_is_that_of_torchvision() -> None:
    augment = AugmentSettings(horizontal_flip=0.0)
    resized = v2.RandomResizedCrop(32, augment.scale, augment.ratio, antialias=True)
    frames = torch.stack([still_clip()[0], still_clip()[0].flip(1)])
    for seed in range(5):
        torch.manual_seed(seed)
        assert TrainView(augment, CLIP)(frames, seed).equal(resized(frames))


def test_flip_probability_is_kept() -> None:
    whole = {"scale": (1.0, 1.0), "ratio": (4 / 3, 4 / 3)}
    frames = still_clip()
    never = TrainView(AugmentSettings(horizontal_flip=0.0, **whole), CLIP)
    always = TrainView(AugmentSettings(horizontal_flip=1.0, **whole), CLIP)
    assert never(frames, 3).flip(-1).equal(always(frames, 3))


def test_rand_augment_changes_the_picture() -> None:
    plain = TrainView(AugmentSettings(horizontal_flip=0), CLIP)
    strong = TrainView(AugmentSettings(horizontal_flip=0, rand_augment_num_ops=2), CLIP)
    assert any(not plain(still_clip(), s).equal(strong(still_clip(), s)) for s in range(5))


def test_three_crops_lie_left_centre_right() -> None:
    columns = torch.arange(64).expand(1, 3, 32, 64).to(torch.uint8)
    crops = EvaluationViews(CLIP, 3)(columns)
    assert [crop[0, 0, 0, 0].item() for crop in crops] == [0, 16, 32]
    assert all(crop.shape == (1, 3, 32, 32) for crop in crops)


def test_three_crops_of_a_tall_clip_lie_top_centre_bottom() -> None:
    rows = torch.arange(64)[:, None].expand(1, 3, 64, 32).to(torch.uint8)
    assert [c[0, 0, 0, 0].item() for c in EvaluationViews(CLIP, 3)(rows)] == [0, 16, 32]


@pytest.mark.parametrize("rule", RULES)
def test_where_crops_lie_is_the_rule_of_the_clip(rule: str) -> None:
    clip = ClipSettings.model_validate({"num_frames": 1, "crop_size": 32, "sampling": rule})
    for free, positions in zip((25, 27), THREE_CROPS[rule], strict=True):
        columns = torch.arange(32 + free).expand(1, 3, 32, -1).to(torch.uint8)
        rows = columns.transpose(-1, -2)
        for frames in (columns, rows):
            crops = EvaluationViews(clip, 3)(frames)
            assert [crop[0, 0, 0, 0].item() for crop in crops] == positions
            (centre,) = EvaluationViews(clip, 1)(frames)
            assert centre[0, 0, 0, 0] == positions[1]


def test_one_crop_is_the_centre_after_resizing_the_short_side() -> None:
    columns = torch.arange(64).expand(1, 3, 48, 64).to(torch.uint8)
    clip = ClipSettings(num_frames=1, crop_size=32, short_side=48)
    (crop,) = EvaluationViews(clip, 1)(columns)
    assert crop[0, 0, 0].tolist() == list(range(16, 48))
    assert EvaluationViews(CLIP, 1)(columns)[0].shape == (1, 3, 32, 32)


def test_interpolation_is_what_was_asked_for() -> None:
    frames, views = still_clip()[:1], []
    for interpolation in ("bilinear", "bicubic"):
        clip = ClipSettings.model_validate(
            {"num_frames": 1, "crop_size": 32, "interpolation": interpolation}
        )
        (view,) = EvaluationViews(clip, 1)(frames)
        wanted = F.resize(frames, [32], InterpolationMode(interpolation), antialias=True)
        assert view.equal(wanted[..., 5:37])
        views += [view, TrainView(AugmentSettings(), clip)(frames, 0)]
    assert not views[0].equal(views[2])
    assert not views[1].equal(views[3])


def test_erased_boxes_are_noise_of_the_colours_that_pixels_are_normalised_by() -> None:
    clip = ClipSettings(crop_size=64, mean=(0.2, 0.5, 0.8), std=(0.05, 0.05, 0.1))
    view = TrainView(AugmentSettings(random_erasing=1.0), clip)
    black = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    erased = view(black, seed=3)
    assert torch.equal(erased[0], erased[1])
    inside = erased[0, :, erased[0, 2] > 0].float() / 255
    assert inside.shape[1] > 0.02 * 64 * 64
    assert inside.mean(1).tolist() == pytest.approx(clip.mean, abs=0.02)
    assert inside.std(1).tolist() == pytest.approx(clip.std, rel=0.2)
