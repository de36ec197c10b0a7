"""Pre-training: which patches are predicted, from what, and what the loss is the mean of."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hiera_video import HieraConfig, HieraForPreTraining
from hiera_video.models.encoder import Block
from hiera_video.models.mae import from_patches, to_patches
from tests.models.small import DECODER, IMAGE, VIDEO, clips, images
from tests.parity.compare import randomize

KINDS = {"image": (IMAGE, images()), "clip": (VIDEO, clips())}


def make(kind: str, **changes: Any) -> HieraForPreTraining:
    model = HieraForPreTraining(HieraConfig(**{**KINDS[kind][0], **DECODER, **changes})).eval()
    randomize(model)
    return model


def noise_for(model: HieraForPreTraining) -> Tensor:
    return torch.rand(2, model.config.num_units, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", KINDS)
def test_patches_and_pixels_are_each_others_inverse(kind: str) -> None:
    """And a patch is a square of the first frame of its token."""
    base, pixel_values = KINDS[kind]
    config = HieraConfig(**base, num_query_pool=2)
    patches = to_patches(config, pixel_values)
    frames = pixel_values if kind == "image" else pixel_values[:, :, ::2]
    assert from_patches(config, patches, (64, 64)).equal(frames)
    assert patches.shape[1:] == (16 if kind == "image" else 32, 16 * 16 * 3)
    square = (frames if kind == "image" else frames[:, :, 0])[..., 16:32, 48:64]
    assert patches[:, 7].sort(1).values.equal(square.flatten(1).sort(1).values)


@pytest.mark.parametrize("kind", KINDS)
def test_decoder_masking_predicts_the_hidden_units_of_smallest_noise(kind: str) -> None:
    model, pixel_values = make(kind, decoder_mask_ratio=0.5), KINDS[kind][1]
    noise = noise_for(model)
    output = model(pixel_values, noise=noise)
    num_units = model.config.num_units
    ids = output.ids_predicted
    assert ids.shape == (2, num_units // 4 * 4)  # half of the hidden half, four patches a unit
    assert output.logits.shape == (*ids.shape, 768)
    assert not output.bool_masked_pos.gather(1, ids).any()
    assert (~output.bool_masked_pos).sum(1).tolist() == [num_units // 2 * 4] * 2
    assert ids.equal(ids.sort(1).values)
    order = noise.argsort(1)
    for sample in range(2):
        units = order[sample, num_units // 2 : num_units // 4 * 3]
        # Units are 2 x 2 patches of a frame that has 4 x 4.
        time, row, column = units // 4, units // 2 % 2, units % 2
        first = time * 16 + row * 8 + column * 2
        wanted = first[:, None] + torch.tensor([0, 1, 4, 5])
        assert ids[sample].equal(wanted.flatten().sort().values)


@pytest.mark.parametrize("kind", KINDS)
def test_decoder_masking_is_attention_that_never_sees_what_is_left_out(kind: str) -> None:
    """Against a decoder over all patches, written out, in which nobody attends to the others."""
    masking, pixel_values = make(kind, decoder_mask_ratio=0.5, decoder_depth=2), KINDS[kind][1]
    plain = make(kind, decoder_depth=2)
    plain.load_state_dict(masking.state_dict())
    noise = noise_for(masking)
    output = masking(pixel_values, noise=noise)
    ids = output.ids_predicted
    seen = output.bool_masked_pos.clone().scatter_(1, ids, True)

    def attend_to_seen(module: nn.Module, inputs: tuple[Any, ...], _: object) -> tuple[Any, ...]:
        block = cast(Block, module)
        x = inputs[0].squeeze(1)
        qkv = block.attention.qkv(block.norm1(x)).unflatten(
            -1, (3, DECODER["decoder_num_heads"], -1)
        )
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen[:, None, None])
        x = x + block.attention.projection(mixed.transpose(1, 2).flatten(2))
        x = x + block.mlp(block.norm2(x))
        return x.unsqueeze(1), None

    for block in plain.decoder.blocks:
        block.register_forward_hook(attend_to_seen)
    reference = plain(pixel_values, noise=noise)
    expected = reference.logits.gather(1, ids[..., None].expand(-1, -1, 768))
    torch.testing.assert_close(output.logits, expected, rtol=1e-4, atol=1e-4)
    assert reference.ids_predicted is None

    targets = plain.pixel_targets(pixel_values, ids)
    torch.testing.assert_close(output.loss, F.mse_loss(expected, targets))
    assert not torch.allclose(output.loss, reference.loss)


def test_every_hidden_unit_is_predicted_without_decoder_masking() -> None:
    """And with so little of it that no whole unit is left out, the numbers are the same."""
    plain, little = make("clip"), make("clip", decoder_mask_ratio=0.1)
    little.load_state_dict(plain.state_dict())
    noise = noise_for(plain)
    whole, same = plain(clips(), noise=noise), little(clips(), noise=noise)
    hidden = ~whole.bool_masked_pos
    assert same.ids_predicted.equal(hidden.nonzero()[:, 1].view(2, -1))
    torch.testing.assert_close(same.logits, whole.logits[hidden].view_as(same.logits))
    torch.testing.assert_close(same.loss, whole.loss)


def test_decoder_masking_always_leaves_a_unit_to_predict() -> None:
    output = make("clip", decoder_mask_ratio=0.999)(clips())
    assert output.ids_predicted.shape == (2, 4)
    assert output.loss.isfinite()


def test_decoder_masking_saves_computing_and_still_trains() -> None:
    """Half of the patches in a decoder of two blocks: half of what linear layers cost there."""
    counted = {}
    for ratio in (0.0, 0.75):
        model = make("clip", mask_ratio=2 / 3, decoder_mask_ratio=ratio, decoder_depth=2).train()
        with FlopCounterMode(display=False) as counter:
            model(clips(), noise=noise_for(model)).loss.backward()
        counted[ratio] = sum(counter.get_flop_counts()["HieraForPreTraining.decoder"].values())
        without_gradient = [n for n, p in model.named_parameters() if p.grad is None]
        assert without_gradient == []
    assert counted[0.75] < 0.5 * counted[0.0]
