"""The table of variants: sizes and costs, counted on the models themselves.

``hiera-video models`` prints it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from hiera_video.models.registry import create_model
from hiera_video.models.variants import VARIANTS, list_models, parse_name, variant_config


@dataclass(frozen=True)
class VariantCost:
    """``multiply_adds`` is for one view: a 224x224 image, or 16 frames of that size.

    ``top1_percent`` is the published accuracy of the fine-tuned model; None for pre-training.
    """

    name: str
    num_parameters: int
    multiply_adds: int
    top1_percent: float | None


@cache
def variant_cost(name: str) -> VariantCost:
    """Count a named variant's parameters and multiply-adds, without allocating its weights.

    Multiply-adds count matrix products and convolutions, attention included.
    """
    config = variant_config(name)
    with torch.device("meta"):
        model = create_model(name).eval()
        pixel_values = torch.empty(1, config.num_channels, *config.image_size)
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            model(pixel_values)
    size, is_video, is_pretraining = parse_name(name)
    accuracy = VARIANTS[size].kinetics400 if is_video else VARIANTS[size].imagenet1k
    return VariantCost(
        name=name,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        multiply_adds=counter.get_total_flops() // 2,
        top1_percent=None if is_pretraining else accuracy,
    )


def variants_table() -> Table:
    """All named variants, ready to print."""
    table = Table(
        title="Hiera variants",
        caption="Multiply-adds per view: one 224x224 image or one 16x224x224 clip; for mae_ models "
        "with the published share of mask units hidden. Published top-1 of fine-tuned models: "
        "ImageNet-1K (images), Kinetics-400 with 5x3 views (clips).",
    )
    table.add_column("name", no_wrap=True)
    for title in ("parameters (M)", "multiply-adds (G)", "published top-1 (%)"):
        table.add_column(title, justify="right")
    for name in list_models():
        cost = variant_cost(name)
        table.add_row(
            name,
            f"{cost.num_parameters / 1e6:.1f}",
            f"{cost.multiply_adds / 1e9:.1f}",
            "" if cost.top1_percent is None else f"{cost.top1_percent:.1f}",
        )
    return table
