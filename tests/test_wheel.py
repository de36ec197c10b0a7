"""A wheel, installed without the repository: the commands, the recipes and the demo are in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import CPU_ENVIRONMENT, HANG_SECONDS, ROOT, TINY_ARGUMENTS

pytestmark = pytest.mark.long

#: What the demo's model is trained with here, instead of for minutes.
TINY_TRAINING = [*TINY_ARGUMENTS, "clip.crop_size=64", "train.epochs=1", "train.batch_size=8"]
TINY_TRAINING += ["train.repeated_sampling=1", "optimizer.warmup_epochs=0", "data.num_workers=1"]


def run(*command: object, cwd: Path, packages: Path | None = None) -> str:
    """What a command prints, with packages from ``packages`` before all others."""
    environment = {**os.environ, **CPU_ENVIRONMENT}
    environment.pop("PYTHONPATH", None)
    if packages is not None:
        environment["PYTHONPATH"] = str(packages)
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as pip installs it from a source distribution."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    tree.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for name in ("hiera_video", "configs"):
        shutil.copytree(
            ROOT / name,
            tree / name,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    build = f"from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})"
    run("-c", build, cwd=tree)
    (source,) = folder.glob("*.tar.gz")
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    run("-m", "pip", "wheel", *offline, "--wheel-dir", folder, source, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    run("-m", "pip", "install", *offline, "--target", folder / "packages", wheel, cwd=folder)
    return folder / "packages"


def test_it_has_all_recipes(packages: Path) -> None:
    recipes = packages / "hiera_video" / "recipes"
    assert not recipes.is_symlink()
    names = {path.relative_to(recipes) for path in recipes.rglob("*.yaml")}
    assert names == {
        path.relative_to(ROOT / "configs") for path in (ROOT / "configs").rglob("*.yaml")
    }


def test_from_the_demo_to_predictions(packages: Path, tmp_path: Path) -> None:
    def hiera_video(*words: object) -> str:
        return run("-m", "hiera_video", *words, cwd=tmp_path, packages=packages)

    place = run(
        "-c", "import hiera_video; print(hiera_video.__file__)", cwd=tmp_path, packages=packages
    )
    assert place.strip() == str(packages / "hiera_video" / "__init__.py"), "not the repository's"
    assert "prepare folder" in run(
        packages / "bin" / "hiera-video", cwd=tmp_path, packages=packages
    )

    said = hiera_video("demo", "num_train=16", "num_val=8", "size=64", "num_frames=16")
    assert said.startswith("data/demo: 24 videos, rendered 24")
    said = hiera_video("train", "--config", "demo/finetune", *TINY_TRAINING)
    assert "done: 2 steps, 1 epochs  -> runs/demo" in said
    said = hiera_video("evaluate", "--config", "demo/evaluate", "data.num_workers=1")
    assert "8 videos, 0 failed  -> runs/demo/evaluation" in said
    assert (tmp_path / "runs/demo/evaluation/report.html").is_file()
    said = hiera_video(
        "features",
        "checkpoint=runs/demo/best",
        "data.manifest=data/demo/val.csv",
        "output_dir=runs/demo/features",
        "data.num_workers=1",
    )
    assert "8 videos: 8 extracted" in said
    video = next((tmp_path / "data/demo/videos/val/approaching").iterdir())
    said = hiera_video("predict", "checkpoint=runs/demo/best", video)
    assert "approaching" in said
    said = hiera_video("inspect", "data/demo/videos/val", "data/mine/inspection")
    assert "8 videos: 8 kept, 0 left out" in said
    said = hiera_video(
        "prepare", "folder", "data/mine/inspection/clean.csv", "data/mine", "val_share=0"
    )
    assert "8 classes: 8 train" in said
