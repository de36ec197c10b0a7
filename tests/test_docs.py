"""What README and docs promise: commands that run, keys that exist, paths that are there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

from hiera_video.cli import COMMANDS
from hiera_video.config.clip_groups import ClipSettings
from hiera_video.config.machinery import Settings, parse_settings
from tests.support import (
    CLASS_COLOURS,
    HANG_SECONDS,
    ROOT,
    coloured_frames,
    run_here,
    save_checkpoint,
    write_manifest,
    write_video,
)

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "datasets/*/README.md")
    for path in ROOT.glob(pattern)
)
#: The pages that are followed word for word, below.
FOLLOWED = {
    "README.md",
    "docs/your_own_videos.md",
    "docs/checkpoints.md",
    "docs/decoding.md",
    "docs/documented.md",
    "docs/evaluation.md",
    "docs/features.md",
    "docs/shards.md",
    "docs/transformers.md",
}
RECIPES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("configs/**/*.yaml"))

_FENCED = re.compile(r"(?:<!-- needs ([^>]*) -->\n)?```(\w*)\n(.*?)```", re.DOTALL)
#: What a block of Python may need that no test has.
_NEEDS_OF_PYTHON = re.compile(r"weights|a GPU|.*scikit-learn")
_INDENTED = re.compile(
    r"^(?:#|    )\s*((?:(?:python|accelerate|torchrun)\b|hiera-video [a-z]).*)$", re.MULTILINE
)
#: What starts one of our commands.
_START = re.compile(r"\b(?:scripts|datasets)/\S+\.py\b|(?:\bhiera-video|-m hiera_video)(?= [a-z])")
#: The command that a script is.
_COMMAND = re.compile(r'^    main\("([a-z ]+)"\)$', re.MULTILINE)
_PATH = re.compile(
    r"(?<![\w/.-])(?:hiera_video|scripts|datasets|configs|docs|tests)/[\w./*-]*[\w*/]"
)
#: Files of Python, folders and modules, as pages name them.
_FILE = re.compile(r"`([\w./*-]+\.py)`")
_FOLDER = re.compile(r"`((?:\w+/)+)`")
_MODULE = re.compile(r"\bhiera_video(?:\.[a-zA-Z_]\w*)+")
#: Files that pages name and that are not ours.
_OF_OTHERS = {"ssv2.py", "modeling_hiera_video.py"}
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")


class Block(NamedTuple):
    """A block of shell commands or Python, and what it is marked to need, if it is."""

    language: str
    text: str
    needs: str


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    return [Block(language, text, needs) for needs, language, text in _FENCED.findall(read(page))]


def commands(page: str) -> Iterator[list[str]]:
    """The words of every command of ours, from the script or ``hiera-video`` on."""
    text = read(page).replace("\\\n#", " ").replace("\\\n", " ")
    fenced = [line for *_, block in _FENCED.findall(text) for line in block.splitlines()]
    for line in [*fenced, *_INDENTED.findall(text)]:
        start = _START.search(line)
        if start:
            command = line[start.start() :].removeprefix("-m ")
            if command.count("'") % 2:  # inside quotes that end with it, as of `bash -c '...'`
                command = command[: command.rindex("'")]
            words = shlex.split(command, comments=True)
            # `VIDEO [VIDEO ...]` and `...` stand for more of the same.
            yield [word for word in words if "=" in word or not word.endswith(("]", "...", "…"))]


def settings_of(words: list[str]) -> tuple[type[Settings] | None, list[str]]:
    """The settings that a command's words are, and these; None of a script with its own options."""
    start, *rest = words
    if start.endswith(".py"):
        command = _COMMAND.search(read(start))
        if command is None:
            return None, rest
        name = command[1]
    else:
        name = next(n for n in (" ".join(rest[:2]), rest[0]) if n in COMMANDS)
        rest = rest[len(name.split()) :]
    settings: type[Settings] = import_module(
        f"hiera_video.commands.{COMMANDS[name].module}"
    ).SETTINGS
    return settings, rest


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_followed_or_marked(page: str) -> None:
    """A comment before the block, `<!-- needs a GPU -->`, says why no test runs it."""
    unmarked = [block.text for block in blocks(page) if not block.needs]
    assert page in FOLLOWED or not unmarked, "no test runs these, and no comment says why"
    if not page.startswith("datasets/"):  # those need the dataset; their scripts have tests
        assert not _INDENTED.findall(read(page)), "blocks that cannot be marked: fence them"


