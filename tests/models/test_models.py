"""What the model classes promise, for images and clips."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hiera_video import (
    HieraBackbone,
    HieraConfig,
    HieraForImageClassification,
    HieraForPreTraining,
    HieraForVideoClassification,
    HieraModel,
)
from hiera_video.errors import ConfigError
from hiera_video.models import attention, encoder
from hiera_video.models.encoder import Block, Stage
from tests.models.small import DECODER, IMAGE, VIDEO, clips, images
from tests.parity.compare import randomize

KINDS = {"image": (IMAGE, images()), "clip": (VIDEO, clips())}


def make(cls: type[Any], base: dict[str, Any], **changes: Any) -> Any:
    decoder = DECODER if cls is HieraForPreTraining else {}
    model = cls(HieraConfig(**{**base, **decoder, **changes})).eval()
    randomize(model)
    return model


def grids(kind: str) -> list[tuple[int, ...]]:
    time = () if kind == "image" else (2,)
    return [(*time, n, n) for n in (16, 16, 8, 4, 2)]


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_of_the_model(kind: str) -> None:
    base, pixel_values = KINDS[kind]
    model = make(HieraModel, base)
    output = model(pixel_values, output_hidden_states=True, output_attentions=True)
    widths = [24, 24, 48, 96, 192]
    for state, map_, size, width in zip(
        output.hidden_states, output.reshaped_hidden_states, grids(kind), widths, strict=True
    ):
        assert map_.shape == (2, *size, width)
        assert state.shape == (2, map_[0, ..., 0].numel(), width)
        assert torch.equal(state.sort(1).values, map_.flatten(1, -2).sort(1).values)
    units = 4 if kind == "image" else 8
    tokens = units  # one token a unit is left in the end
    assert [tuple(w.shape) for w in output.attentions] == [
        (2, 1, units, 64, 64),
        (2, 2, units, 16, 64),  # one block: its queries are pooled, its keys are not
        (2, 4, 1, 4 * tokens, 4 * tokens),
        (2, 8, 1, tokens, 4 * tokens),
    ]
    for weights in output.attentions:
        assert torch.allclose(weights.sum(-1), torch.ones(()), atol=1e-5)
    assert torch.equal(output.last_hidden_state, output.hidden_states[-1])
    assert output[0] is output.last_hidden_state
    assert output["pooler_output"] is output[1]
    plain = model(pixel_values, return_dict=False)
    assert isinstance(plain, tuple)
    assert [t.shape for t in plain] == [output[0].shape, (2, 192)]
    # The path that returns attentions and the fused one compute the same.
    assert torch.allclose(plain[1], output.pooler_output, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_masked_encoder(kind: str) -> None:
    base, pixel_values = KINDS[kind]
    model = make(HieraModel, base, mask_ratio=0.5)
    assert model(pixel_values).bool_masked_pos is None
    masked = HieraModel(model.config, add_pooling_layer=False, is_mae=True)
    output = masked(pixel_values, output_hidden_states=True)
    units = 4 if kind == "image" else 8
    assert output.pooler_output is None
    assert output.bool_masked_pos.sum(1).tolist() == [units // 2] * 2
    assert output.ids_restore.shape == (2, units)
    assert output.reshaped_hidden_states[0].shape[:2] == (2, units // 2)
    with pytest.raises(ConfigError, match="wanted one value per sample and mask unit"):
        masked(pixel_values, noise=torch.rand(2, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_pixels_do_not_matter(kind: str) -> None:
    base, pixel_values = KINDS[kind]
    model = make(HieraForPreTraining, base)
    noise = torch.arange(model.config.num_units).expand(2, -1).float()
    changed = pixel_values.clone()
    changed[..., 32:, :] += 5 * torch.randn_like(changed[..., 32:, :])
    if kind == "image":  # units 2 and 3, the lower ones, are hidden
        first, second = (model(p, noise=noise) for p in (pixel_values, changed))
        assert torch.equal(first.logits, second.logits)
        assert first.loss != second.loss
        assert first.bool_masked_pos.tolist() == [[True] * 8 + [False] * 8] * 2
    else:  # units 4 to 7, the second token time, are hidden: its frames are 2 and 3
        changed = pixel_values.clone()
        changed[:, :, 2:] += 1
        first, second = (model(p, noise=noise) for p in (pixel_values, changed))
        assert first.bool_masked_pos.tolist() == [[True] * 16 + [False] * 16] * 2
        assert torch.equal(first.logits, second.logits)


def test_pretraining_needs_a_decoder() -> None:
    with pytest.raises(ConfigError, match="pre-training needs a decoder: give decoder_hidden_size"):
        HieraForPreTraining(HieraConfig(**IMAGE))


def test_pretraining_needs_something_to_predict() -> None:
    with pytest.raises(ConfigError, match=r"hides none of an input's 4 mask units: .* 0\.25"):
        make(HieraForPreTraining, IMAGE, mask_ratio=0.0)
    with pytest.raises(ConfigError, match=r"hides all of an input's 4 mask units: .* 0\.75"):
        make(HieraForPreTraining, IMAGE, mask_ratio=0.8)


def test_weights_start_as_those_of_the_official_package() -> None:
    """Biases of linear layers at 0.02, of convolutions as PyTorch's."""
    torch.manual_seed(0)
    model = HieraForVideoClassification(HieraConfig(**VIDEO)).hiera
    bias = model.get_parameter("encoder.stages.0.0.mlp.fc1.bias")
    assert torch.equal(bias, torch.full_like(bias, 0.02))
    bias = model.get_parameter("patch_embedding.projection.bias")
    limit = (3 * 3 * 7 * 7) ** -0.5
    assert bias.std().item() == pytest.approx(limit / 3**0.5, rel=0.4)
    assert bias.abs().max() <= limit


