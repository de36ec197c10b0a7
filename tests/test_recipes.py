"""Every recipe below ``configs/`` says what the paper's tables say, and can be built."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from hiera_video import HieraForVideoClassification
from hiera_video.commands.evaluate import EvaluateRun
from hiera_video.config.groups import EvaluateSettings
from hiera_video.config.machinery import load_yaml
from hiera_video.models.variants import VARIANTS as VARIANT_TABLE
from hiera_video.models.variants import variant_config
from hiera_video.training.settings import PretrainRun, TrainRun

CONFIGS = Path(__file__).parents[1] / "configs"
VARIANTS = ("base", "base_plus", "large", "huge")
KINETICS = ("kinetics400", "kinetics600", "kinetics700")

#: Files that other recipes build on, and files for other programs.
NOT_RECIPES = {
    f"{dataset}/{kind}.yaml"
    for dataset in ("kinetics400", "imagenet1k")
    for kind in ("pretrain", "finetune")
}

#: Paper, Tab. 11a: drop path, rate at 3200 effective epochs.
PRETRAIN = {
    "base": (0.1, 8e-4),
    "base_plus": (0.2, 8e-4),
    "large": (0.2, 8e-4),
    "huge": (0.4, 3.2e-4),
}
#: Paper, Tab. 11b: epochs, rate, drop path, head dropout, layer decay after 3200 epochs.
FINETUNE = {
    "base": (150, 8e-4, 0.2, 0.3, 0.8),
    "base_plus": (150, 8e-4, 0.2, 0.3, 0.8),
    "large": (100, 8e-4, 0.2, 0.5, 0.875),
    "huge": (100, 4e-4, 0.3, 0.5, 0.875),
}
#: Paper, Tab. 14a: drop path.
IMAGENET_PRETRAIN = {
    "tiny": 0.0,
    "small": 0.0,
    "base": 0.2,
    "base_plus": 0.2,
    "large": 0.2,
    "huge": 0.3,
}
#: Paper, Tab. 14b: epochs, rate, drop path, layer decay; and the published top-1.
IMAGENET_FINETUNE = {
    "tiny": (300, 2e-3, 0.1, 0.65, 82.8),
    "small": (200, 2e-3, 0.1, 0.65, 83.8),
    "base": (100, 2e-3, 0.1, 0.7, 84.5),
    "base_plus": (100, 1e-3, 0.1, 0.7, 85.2),
    "large": (50, 1e-3, 0.1, 0.85, 86.1),
    "huge": (50, 1e-3, 0.3, 0.85, 86.9),
}


def recipes() -> list[str]:
    found = {path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml")}
    return sorted(name for name in found - NOT_RECIPES if not name.startswith("accelerate/"))


def read(name: str) -> Any:
    kind = PretrainRun if "pretrain" in name else TrainRun
    return (EvaluateRun if "evaluate" in name else kind)(**load_yaml(CONFIGS / name))


@pytest.mark.parametrize("name", recipes())
def test_a_recipe_opens_with_its_command_and_can_be_built(name: str) -> None:
    lines = (CONFIGS / name).read_text(encoding="utf-8").splitlines()
    comment = "\n".join(lines[: next(i for i, line in enumerate(lines) if line[:1] != "#")])
    assert f"--config configs/{name}" in comment
    run = read(name)
    if isinstance(run, EvaluateRun):
        return
    config = variant_config(run.model.name)
    assert config.is_video != run.clip.is_image
    size = [run.clip.num_frames, run.clip.crop_size, run.clip.crop_size][-len(config.image_size) :]
    variant_config(run.model.name, **{"image_size": size, **run.model.overrides})
    if not name.startswith("demo/"):
        assert "ot yet run" in comment


def table_of_recipes() -> dict[str, list[str]]:
    """What docs/recipes.md says of each recipe, whose name may be a pattern there: its cells."""
    page = (CONFIGS.parent / "docs/recipes.md").read_text(encoding="utf-8")
    table = {}
    for line in page.splitlines():
        if line.startswith("| `configs/"):
            pattern, *cells = (cell.strip(" `") for cell in line.strip("|").split("|"))
            for path in CONFIGS.parent.glob(pattern):
                table[path.relative_to(CONFIGS).as_posix()] = cells
    return table


def test_the_page_names_every_recipe() -> None:
    assert sorted(table_of_recipes()) == [name for name in recipes() if "evaluate" not in name]


@pytest.mark.parametrize(("name", "cells"), table_of_recipes().items())
def test_the_page_says_what_the_recipe_does(name: str, cells: list[str]) -> None:
    model, step, epochs, rate, published, ran = cells
    run = read(name)
    text = (CONFIGS / name).read_text(encoding="utf-8")
    processes = re.search(r"--num_processes (\d+)", text)
    num_processes, batch_size = int(processes[1]) if processes else 1, run.train.batch_size
    assert model == run.model.name
    assert step == f"{num_processes * batch_size} = {num_processes} x {batch_size}"
    passes, repeats = run.train.num_passes, run.train.repeated_sampling
    assert epochs == f"{run.train.epochs} = {passes} x {repeats}"
    rate, _, lr_batch_size = rate.partition(" per ")  # "8e-4 per 256": of other clips per step
    assert float(rate) == run.optimizer.lr
    assert run.optimizer.lr_batch_size in (None, int(lr_batch_size or num_processes * batch_size))
    top1 = re.search(r"Published top-1: ([\d.]+)[. ]", text)
    if top1 or not name.startswith("kinetics"):  # the page gives Kinetics-400's for all three
        given = top1[1].rstrip(".") if top1 else "in the paper" if "Published" in text else ""
        assert published.removesuffix(" (Kinetics-400)") == given
    assert ran.startswith("not") == ("ot yet run" in text)


@pytest.mark.parametrize("dataset", KINETICS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_kinetics_pretraining_follows_table_11a(dataset: str, variant: str) -> None:
    run = read(f"{dataset}/pretrain_{variant}.yaml")
    drop_path, rate = PRETRAIN[variant]
    config = variant_config(run.model.name, **run.model.overrides)
    assert run.model.name == f"mae_hiera_{variant}_16x224"
    assert (config.mask_ratio, config.drop_path_rate) == (0.9, drop_path)
    assert (config.decoder_hidden_size, config.decoder_depth, config.decoder_num_heads) == (
        512,
        8,
        16,
    )
    assert (run.clip.num_frames, run.clip.stride, run.clip.frames_per_second) == (16, 4, 30)
    assert (run.train.epochs, run.train.repeated_sampling, run.train.num_passes) == (3200, 4, 800)
    assert (run.optimizer.name, run.optimizer.betas) == ("adamw", (0.9, 0.95))
    assert (run.optimizer.lr, run.optimizer.lr_batch_size) == (rate, 512)
    assert (run.optimizer.warmup_epochs, run.optimizer.weight_decay) == (120, 0.05)
    assert (run.augment.scale, run.augment.horizontal_flip) == ((0.5, 1.0), 0.5)
    assert run.data.train.manifest == Path(f"data/{dataset}/train.csv")


@pytest.mark.parametrize("dataset", KINETICS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_kinetics_finetuning_follows_table_11b(dataset: str, variant: str) -> None:
    run = read(f"{dataset}/finetune_{variant}.yaml")
    epochs, rate, drop_path, dropout, layer_decay = FINETUNE[variant]
    config = variant_config(run.model.name, **run.model.overrides)
    assert run.model.name == f"hiera_{variant}_16x224"
    assert (config.drop_path_rate, config.head_dropout) == (drop_path, dropout)
    assert (run.train.epochs, run.train.repeated_sampling) == (epochs, 2)
    assert (run.train.clip_grad_norm, run.train.label_smoothing) == (5.0, 0.1)
    assert (run.optimizer.name, run.optimizer.betas) == ("adamw", (0.9, 0.999))
    assert (run.optimizer.lr, run.optimizer.lr_batch_size) == (rate, 256)
    assert (run.optimizer.warmup_epochs, run.optimizer.weight_decay) == (10, 0.05)
    assert run.optimizer.layer_decay == layer_decay
    augment = run.augment
    assert (augment.rand_augment_num_ops, augment.rand_augment_magnitude) == (2, 7)
    assert (augment.mixup_alpha, augment.cutmix_alpha, augment.random_erasing) == (0.8, 1.0, 0.25)


def test_ssv2_pretraining_follows_table_12a() -> None:
    run = read("ssv2/pretrain_large.yaml")
    config = variant_config(run.model.name, **run.model.overrides)
    assert (config.mask_ratio, config.drop_path_rate) == (0.9, 0.2)
    assert (run.train.epochs, run.train.clip_grad_norm) == (1600, 0.02)
    assert (run.optimizer.lr, run.optimizer.lr_batch_size) == (8e-4, 1024)
    assert (run.optimizer.warmup_epochs, run.augment.horizontal_flip) == (30, 0.0)
    assert (run.clip.sampling, run.clip.frames_per_second) == ("segments", None)


@pytest.mark.parametrize(
    ("name", "rate", "batch", "mixup", "cutmix", "smoothing", "drop_path", "frames"),
    [
        ("finetune_large", 0.16, 256, 0.8, 1.0, 0.1, 0.1, 16),
        ("finetune_large_32", 0.08, 128, 0.0, 0.0, 0.0, 0.2, 32),
    ],
)
def test_ssv2_finetuning_follows_table_12b(
    name: str,
    rate: float,
    batch: int,
    mixup: float,
    cutmix: float,
    smoothing: float,
    drop_path: float,
    frames: int,
) -> None:
    run = read(f"ssv2/{name}.yaml")
    assert (run.optimizer.name, run.optimizer.weight_decay) == ("sgd", 1e-4)
    assert (run.optimizer.lr, run.optimizer.lr_batch_size) == (rate, batch)
    assert (run.optimizer.warmup_epochs, run.train.epochs) == (3, 40)
    assert run.optimizer.layer_decay == 0.875
    assert (run.augment.mixup_alpha, run.augment.cutmix_alpha) == (mixup, cutmix)
    assert (run.train.label_smoothing, run.clip.num_frames) == (smoothing, frames)
    overrides = run.model.overrides
    assert (overrides["drop_path_rate"], overrides["head_dropout"]) == (drop_path, 0.5)
    assert (run.clip.sampling, run.clip.frames_per_second) == ("segments", None)
    views = EvaluateSettings().of(run.clip)  # as scripts/evaluate.py takes them
    assert (views.num_clips, views.num_crops) == (1, 3)


def check_images(run: TrainRun | PretrainRun) -> None:
    """ImageNet's views: 224 pixels, of 256 in validation, its own colours, one at a time."""
    clip = run.clip
    assert (clip.num_frames, clip.crop_size, clip.short_side) == (1, 224, 256)
    assert (clip.mean, clip.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert clip.interpolation == "bicubic"
    assert (run.augment.horizontal_flip, run.train.repeated_sampling) == (0.5, 1)
    assert run.train.num_passes == run.train.epochs
    assert run.data.train.manifest == Path("data/imagenet1k/train.csv")


@pytest.mark.parametrize("variant", IMAGENET_PRETRAIN)
def test_imagenet_pretraining_follows_table_14a(variant: str) -> None:
    run = read(f"imagenet1k/pretrain_{variant}.yaml")
    check_images(run)
    config = variant_config(run.model.name, **run.model.overrides)
    assert run.model.name == f"mae_hiera_{variant}_224"
    assert (config.mask_ratio, config.drop_path_rate) == (0.6, IMAGENET_PRETRAIN[variant])
    assert (config.decoder_hidden_size, config.decoder_depth, config.decoder_num_heads) == (
        512,
        8,
        16,
    )
    assert (run.train.epochs, run.train.clip_grad_norm) == (1600, None)
    assert (run.optimizer.name, run.optimizer.betas) == ("adamw", (0.9, 0.95))
    assert (run.optimizer.lr, run.optimizer.lr_batch_size) == (8e-4, 4096)
    assert (run.optimizer.warmup_epochs, run.optimizer.weight_decay) == (40, 0.05)
    assert run.augment.scale == (0.2, 1.0)


@pytest.mark.parametrize("variant", IMAGENET_FINETUNE)
def test_imagenet_finetuning_follows_table_14b(variant: str) -> None:
    run = read(f"imagenet1k/finetune_{variant}.yaml")
    check_images(run)
    epochs, rate, drop_path, layer_decay, top1 = IMAGENET_FINETUNE[variant]
    config = variant_config(run.model.name, **run.model.overrides)
    assert run.model.name == f"hiera_{variant}_224"
    assert (config.drop_path_rate, config.head_dropout) == (drop_path, 0.0)
    assert (run.train.epochs, run.train.label_smoothing) == (epochs, 0.1)
    assert run.train.clip_grad_norm is None
    assert (run.optimizer.name, run.optimizer.betas) == ("adamw", (0.9, 0.999))
    assert (run.optimizer.lr, run.optimizer.lr_batch_size) == (rate, 1024)
    assert (run.optimizer.warmup_epochs, run.optimizer.weight_decay) == (5, 0.05)
    assert run.optimizer.layer_decay == layer_decay
    augment = run.augment
    assert (augment.rand_augment_num_ops, augment.rand_augment_magnitude) == (2, 9)
    assert (augment.mixup_alpha, augment.cutmix_alpha, augment.random_erasing) == (0.8, 1.0, 0.25)
    text = (CONFIGS / f"imagenet1k/finetune_{variant}.yaml").read_text(encoding="utf-8")
    assert f"Published top-1: {top1}." in text
    assert VARIANT_TABLE[variant].imagenet1k == top1


def test_the_demo_recipe_is_small() -> None:
    run = read("demo/finetune.yaml")
    size = [run.clip.num_frames, run.clip.crop_size, run.clip.crop_size]
    config = variant_config(run.model.name, image_size=size, num_labels=8, **run.model.overrides)
    with torch.device("meta"):
        model = HieraForVideoClassification(config)
    assert sum(parameter.numel() for parameter in model.parameters()) < 4e6
