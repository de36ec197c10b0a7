"""Imports point one way: the house of the package, held by a test."""

from __future__ import annotations

import ast
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: Rooms of the package, and the rooms that each may import from besides itself.
BASE = {"errors", "files", "labels", "seeding", "version", "config", "batch"}
MAY_IMPORT = {
    "errors": set(),
    "version": set(),
    "labels": set(),
    "seeding": set(),
    "batch": set(),
    "processes": set(),
    "files": {"errors"},
    "locks": {"errors"},
    "command": {"errors", "processes"},
    "config": {"decoding", "errors"},
    "runtime": BASE | {"locks", "processes"},
    "decoding": {"errors", "files"},
    "models": BASE,
    "data": BASE | {"decoding"},
    "metrics": set(),
    "tasks": BASE | {"data", "metrics", "models"},
    "visualization": BASE | {"data", "decoding", "models"},
    "preparation": BASE | {"data", "decoding"},
    "inspection": BASE | {"runtime", "data", "decoding"},
    "evaluation": BASE | {"runtime", "data", "decoding", "models", "tasks"},
    "features": BASE | {"runtime", "data", "decoding", "models"},
    "training": BASE
    | {"runtime", "data", "decoding", "models", "tasks", "evaluation", "visualization"},
    "processor": BASE | {"data", "decoding", "models"},
    "__init__": BASE | {"decoding", "models", "processor"},
    "__main__": BASE | {"models"},
}


def rooms() -> list[str]:
    return sorted(
        path.stem for path in (ROOT / "hiera_video").iterdir() if not path.name.startswith("__pyc")
    )


def imported_modules(source: str, package: str) -> set[str]:
    """Modules of ours that a file of ``package`` imports, however it spells that."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return {module_of(name) for name in names if name.split(".")[0] == "hiera_video"}


def module_of(name: str) -> str:
    """The module that a dotted name is, or is in."""
    place = ROOT / name.replace(".", "/")
    is_module = place.is_dir() or place.with_name(f"{place.name}.py").exists()
    return name if is_module else module_of(name.rpartition(".")[0])


def imported_rooms(room: str) -> dict[str, set[str]]:
    """Rooms that the files of ``room`` import from, by file."""
    place = ROOT / "hiera_video" / room
    files = place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]
    found: dict[str, set[str]] = {}
    for file in files:
        package = ".".join(file.parent.relative_to(ROOT).parts)
        modules = imported_modules(file.read_text(encoding="utf-8"), package)
        found[str(file)] = {f"{module}.__init__".split(".")[1] for module in modules}
    return found


@pytest.mark.parametrize("room", rooms())
def test_imports_point_one_way(room: str) -> None:
    allowed = MAY_IMPORT[room] | {room}
    for file, targets in imported_rooms(room).items():
        assert targets <= allowed, f"{file} imports {sorted(targets - allowed)}"


def test_the_walk_sees_imports() -> None:
    seen = set().union(*imported_rooms("training").values())
    assert {"data", "models", "config"} <= seen


@pytest.mark.parametrize(
    "source",
    [
        "from hiera_video.models.zoo import create_model",
        "from hiera_video.models import zoo",
        "import torch, hiera_video.models.zoo as zoo",
        "from ..models.zoo import create_model",
        "from ..models import zoo",
        "def late():\n    from hiera_video.models import zoo",
    ],
)
def test_the_walk_sees_every_spelling(source: str) -> None:
    assert imported_modules(source, "hiera_video.data") == {"hiera_video.models.zoo"}


def test_the_walk_tells_rooms_from_what_is_in_them() -> None:
    source = "from hiera_video import create_model, models\nfrom . import loader"
    assert imported_modules(source, "hiera_video.data") == {
        "hiera_video",
        "hiera_video.models",
        "hiera_video.data.loader",
    }


@pytest.mark.parametrize("folder", ["datasets", "scripts"])
def test_scripts_are_not_packages(folder: str) -> None:
    assert not list((ROOT / folder).rglob("__init__.py"))


def test_preparation_needs_little_of_the_package() -> None:
    data = {"decoding.source", "data.manifest", "data.preparation"}
    allowed = data | {"command", "errors", "labels", "settings"}
    for file in (ROOT / "datasets").rglob("*.py"):
        imported = imported_modules(file.read_text(encoding="utf-8"), "")
        demo = file.parent.name == "demo"  # made without the package, which learns from it
        assert imported <= (set() if demo else {f"hiera_video.{name}" for name in allowed}), file