@pytest.mark.parametrize("cls", [HieraForImageClassification, HieraForVideoClassification])
def test_the_scale_of_a_new_classifier_is_that_of_its_head_alone(cls: type[Any]) -> None:
    base, _ = KINDS["image" if cls is HieraForImageClassification else "clip"]
    starts = []
    for scale in (1.0, 0.001):
        torch.manual_seed(0)
        starts.append(cls(HieraConfig(**base, num_labels=3, head_init_scale=scale)).state_dict())
    plain, scaled = starts
    assert plain["classifier.weight"].std() > 0.01
    for name, tensor in plain.items():
        expected = tensor * 0.001 if name.startswith("classifier.") else tensor
        assert torch.equal(scaled[name], expected), name


def test_pretraining_loss_without_normalisation() -> None:
    model = make(HieraForPreTraining, IMAGE, normalize_pixel_loss=False)
    output = model(images(), noise=torch.rand(2, 4))
    patches = images().unfold(2, 16, 16).unfold(3, 16, 16)  # (B, C, h, w, 16, 16)
    targets = patches.permute(0, 2, 3, 1, 4, 5).reshape(2, 16, -1)
    hidden = ~output.bool_masked_pos
    assert torch.allclose(output.loss, F.mse_loss(output.logits[hidden], targets[hidden]))


@pytest.mark.parametrize("kind", KINDS)
def test_backbone_is_the_models_maps_normalised(kind: str) -> None:
    base, pixel_values = KINDS[kind]
    stages = ["stem", "stage1", "stage2", "stage3", "stage4"]
    backbone = make(HieraBackbone, base, out_features=stages)
    assert backbone.channels == [24, 24, 48, 96, 192]
    maps = backbone.hiera(pixel_values, output_hidden_states=True).reshaped_hidden_states
    output = backbone(pixel_values, output_hidden_states=True, output_attentions=True)
    assert len(output.hidden_states) == 5
    assert len(output.attentions) == 4
    for stage, map_, feature_map in zip(stages, maps, output.feature_maps, strict=True):
        normed = backbone.norms[stage](map_).movedim(-1, 1)
        assert torch.allclose(feature_map, normed, atol=1e-5)
    only_last = make(HieraBackbone, base)
    assert len(only_last(pixel_values, return_dict=False)[0]) == 1


