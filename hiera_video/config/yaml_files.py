"""YAML files of settings: values, and where each key stands. A mistake names file and line."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hiera_video.errors import ConfigError

#: The recipes of the package; in the repository a link to ``configs``.
RECIPES = Path(__file__).parents[1] / "recipes"
#: The folder among them that has files for ``accelerate launch``.
_OF_ACCELERATE = "accelerate"
#: The key that names another file, whose values hold where this one says nothing.
_BASE = "base"


@dataclass
class YamlValues:
    """What a file says, and ``places``: ``FILE, line N`` of each key, in dotted form."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)


def read_yaml(path: Path) -> YamlValues:
    """The mapping in a file, over that of the file that it names as ``base``, and so on.

    Where there is no such file, ``path`` may be the name of a recipe of the package, such as
    ``kinetics400/finetune_base``, even where a folder has that name: ``data/kinetics600`` is where
    prepared manifests are, too.

    Raises:
        ConfigError: if one of them cannot be read, or is no mapping of keys that are there once.
    """
    name = f"--config {path}"
    is_there = os.path.exists(path)  # noqa: PTH110 - false for names that cannot be looked up
    recipe = None if is_there and not path.is_dir() else _find_recipe(path)
    found = recipe or (path if is_there else None)
    if found is None:
        raise ConfigError(f"{name}: cannot be read (No such file or directory){_near(path)}")
    return _read_chain(found, name, [])


def recipe_names() -> list[str]:
    """What ``--config`` takes for the packaged recipes: paths in their folder, without a suffix."""
    paths = (path.relative_to(RECIPES).with_suffix("") for path in RECIPES.rglob("*.yaml"))
    return sorted(path.as_posix() for path in paths if path.parts[0] != _OF_ACCELERATE)


def _find_recipe(path: Path) -> Path | None:
    name = _recipe_name(path)
    return RECIPES / f"{name}.yaml" if name in recipe_names() else None


def _recipe_name(path: Path) -> str:
    """A recipe's name, for which its path in the repository stands, too."""
    return path.as_posix().removeprefix("configs/").removesuffix(".yaml")


def _near(path: Path) -> str:
    near = difflib.get_close_matches(_recipe_name(path), recipe_names(), n=3)
    folder = _recipe_name(path).partition("/")[0]
    near = near or [name for name in recipe_names() if name.startswith(f"{folder}/")]
    return f"; recipes with such names: {', '.join(near)}" if near else ""


def _read_chain(path: Path, name: str, above: list[Path]) -> YamlValues:
    """``name`` is what messages call the file, ``above`` are those whose bases led to it."""
    own = _read_file(path, name)
    if _BASE not in own.values:
        return own
    place = own.places.pop(_BASE)
    base, chain = own.values.pop(_BASE), [*above, path]
    if not isinstance(base, str) or not base.strip():
        raise ConfigError(f"{place}: base: wanted the path of a YAML file, got {base!r}")
    target = path.parent / base
    if target.resolve() in [file.resolve() for file in chain]:
        circle = " -> ".join(map(str, [*chain, target]))
        raise ConfigError(f"{place}: base: leads back to where it began ({circle})")
    below = _read_chain(target, f"{place}: base: {target}", chain)
    return merge_values(below, own)


def merge_values(below: YamlValues, above: YamlValues) -> YamlValues:
    """What ``above`` says, and ``below`` where it says nothing."""
    return YamlValues(_merge(below.values, above.values), below.places | above.places)


def _merge(base: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """``values`` over ``base``, group by group."""
    merged = dict(base)
    for key, value in values.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            value = _merge(below, value)
        merged[key] = value
    return merged


class _Loader(yaml.SafeLoader):
    """A loader that takes no key twice, where YAML's own would take the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if key.value in seen and isinstance(key, yaml.ScalarNode) and key.value != "<<":
                raise yaml.constructor.ConstructorError(
                    problem=f"{key.value} is there twice, also in line {seen[key.value]}",
                    problem_mark=key.start_mark,
                )
            if isinstance(key, yaml.ScalarNode):
                seen[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)


def _read_file(path: Path, name: str) -> YamlValues:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read ({error.strerror})") from None
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}: is not valid YAML (line {line}: not text in UTF-8)") from None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return YamlValues()
        places = {key: f"{path}, line {line}" for key, line in _lines(node, "", ())}
        values = loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(_describe(error, name, text)) from None
    if values is None:
        return YamlValues()
    line = node.start_mark.line + 1
    if not isinstance(values, dict):
        kind = type(values).__name__
        raise ConfigError(f"{name}: wanted `key: value` lines, got {kind} (line {line})")
    for key in values:
        if not isinstance(key, str):
            raise ConfigError(f"{places[str(key)]}: {key!r}: a setting's name is text")
    return YamlValues(values, places)


def _lines(node: yaml.Node, prefix: str, above: tuple[yaml.Node, ...]) -> Iterator[tuple[str, int]]:
    """Every key below ``node``, in dotted form, and its line."""
    if node in above:
        raise yaml.MarkedYAMLError(problem="holds itself", problem_mark=node.start_mark)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = f"{prefix}{key.value}"
            yield name, key.start_mark.line + 1
            yield from _lines(value, f"{name}.", (*above, node))
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _lines(value, f"{prefix}.", (*above, node))


def _describe(error: Exception, name: str, text: str) -> str:
    """A mistake in YAML, in one line."""
    line, problem = None, " ".join(str(error).split())
    if isinstance(error, yaml.reader.ReaderError):
        line, problem = text.count("\n", 0, error.position) + 1, str(error.reason)
    elif isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        line = error.problem_mark.line + 1
        problem = " ".join(filter(None, (error.context, error.problem)))
        if "\\t" in problem:
            problem += ": indent with spaces, not tabs"
    elif isinstance(error, RecursionError):
        problem = "nested too deeply"
    place = "" if line is None else f"line {line}: "
    return f"{name}: is not valid YAML ({place}{problem})"
