"""Imports point one way: the house of the package, held by a test."""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: Rooms of the package, and the rooms that each may import from besides itself.
BASE = {"errors", "files", "hub", "jsonlines", "labels", "seeding", "version"}
BASE |= {"batch", "compat", "config"}
MAY_IMPORT = {
    "errors": set(),
    "version": set(),
    "labels": set(),
    "seeding": set(),
    "batch": set(),
    "processes": set(),
    "compat": set(),
    "files": {"errors"},
    "hub": {"errors"},
    "jsonlines": {"errors", "files"},
    "locks": {"errors"},
    "command": {"errors", "processes"},
    "config": {"decoding", "errors", "processes"},
    "runtime": BASE | {"locks", "processes"},
    "decoding": {"compat", "errors", "files"},
    "models": BASE,
    "data": BASE | {"decoding"},
    "metrics": set(),
    "processor": BASE | {"data", "decoding", "models"},
    "tasks": BASE | {"data", "metrics", "models"},
    "visualization": BASE | {"data", "decoding", "models"},
    "evaluation": BASE | {"runtime", "data", "decoding", "metrics", "models", "processor", "tasks"},
    "features": BASE | {"runtime", "data", "decoding", "metrics", "models"},
    "inspection": BASE | {"runtime", "data", "decoding"},
    "preparation": BASE | {"runtime", "data", "decoding"},
    "training": BASE
    | {"runtime", "data", "decoding", "models", "tasks", "evaluation", "visualization"},
    "integrations": BASE | {"data", "decoding", "models"},
    "__init__": BASE | {"decoding", "models", "processor"},
}
MAY_IMPORT["commands"] = {*MAY_IMPORT} - {"__init__", "cli", "integrations"}
MAY_IMPORT["cli"] = {"command", "config", "errors", "version"}
MAY_IMPORT["__main__"] = {"cli"}

#: The longest chain of imports within a room may have so many files.
MOST_LEVELS = {"data": 6, "training": 6, "decoding": 7, "models": 10}
#: Files of ``training`` that may know all settings of a run; others take groups of them.
MAY_KNOW_A_RUN = {"preparing", "run", "sides", "starting"}
#: Parameter lists that a documented API prescribes.
PRESCRIBED = {"forward", "from_pretrained"}
MOST_PARAMETERS = 5
#: Files that the package takes along.
NO_CODE = {"recipes"}


def rooms() -> list[str]:
    return sorted(
        path.stem
        for path in (ROOT / "hiera_video").iterdir()
        if not path.name.startswith("__pyc") and path.name not in NO_CODE
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
        "from hiera_video.models.registry import create_model",
        "from hiera_video.models import registry",
        "import torch, hiera_video.models.registry as registry",
        "from ..models.registry import create_model",
        "from ..models import registry",
        "def late():\n    from hiera_video.models import registry",
    ],
)
def test_the_walk_sees_every_spelling(source: str) -> None:
    assert imported_modules(source, "hiera_video.data") == {"hiera_video.models.registry"}


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
    allowed = {"cli", "command", "config.arguments", "config.machinery", "errors", "labels"}
    allowed |= {"data.file_search", "data.manifest", "decoding.source", "preparation.lists"}
    for file in (ROOT / "datasets").rglob("*.py"):
        imported = imported_modules(file.read_text(encoding="utf-8"), "")
        assert imported <= {f"hiera_video.{name}" for name in allowed}, file


def chain_of(room: str) -> tuple[str, ...]:
    """The longest chain of imports within a room."""
    folder = ROOT / "hiera_video" / room
    files = {f"hiera_video.{room}.{path.stem}": path for path in folder.glob("*.py")}

    @cache
    def chain_from(name: str) -> tuple[str, ...]:
        source = files[name].read_text(encoding="utf-8")
        inside = (imported_modules(source, f"hiera_video.{room}") & {*files}) - {name}
        return (name, *max(map(chain_from, inside), key=len, default=()))

    return max(map(chain_from, files), key=len)


@pytest.mark.parametrize("room", MOST_LEVELS)
def test_a_room_has_few_levels_and_no_circle(room: str) -> None:
    chain = chain_of(room)  # of a circle, this never ends: Python says so
    assert 1 < len(chain) <= MOST_LEVELS[room], " -> ".join(chain)


def test_few_files_know_all_settings_of_a_run() -> None:
    """A wing takes groups of settings: it shows what it depends on, and can be used without a
    command."""
    of_commands = {"hiera_video.training.settings", "hiera_video.commands"}
    for path in (ROOT / "hiera_video").rglob("*.py"):
        package = ".".join(path.parent.relative_to(ROOT).parts)
        imported = imported_modules(path.read_text(encoding="utf-8"), package)
        knows = any(name.startswith(tuple(of_commands)) for name in imported)
        may_know = package == "hiera_video.commands" or path.stem in ("cli", "settings")
        if package == "hiera_video.training":
            may_know |= path.stem in MAY_KNOW_A_RUN
        assert may_know or not knows, path


def test_parameter_lists_are_short() -> None:
    """Besides constructors, and what a documented API prescribes."""
    long = []
    for path in (ROOT / "hiera_video").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name not in {"__init__", *PRESCRIBED}:
                arguments = node.args
                names = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
                counted = [name for name in names if name.arg not in ("self", "cls")]
                if len(counted) > MOST_PARAMETERS:
                    long.append(f"{path.name}: {node.name} has {len(counted)}")
    assert not long