@pytest.mark.parametrize("cls", [HieraForImageClassification, HieraForVideoClassification])
def test_losses(cls: type[Any]) -> None:
    base, pixel_values = KINDS["image" if cls is HieraForImageClassification else "clip"]
    model = make(cls, base, num_labels=3)
    labels = torch.tensor([2, 0])
    output = model(pixel_values, labels=labels)
    assert torch.allclose(output.loss, F.cross_entropy(output.logits, labels))
    single = make(cls, base, num_labels=1)
    output = single(pixel_values, labels=torch.tensor([1, 3]))
    assert torch.allclose(output.loss, F.mse_loss(output.logits[:, 0], torch.tensor([1.0, 3.0])))
    features = make(cls, base, num_labels=0)
    assert features(pixel_values).logits.shape == (2, 192)


@torch.no_grad()
def test_fused_attention_gets_four_dimensions(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    fused = F.scaled_dot_product_attention

    def watch(query: Tensor, key: Tensor, value: Tensor, _: None) -> Tensor:
        seen.extend(t.ndim for t in (query, key, value))
        return fused(query, key, value)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watch)
    model = make(HieraForVideoClassification, VIDEO)
    mask = [torch.ones(heads) for heads in VIDEO["num_heads"]]
    model(clips())
    model(clips(), head_mask=mask)
    make(HieraForPreTraining, VIDEO)(clips())
    assert len(seen) == 3 * (5 + 5 + 6)
    assert set(seen) == {4}
    model(clips(), output_attentions=True)
    assert len(seen) == 3 * (5 + 5 + 6 + 1)  # only stages' last blocks give weights


@torch.no_grad()
def test_a_batch_larger_than_kernels_take_is_attended_to_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make(HieraForVideoClassification, VIDEO)
    whole = model(clips()).logits
    monkeypatch.setattr(attention, "_LARGEST_BATCH", 6)  # of the 16 mask units of two clips
    with mock.patch.object(
        F, "scaled_dot_product_attention", wraps=F.scaled_dot_product_attention
    ) as fused:
        parts = model(clips()).logits
    assert max(len(call.args[0]) for call in fused.call_args_list) == 6
    assert torch.allclose(parts, whole, atol=1e-6)


def test_training_on_a_cpu_multiplies_small_matrices_itself_to_the_same_gradients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make(HieraForVideoClassification, VIDEO).train()
    gradients = []
    for is_slower in (attention._fused_kernel_is_slower, lambda query, key: False):
        monkeypatch.setattr(attention, "_fused_kernel_is_slower", is_slower)
        with mock.patch.object(
            F, "scaled_dot_product_attention", wraps=F.scaled_dot_product_attention
        ) as fused:
            model.zero_grad()
            model(clips()).logits.square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
        assert fused.called == (len(gradients) == 2)
    for plain, from_fused in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, from_fused, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_head_mask(kind: str) -> None:
    base, pixel_values = KINDS[kind]
    model = make(HieraModel, base)
    plain = model(pixel_values).pooler_output
    ones = [None, torch.ones(2), torch.ones(4), None]
    assert torch.allclose(model(pixel_values, head_mask=ones).pooler_output, plain, atol=1e-5)
    half = [None, torch.tensor([1.0, 0.0]), None, None]
    masked = model(pixel_values, head_mask=half, output_attentions=True)
    assert masked.attentions[1][:, 1].abs().max() == 0
    assert masked.attentions[1][:, 0].abs().max() > 0
    fused = model(pixel_values, head_mask=half).pooler_output
    assert torch.allclose(fused, masked.pooler_output, atol=1e-5)
    assert not torch.allclose(fused, plain, atol=1e-3)
    # A head that is masked out might as well have a projection of zeros.
    with torch.no_grad():
        model.encoder.stages[1][0].attention.projection.weight[:, 24:] = 0
    assert torch.allclose(model(pixel_values).pooler_output, fused, atol=1e-5)
    with pytest.raises(ConfigError, match="head_mask has shapes"):
        model(pixel_values, head_mask=[None, torch.ones(3), None, None])
    rounded = make(HieraModel, base).bfloat16()
    with torch.no_grad():
        for arguments in ({}, {"output_attentions": True}):
            output = rounded(pixel_values.bfloat16(), head_mask=half, **arguments)
            assert output.pooler_output.dtype == torch.bfloat16
            assert output.pooler_output.isfinite().all()
    with pytest.raises(ConfigError, match="head_mask has shapes"):
        model(pixel_values, head_mask=[None])
    equal = make(HieraModel, base, num_heads=[2, 2, 2, 2])
    one = equal(pixel_values, head_mask=torch.tensor([1.0, 0.5])).pooler_output
    each = equal(pixel_values, head_mask=torch.tensor([[1.0, 0.5]] * 4)).pooler_output
    assert torch.equal(one, each)


