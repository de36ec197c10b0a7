"""Every recipe below ``configs/`` says what the paper's tables say, and can be built."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from hiera_video import HieraForVideoClassification
from hiera_video.commands.evaluate import EvaluateRun
from hiera_video.config.clip_groups import EvaluateSettings
from hiera_video.config.machinery import load_yaml, parse_settings
from hiera_video.models.variants import VARIANTS as VARIANT_TABLE
from hiera_video.models.variants import variant_config
from hiera_video.training.settings import PretrainRun, TrainRun

CONFIGS = Path(__file__).parents[1] / "configs"
VARIANTS = ("base", "base_plus", "large", "huge")

#: Files that other recipes build on.
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
#: Files of manifests that go with the recipes of Kinetics-400, and what is published for them.
MORE_KINETICS = {"kinetics600": {"huge": 88.8}, "kinetics700": {"huge": 81.1}}
KINETICS = ("kinetics400", *MORE_KINETICS)
#: Published for Something-Something v2.
SSV2 = {"finetune_large": 75.1, "finetune_large_32": 76.5}
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


def files() -> list[str]:
    """Recipes, and the files of manifests that go with them."""
    found = {path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml")}
    return sorted(name for name in found - NOT_RECIPES if not name.startswith("accelerate/"))


def recipes() -> list[str]:
    return [name for name in files() if not name.startswith("data/")]


def read(name: str) -> Any:
    kind = PretrainRun if "pretrain" in name else TrainRun
    return (EvaluateRun if "evaluate" in name else kind)(**load_yaml(CONFIGS / name))


def read_kinetics(dataset: str, recipe: str) -> Any:
    """A recipe of Kinetics-400 on ``dataset``, by the names that an installed package has."""
    pretrains = recipe.startswith("pretrain")
    words = ["--config", f"kinetics400/{recipe}"]
    if dataset != "kinetics400" and pretrains:
        words.append(f"data.train.manifest=data/{dataset}/train.csv")
    elif dataset != "kinetics400":
        words += ["--config", f"data/{dataset}"]
    return parse_settings(PretrainRun if pretrains else TrainRun, words)


def opening(name: str) -> str:
    """The comment that a file opens with."""
    lines = (CONFIGS / name).read_text(encoding="utf-8").splitlines()
    return "\n".join(lines[: next(i for i, line in enumerate(lines) if line[:1] != "#")])


def stated(name: str, what: str) -> str:
    """What the line of the opening comment says that begins with ``what``."""
    (said,) = re.findall(rf"^# {what}\b[^:]*: *(.*)$", opening(name), re.MULTILINE)
    return said


@pytest.mark.parametrize("name", files())
def test_a_file_states_command_hardware_hours_and_accuracy(name: str) -> None:
    assert f"--config configs/{name}" in opening(name)
    after = opening(name).partition("\n# Command")[2].splitlines()[1]
    assert re.match(r"#   (accelerate launch|python) ", after)
    assert re.match(
        r"\d+ GPUs? x|(one or )?two CPU cores; 1 process x|that of", stated(name, "Hardware")
    )
    assert re.match(r"not known\b|0\.\d+\b", stated(name, "Hours"))
    assert re.match(r"\d\d\.\d (for huge )?\(|none is published\b", stated(name, "Published top-1"))
    assert name.startswith("demo/") != ("\n# Not yet run " in opening(name))


@pytest.mark.parametrize("name", recipes())
def test_a_recipe_can_be_built(name: str) -> None:
    run = read(name)
    if isinstance(run, EvaluateRun):
        return
    config = variant_config(run.model.name)
    assert config.is_video != run.clip.is_image
    size = [run.clip.num_frames, run.clip.crop_size, run.clip.crop_size][-len(config.image_size) :]
    variant_config(run.model.name, **{"image_size": size, **run.model.overrides})


def rows_of_the_page() -> dict[str, list[str]]:
    """What docs/recipes.md says of each file: the other cells of its row."""
    page = (CONFIGS.parent / "docs/recipes.md").read_text(encoding="utf-8")
    rows = {}
    for line in page.splitlines():
        if line.startswith("| `configs/"):
            name, *cells = (cell.strip(" `") for cell in line.strip("|").split("|"))
            assert name.removeprefix("configs/") not in rows
            rows[name.removeprefix("configs/")] = cells
    return rows


def rows_of_recipes() -> dict[str, list[str]]:
    return {name: cells for name, cells in rows_of_the_page().items() if name in recipes()}


def test_the_page_has_a_row_for_every_file() -> None:
    assert sorted(rows_of_the_page()) == [name for name in files() if "evaluate" not in name]


@pytest.mark.parametrize(("name", "cells"), rows_of_recipes().items())
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
    assert published == stated(name, "Published top-1").split()[0]
    assert ran.startswith("not") == ("Not yet run" in text)
    kind = "images" if run.clip.is_image else "clips"
    per_step = f"x {batch_size} {kind} = {num_processes * batch_size} {kind} per step"
    assert per_step in stated(name, "Hardware")
    if processes:
        assert stated(name, "Hardware").startswith(f"{num_processes} GPUs x ")


@pytest.mark.parametrize("dataset", MORE_KINETICS)
def test_a_file_of_manifests_changes_nothing_else(dataset: str) -> None:
    manifests = {part: {"manifest": f"data/{dataset}/{part}.csv"} for part in ("train", "val")}
    values = load_yaml(CONFIGS / f"data/{dataset}.yaml")
    assert values == {"output_dir": f"runs/{dataset}/finetune", "data": manifests}
    others, top1, ran = rows_of_the_page()[f"data/{dataset}.yaml"]
    assert [others, ran] == ["not known", "not yet"]
    assert {"huge": float(top1)} == MORE_KINETICS[dataset]
    begin = f"{top1} for huge (paper, "
    assert stated(f"data/{dataset}.yaml", "Published top-1").startswith(begin)


@pytest.mark.parametrize("dataset", MORE_KINETICS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_recipe_with_other_manifests_is_the_same_recipe(
    dataset: str, variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, manifests = f"kinetics400/finetune_{variant}", f"data/{dataset}"
    files = [str(CONFIGS / f"{name}.yaml") for name in (recipe, manifests)]
    by_path = parse_settings(TrainRun, ["--config", files[0], "--config", files[1]])
    monkeypatch.chdir(tmp_path)
    Path(manifests).mkdir(parents=True)  # the folder that the manifests themselves are in
    run = parse_settings(TrainRun, ["--config", recipe, "--config", manifests])
    assert run == by_path
    assert run.data.val.manifest == Path(f"data/{dataset}/val.csv")
    assert run.output_dir == Path(f"runs/{dataset}/finetune"), "not beside Kinetics-400's"
    alone = read(f"{recipe}.yaml")
    same = {"output_dir": alone.output_dir, "data": alone.data}
    assert run.model_copy(update=same) == alone


@pytest.mark.parametrize("dataset", KINETICS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_kinetics_pretraining_follows_table_11a(dataset: str, variant: str) -> None:
    run = read_kinetics(dataset, f"pretrain_{variant}")
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
    run = read_kinetics(dataset, f"finetune_{variant}")
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
    assert run.data.train.manifest == Path(f"data/{dataset}/train.csv")
    assert run.data.val.manifest == Path(f"data/{dataset}/val.csv")


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_accuracy_of_kinetics400_is_that_of_table_4(variant: str) -> None:
    said = stated(f"kinetics400/finetune_{variant}.yaml", "Published top-1")
    assert said == f"{VARIANT_TABLE[variant].kinetics400} (paper, Tab. 4; 5 clips x 3 crops)."


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
    assert stated(f"ssv2/{name}.yaml", "Published top-1").startswith(f"{SSV2[name]} (")


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
    said = stated(f"imagenet1k/finetune_{variant}.yaml", "Published top-1")
    assert said == f"{top1} (official repository)."
    assert VARIANT_TABLE[variant].imagenet1k == top1


def test_the_demo_recipe_is_small() -> None:
    run = read("demo/finetune.yaml")
    size = [run.clip.num_frames, run.clip.crop_size, run.clip.crop_size]
    config = variant_config(run.model.name, image_size=size, num_labels=8, **run.model.overrides)
    with torch.device("meta"):
        model = HieraForVideoClassification(config)
    assert sum(parameter.numel() for parameter in model.parameters()) < 4e6