@pytest.mark.parametrize("page", PAGES)
def test_python_is_run_unless_it_needs_what_no_test_has(page: str) -> None:
    marks = [block.needs for block in blocks(page) if block.language == "python" and block.needs]
    assert [mark for mark in marks if not _NEEDS_OF_PYTHON.fullmatch(mark)] == []


def test_the_pages_are_seen() -> None:
    assert {"README.md", "docs/your_own_videos.md", "datasets/kinetics/README.md"} <= set(PAGES)
    found = [" ".join(words) for words in commands("README.md")]
    assert any("train.py --config configs/finetune.yaml data.train" in words for words in found)
    assert any(words.startswith("hiera-video prepare folder data/mine") for words in found)
    found = [words[0] for words in commands("configs/kinetics400/pretrain_base.yaml")]
    assert found == ["scripts/pretrain.py"]


def test_the_readme_leads_to_every_page() -> None:
    pages = {page for page in PAGES if page.startswith("docs/")}
    assert pages - set(_LINK.findall(read("README.md"))) == set()


@pytest.mark.parametrize("page", [*PAGES, *RECIPES])
def test_every_path_exists(page: str) -> None:
    text = read(page)
    missing = [path for path in _PATH.findall(text) if not list(ROOT.glob(path.rstrip("/")))]
    links = [] if page.endswith(".yaml") else _LINK.findall(text)
    missing += [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_every_file_and_module_exists(page: str) -> None:
    """A file is named from the repository, from the package, or by its last name alone."""
    text = read(page)
    named = {*_FILE.findall(text)} - _OF_OTHERS
    if page == "docs/architecture.md":
        named |= {*_FOLDER.findall(text)}
    missing = [path for path in named if not is_file_of_ours(path)]
    missing += [name for name in _MODULE.findall(text) if not is_name_of_ours(name)]
    assert not missing


def is_file_of_ours(path: str) -> bool:
    if "/" in path:
        return any(list(folder.glob(path.rstrip("/"))) for folder in (ROOT, ROOT / "hiera_video"))
    folders = ("hiera_video", "scripts", "datasets", "tests")
    return any(list((ROOT / folder).rglob(path)) for folder in folders)


def is_name_of_ours(name: str) -> bool:
    """Whether there is such a module, or such a thing in one."""
    try:
        import_module(name)
    except ModuleNotFoundError:
        place, _, last = name.rpartition(".")
        return hasattr(import_module(place), last)
    return True


def test_what_is_gone_is_seen() -> None:
    assert is_file_of_ours("training/trainer.py")
    assert not is_file_of_ours("training/loop.py")
    assert is_name_of_ours("hiera_video.errors.VideoError")
    assert not is_name_of_ours("hiera_video.errors.VideoErrors")


@pytest.mark.parametrize("page", [*PAGES, *RECIPES])
def test_every_option_exists(
    page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    for line in commands(page):
        settings, words = settings_of(line)
        if settings is not None:
            given = {word.partition("=")[0] for word in words}
            if "--config" not in given:  # what a page leaves out, since a recipe has it
                left_out = {"output_dir", "checkpoint"} - given - {*settings.positional}
                words += [f"{key}=PATH" for key in left_out & settings.model_fields.keys()]
            parse_settings(settings, words)
        else:
            assert run_here(ROOT / line[0], "--help") == 0
            text = capsys.readouterr().out
            options = [word.partition("=")[0] for word in words if word.startswith("--")]
            assert [option for option in options if option not in text] == []


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder where commands find what a checkout has."""
    for name in ("configs", "datasets", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name, target_is_directory=True)
    program = tmp_path / "bin/hiera-video"  # as pip installs it, with this Python and this package
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m hiera_video "$@"\n')
    program.chmod(0o755)
    return tmp_path


def follow(page: str, workplace: Path, package: Path = ROOT) -> str:
    """Run the blocks of a page in order, word for word; what they print. The folder ``package`` has
    our package in it."""
    environment = {
        **os.environ,
        "PATH": f"{workplace}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(package),
        "ACCELERATE_USE_CPU": "true",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": "/nonexistent",
    }
    said = ""
    for block in blocks(page):
        if not block.needs:
            shell = ["bash", "-euc"] if block.language == "sh" else [sys.executable, "-c"]
            done = subprocess.run(
                [*shell, block.text],
                cwd=workplace,
                env=environment,
                capture_output=True,
                text=True,
                timeout=HANG_SECONDS,
                check=False,
            )
            assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
            said += done.stdout
    return said


def save_demo_checkpoint(workplace: Path, classes: list[str]) -> None:
    clip = ClipSettings(num_frames=8, stride=2, crop_size=64)
    save_checkpoint(workplace / "runs/demo/best", classes=classes, clip=clip)


@pytest.mark.long
def test_python_about_checkpoints(workplace: Path) -> None:
    save_demo_checkpoint(workplace, ["moving_left", "moving_right"])
    follow("docs/checkpoints.md", workplace)
    assert (workplace / "hiera.pt2").stat().st_size > 0


@pytest.mark.long
def test_inside_transformers(workplace: Path) -> None:
    """As somewhere else than in this repository, whose ``datasets`` hides a package."""
    (workplace / "datasets").unlink()
    (workplace / "package").mkdir()
    (workplace / "package/hiera_video").symlink_to(ROOT / "hiera_video", target_is_directory=True)
    write_video(workplace / "data/demo/videos/val/approaching/00006.mp4", num_frames=24)
    save_demo_checkpoint(workplace, ["moving_left", "moving_right"])
    said = follow("docs/transformers.md", workplace, workplace / "package")
    assert re.search(r"'label': 'moving_(left|right)'", said)
    assert (workplace / "runs/trainer/final/preprocessor.json").is_file()
    assert (workplace / "shared/modeling_hiera_video.py").is_file()


def test_python_about_decoding(workplace: Path) -> None:
    write_video(workplace / "data/demo/videos/val/approaching/00006.mp4", num_frames=24)
    follow("docs/decoding.md", workplace)


def test_python_about_documented_things(workplace: Path) -> None:
    follow("docs/documented.md", workplace)


def test_python_of_the_readme(workplace: Path) -> None:
    follow("README.md", workplace)


@pytest.mark.long
def test_from_a_folder_of_videos_to_predictions(workplace: Path) -> None:
    for label, colour in zip(("pouring", "stirring", "waiting"), CLASS_COLOURS, strict=True):
        for index in range(1, 9):
            frames = coloured_frames(colour, seed=index, num_frames=32, side=64)
            write_video(workplace / f"videos/{label}/{index:02d}.mp4", frames=frames)
    (workplace / "videos/waiting/empty.mp4").touch()
    said = follow("docs/your_own_videos.md", workplace)
    assert "25 videos: 24 kept, 1 left out" in said
    assert "3 classes: 18 train, 6 val" in said
    assert "6 videos, 0 failed" in said
    assert "6 videos: 6 extracted" in said
    for file in (
        "data/mine/inspection/report.html",
        "runs/mine/best/model.safetensors",
        "runs/mine/evaluation/report.html",
        "runs/mine/features/index.parquet",
    ):
        assert (workplace / file).is_file(), file
    # Three classes for each of two videos.
    assert len(re.findall(r"(pouring|stirring|waiting) *│ *[01]\.\d{4}", said)) == 6


@pytest.mark.long
def test_evaluation_features_and_shards_of_the_demo(workplace: Path) -> None:
    classes = ["moving_left", "moving_right"]
    rows = [(f"videos/val/{label}/0000{index}.mp4", label) for index in (0, 1) for label in classes]
    for path, _ in rows:
        write_video(workplace / "data/demo" / path, num_frames=24)
    write_manifest(workplace / "data/demo/val.csv", rows)
    save_demo_checkpoint(workplace, classes)
    pages = ("docs/evaluation.md", "docs/features.md", "docs/shards.md")
    said = "".join(follow(page, workplace) for page in pages)
    assert said.count("4 videos, 0 failed") == 3
    assert "4 videos in 1 shards" in said
    assert "4 samples in 1 shards" in said
    assert "4 videos: 4 extracted" in said
