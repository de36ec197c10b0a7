"""The machinery of settings: typed groups, checked all at once; YAML and overrides in, YAML out.

Unknown keys and wrong types are refused with one line that names the key, the value, what was
wanted and, for a misspelt key, the nearest valid one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from hiera_video.config.yaml_files import YamlValues, read_yaml
from hiera_video.errors import ConfigError, suggest

S = TypeVar("S", bound="Settings")

#: Groups that take the fields of another class, and what these are where they are not given.
OpenGroups = Mapping[str, tuple[type[BaseModel], str]]

_HOW_TO_SET = """\
settings (key=value), with their defaults:
  Values are YAML: lists as 'key=[a,b]' (quoted), null unsets.
"""


class Settings(BaseModel):
    """A group of settings. Wrong values raise one :class:`ConfigError` that names all faults."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    #: Keys that a command shares with others and makes no use of: left out of its ``--help``.
    unused: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            faults = _faults(type(self), error)
            raise ConfigError(_join(faults), faults) from None

    @field_validator("*", mode="before")
    @classmethod
    def _check_blank(cls, value: Any) -> Any:
        """An empty path would be the folder that the command was started in."""
        if isinstance(value, str) and not value.strip():
            raise ValueError("is empty; wanted a value")
        return value


class CommandLine(argparse.ArgumentParser):
    """An argument parser whose complaints are a :class:`ConfigError`, like any other mistake.

    It takes no empty path.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.register("type", Path, _path)

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def _path(text: str) -> Path:
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; wanted a path")
    return Path(text)


def parse_settings(
    cls: type[S],
    arguments: Sequence[str] | None = None,
    *,
    description: str | None = None,
    open_groups: OpenGroups | None = None,
) -> S:
    """Read ``--config FILE.yaml`` and ``key=value`` overrides from the command line into ``cls``.

    Args:
        description: what ``--help`` says of the command.
        open_groups: what ``--help`` lists for groups whose keys ``cls`` does not know.

    Raises:
        ConfigError: for anything that cannot be read or does not fit, in one line.
    """
    parser = CommandLine(
        description=description or cls.__doc__,
        epilog=_list_keys(cls, open_groups or {}),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, help="YAML file with settings")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings in dotted form")
    options = parser.parse_args(arguments)
    file = read_yaml(options.config) if options.config else YamlValues()
    for override in options.overrides:
        _forget_place(file.places, apply_override(file.values, override))
    try:
        return cls(**file.values)
    except ConfigError as error:
        faults = [
            (key, f"{text} ({place})" if (place := _place(file.places, key)) else text)
            for key, text in error.faults
        ]
        raise ConfigError(_join(faults) or str(error), faults) from None


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; an empty file is an empty mapping.

    A key ``base`` names another file, relative to this one, whose values hold where this one does
    not say otherwise.
    """
    return read_yaml(path).values


def dump_yaml(settings: Settings) -> str:
    """``settings`` as YAML that :func:`load_yaml` reads back."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)


def flat_settings(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values under dotted keys; lists as JSON, so that all of them are single values."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flat_settings(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = json.dumps(value) if isinstance(value, list) else value
    return flat


def apply_override(values: dict[str, Any], override: str) -> str:
    """Put ``key=value`` from a command line into ``values``, below the groups that the key names;
    gives the key.

    Raises:
        ConfigError: if it cannot be read so, or has no value, as where a shell's variable is empty.
    """
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"{override!r}: wanted key=value, such as train.epochs=10")
    if not text.strip():
        raise ConfigError(f"{key}=: has no value; wanted {key}=VALUE, or {key}=null to unset it")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        value = text
    *groups, name = key.split(".")
    for group in groups:
        child = values.setdefault(group, {})
        if child is None:  # an empty section in the YAML file
            child = values[group] = {}
        if not isinstance(child, dict):
            raise ConfigError(f"{key}={text}: {group} is a single value, not a group of settings")
        values = child
    values[name] = value
    return key


def _forget_place(places: dict[str, str], key: str) -> None:
    """A key that a command line sets has no place in a file, nor have the groups that it is in."""
    for place in [place for place in places if place == key or place.startswith(f"{key}.")]:
        del places[place]
    while "." in key:
        key = key.rpartition(".")[0]
        places.pop(key, None)


def _place(places: dict[str, str], key: str) -> str | None:
    """Where a key stands in a file; of a value in a list, where the list does."""
    while key not in places and key.rpartition(".")[2].isdecimal():
        key = key.rpartition(".")[0]
    return places.get(key)


def _join(faults: Sequence[tuple[str, str]]) -> str:
    return "; ".join(f"{key}: {text}" if key else text for key, text in faults)


def _faults(cls: type[BaseModel], error: ValidationError) -> list[tuple[str, str]]:
    """Every fault of a validation: the key in dotted form, and what is wrong with it."""
    faults: list[tuple[str, str]] = []
    for fault in error.errors(include_url=False):
        key = ".".join(str(part) for part in fault["loc"])
        cause = fault.get("ctx", {}).get("error")
        if isinstance(cause, ConfigError) and cause.faults:  # raised by a group inside this one
            faults += [(f"{key}.{inner}" if inner else key, text) for inner, text in cause.faults]
        elif fault["type"] == "extra_forbidden":
            faults.append((key, f"unknown key, {suggest(key, list(cls.model_fields))}"))
        elif fault["type"] == "missing":
            faults.append((key, "is required and was not given"))
        else:
            message = fault["msg"].removeprefix("Value error, ")
            message = message[0].lower() + message[1:]
            whole_group = isinstance(fault["input"], dict | BaseModel)
            faults.append((key, message if whole_group else f"{message}, got {fault['input']!r}"))
    return faults


def group_of(annotation: Any) -> type[BaseModel] | None:
    """The group of settings that an annotation stands for, if it does; one may be left out."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _list_keys(cls: type[Settings], open_groups: OpenGroups) -> str:
    """One line per setting for ``--help``: key, default, choices, meaning."""

    def of_group(group: type[BaseModel], prefix: str) -> Iterator[str]:
        for name, field in group.model_fields.items():
            key = f"{prefix}{name}"
            if inner := group_of(field.annotation):
                yield from of_group(inner, f"{key}.")
            elif key not in (*cls.unused, *open_groups):
                default = "required" if field.is_required() else _default(field)
                yield _describe(key, field, default)
            if key in open_groups:
                others, default = open_groups[key]
                for name, field in others.model_fields.items():
                    if f"{key}.{name}" not in cls.unused:
                        yield _describe(f"{key}.{name}", field, default)

    return "\n".join((_HOW_TO_SET, *of_group(cls, "")))


def _describe(key: str, field: FieldInfo, default: str) -> str:
    choices = " | ".join(map(str, _choices(field.annotation)))
    meaning = "; ".join(filter(None, (choices, field.description)))
    return f"  {key} [{default}]  {meaning}".rstrip()


def _default(field: FieldInfo) -> str:
    """A default as one would type it."""
    value = to_jsonable_python(field.get_default(call_default_factory=True))
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return text.removesuffix("...\n").rstrip()


def _choices(annotation: Any) -> list[Any]:
    """The values that an annotation lists, if it does, whether or not there may be none."""
    kinds = (annotation, *get_args(annotation))
    return [value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]
