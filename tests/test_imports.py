"""Imports point one way: the house of the package, held by a test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: Rooms of the package, and the rooms that each may import from besides itself.
BASE = {"errors", "files", "seeding", "version", "settings", "config", "runs", "batch"}
MAY_IMPORT = {
    "errors": set(),
    "version": set(),
    "seeding": set(),
    "batch": set(),
    "files": {"errors"},
    "settings": {"errors"},
    "config": {"settings", "errors"},
    "runs": {"config", "settings"},
    "models": BASE,
    "data": BASE,
    "command": BASE,
    "inspection": BASE | {"command", "data"},
    "evaluation": BASE | {"command", "data", "models"},
    "features": BASE | {"command", "data", "models"},
    "visualization": BASE | {"data", "models"},
    "training": BASE | {"command", "data", "models", "evaluation", "visualization"},
    "__init__": BASE | {"models"},
    "__main__": BASE | {"models"},
}


def rooms() -> list[str]:
    return sorted(
        path.stem for path in (ROOT / "hiera_video").iterdir() if not path.name.startswith("__pyc")
    )


def imported_rooms(room: str) -> dict[str, set[str]]:
    """Rooms that the files of ``room`` import from, by file."""
    place = ROOT / "hiera_video" / room
    files = place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]
    found: dict[str, set[str]] = {}
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                parts = name.split(".")
                if parts[0] == "hiera_video" and len(parts) > 1:
                    found.setdefault(str(file), set()).add(parts[1])
    return found


@pytest.mark.parametrize("room", rooms())
def test_imports_point_one_way(room: str) -> None:
    allowed = MAY_IMPORT[room] | {room}
    for file, targets in imported_rooms(room).items():
        assert targets <= allowed, f"{file} imports {sorted(targets - allowed)}"


def test_the_walk_sees_imports() -> None:
    seen = set().union(*imported_rooms("training").values())
    assert {"data", "models", "config"} <= seen


@pytest.mark.parametrize("folder", ["datasets", "scripts"])
def test_scripts_are_not_packages(folder: str) -> None:
    assert not list((ROOT / folder).rglob("__init__.py"))


def test_preparation_needs_little_of_the_package() -> None:
    allowed = {"command", "data.images", "data.manifest", "data.preparation", "errors", "settings"}
    for file in (ROOT / "datasets").rglob("*.py"):
        imported = {
            node.module
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hiera_video")
        }
        demo = file.parent.name == "demo"  # made without the package, which learns from it
        assert imported <= (set() if demo else {f"hiera_video.{name}" for name in allowed}), file