@pytest.mark.parametrize("cls", [HieraForVideoClassification, HieraForPreTraining])
def test_gradient_checkpointing(cls: type[Any]) -> None:
    model = make(cls, VIDEO).train()
    arguments = (
        {"labels": torch.tensor([0, 1])}
        if cls is HieraForVideoClassification
        else {"noise": torch.rand(2, 8)}
    )
    found = []
    num_blocks = sum(isinstance(module, Block) for module in model.modules())
    for enable, num_recomputed in (
        (model.gradient_checkpointing_disable, 0),
        (model.gradient_checkpointing_enable, num_blocks),
    ):
        enable()
        model.zero_grad()
        with mock.patch.object(encoder, "checkpoint", wraps=encoder.checkpoint) as recompute:
            model(clips(), **arguments).loss.backward()
        assert recompute.call_count == num_recomputed
        found.append({name: p.grad.clone() for name, p in model.named_parameters()})
    stages = [module for module in model.modules() if isinstance(module, Stage)]
    assert all(stage.gradient_checkpointing for stage in stages)
    for name, gradient in found[0].items():
        assert torch.allclose(gradient, found[1][name], atol=1e-6), name


@pytest.mark.parametrize("cls", [HieraForVideoClassification, HieraForPreTraining])
def test_compiles_as_one_graph(cls: type[Any]) -> None:
    model = make(cls, VIDEO)
    arguments = {"noise": torch.rand(2, 8)} if cls is HieraForPreTraining else {}
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert torch.allclose(compiled(clips(), **arguments).logits, model(clips(), **arguments).logits)


def test_activation_by_name() -> None:
    output = {
        name: make(HieraModel, IMAGE, hidden_act=name)(images()).pooler_output
        for name in ("gelu", "relu", "gelu_pytorch_tanh")
    }
    assert not torch.allclose(output["gelu"], output["relu"], atol=1e-2)
    assert torch.allclose(output["gelu"], output["gelu_pytorch_tanh"], atol=1e-1)


def test_drop_path_and_dropout_act_in_training_only() -> None:
    model = make(HieraForImageClassification, IMAGE, drop_path_rate=0.5, head_dropout=0.5)
    assert torch.equal(model(images()).logits, model(images()).logits)
    model.train()
    assert not torch.equal(model(images()).logits, model(images()).logits)


def test_configured_outputs() -> None:
    model = make(
        HieraModel, IMAGE, output_hidden_states=True, output_attentions=True, return_dict=False
    )
    assert len(model(images())) == 5


@pytest.mark.parametrize(
    ("pixel_values", "message"),
    [
        (torch.zeros(1, 3, 64, 96), r"shape \(1, 3, 64, 96\), wanted \(B, 3, 64, 64\)"),
        (torch.zeros(1, 1, 64, 64), r"shape \(1, 1, 64, 64\)"),
        (torch.zeros(1, 3, 4, 64, 64), r"shape \(1, 3, 4, 64, 64\)"),
    ],
)
def test_inputs_that_do_not_fit(pixel_values: Tensor, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(HieraModel, IMAGE)(pixel_values)


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_that_are_not_normalised_are_refused(kind: str) -> None:
    """Bytes as they come out of a file, in each class of model."""
    base, pixel_values = KINDS[kind]
    classifier = HieraForImageClassification if kind == "image" else HieraForVideoClassification
    for cls in (HieraModel, HieraBackbone, HieraForPreTraining, classifier):
        for dtype in (torch.uint8, torch.int64):
            told = (
                f"pixel_values is {dtype}, wanted float pixels, normalised as the checkpoint says: "
                "load_clips gives such, of a file"
            )
            with pytest.raises(ConfigError, match=told):
                make(cls, base)(pixel_values.to(dtype))
