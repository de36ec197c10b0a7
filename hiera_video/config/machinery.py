"""The machinery of settings: typed groups, checked all at once; YAML and overrides in, YAML out.

Unknown keys and wrong types are refused with one line that names the key, the value, what was
wanted and, for a misspelt key, the nearest valid one.
"""

from __future__ import annotations

import argparse
import difflib
import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_serializer,
)
from pydantic.fields import FieldInfo

from hiera_video.config.arguments import CommandLine, read_arguments, shown_faults
from hiera_video.config.help import (
    ORIGIN,
    all_fields,
    describe_keys,
    group_of,
    is_constant,
    origin_of,
)
from hiera_video.config.yaml_files import YamlValues, merge_values, read_yaml
from hiera_video.errors import ConfigError, suggest
from hiera_video.processes import is_first_process

S = TypeVar("S", bound="Settings")
G = TypeVar("G", bound="GivenFields")

logger = logging.getLogger(__name__)

#: Keys that are as similar as this, of 1, are one key and a misspelling of it.
_SAME_WORD = 0.85
#: A run saves the values of all of these, and nobody writes all of them down.
_SAVED = {"output_dir", "seed", "precision", "compile", "init_from", "resume", "trackers", "images"}
_UNKNOWN = "unknown key, "


class Settings(BaseModel):
    """A group of settings. Wrong values raise one :class:`ConfigError` that names all faults."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    #: Keys that a command line gives as bare arguments, in this order; the last may take several.
    positional: ClassVar[tuple[str, ...]] = ()
    #: Flags of older command lines, and the keys that they stand for.
    flags: ClassVar[Mapping[str, str]] = {}
    #: Fields that white space alone is a value of.
    may_be_blank: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            faults = _faults(type(self), error)
            raise ConfigError(_join(faults), faults) from None

    @field_validator("*", mode="before")
    @classmethod
    def _check_blank(cls, value: Any, info: ValidationInfo) -> Any:
        """An empty path would be the folder that the command was started in."""
        may_be_blank = info.field_name in cls.may_be_blank
        if isinstance(value, str) and not value.strip() and not may_be_blank:
            raise ValueError("is empty; wanted a value")
        return value


class GivenFields(Settings):
    """A group that counts for what was given: values that were not come from somewhere else."""

    @property
    def given(self) -> dict[str, Any]:
        """The fields that were given, and their values."""
        names = [name for name in type(self).model_fields if name in self.model_fields_set]
        return {name: getattr(self, name) for name in names}

    @model_serializer(mode="wrap")
    def _dump(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        return {
            name: value
            for name, value in handler(self).items()
            if name in self.model_fields_set or origin_of(fields[name]) is None
        }


def with_fields_of(
    source: type[BaseModel], origin: str, leave_out: Collection[str] = ()
) -> Callable[[type[G]], type[G]]:
    """A class decorator: adds the fields of ``source``, with their types and limits.

    None of them has to be given.

    Args:
        origin: where values that are not given come from, for ``--help``, such as "of the variant".
        leave_out: names of fields that the group does not get.
    """

    def add(cls: type[G]) -> type[G]:
        fields = {
            name: (field.annotation, _not_given(field, origin))
            for name, field in source.model_fields.items()
            if name not in leave_out
        }
        definitions: dict[str, Any] = {**fields}
        return create_model(
            cls.__name__,
            __base__=cls,
            __doc__=cls.__doc__,
            __module__=cls.__module__,
            **definitions,
        )

    return add


def _not_given(field: FieldInfo, origin: str) -> FieldInfo:
    field = copy(field)
    field.json_schema_extra = {ORIGIN: origin}
    return field


def parse_settings(
    cls: type[S],
    arguments: Sequence[str] | None = None,
    *,
    description: str | None = None,
    name: str | None = None,
) -> S:
    """Read settings from a command line: ``--config FILE``, once or more, then ``key=value``; and
    what stands for keys of ``cls``: bare arguments and flags.

    Args:
        description: what ``--help`` says of the command.
        name: how ``--help`` calls the command.

    Raises:
        ConfigError: for anything that cannot be read or does not fit, in one line.
    """
    parser = CommandLine(
        prog=name,
        description=description or cls.__doc__,
        describe=partial(describe_keys, cls),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    given = read_arguments(parser, cls, arguments)
    file = YamlValues()
    for path in given.config:
        later = read_yaml(path)
        if later.values.keys() >= _SAVED:
            _drop_gone(cls, later.values, str(path))
        file = merge_values(file, later)
    for key, value in given.values.items():
        _forget_place(file.places, _put(file.values, key, value, str(value)))
    texts = {key for key, field in all_fields(cls) if field.annotation in (str, str | None)}
    for override in given.overrides:
        _forget_place(file.places, apply_override(file.values, override, texts))
    try:
        return cls(**file.values)
    except ConfigError as error:
        faults = [
            (key, f"{text} ({place})" if (place := _place(file.places, key)) else text)
            for key, text in shown_faults(_nearest_keys(cls, error.faults), given.shown)
        ]
        raise ConfigError(_join(faults) or str(error), faults) from None


def _drop_gone(cls: type[BaseModel], values: dict[str, Any], source: str) -> None:
    gone = list(_take_gone(cls, values, ""))
    if gone and is_first_process():
        logger.warning("%s: passed over, since these keys are gone: %s", source, ", ".join(gone))


def _take_gone(cls: type[BaseModel], values: dict[str, Any], prefix: str) -> list[str]:
    """Take out of ``values`` the keys that ``cls`` does not have; their names, in dotted form."""
    gone: list[str] = []
    for name in list(values):
        field = cls.model_fields.get(name)
        if field is None:
            if _is_misspelt(name, cls, values):
                continue  # which is refused: no key that is gone
            given = values.pop(name)
            inner = flat_settings(given) if isinstance(given, dict) else {}
            gone += [f"{prefix}{name}.{key}" for key in inner] or [prefix + name]
        elif is_constant(field):
            del values[name]
        elif (group := group_of(field.annotation)) and isinstance(values[name], dict):
            gone += _take_gone(group, values[name], f"{prefix}{name}.")
    return gone


def _is_misspelt(name: str, cls: type[BaseModel], values: Mapping[str, Any]) -> bool:
    """Whether a key that does not exist stands for one that does, and is not there."""
    absent = [key for key in cls.model_fields if key not in values]
    return bool(difflib.get_close_matches(name, absent, n=1, cutoff=_SAME_WORD))


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


def apply_override(
    values: dict[str, Any], override: str, texts: Collection[str] = frozenset()
) -> str:
    """Put ``key=value`` from a command line into ``values``, below the groups that the key names;
    gives the key.

    Args:
        texts: keys whose values are text, whatever YAML would make of them: ``group=[0-9]+``.

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
    if key in texts and not isinstance(value, str | None):
        value = text
    return _put(values, key, value, text)


def _put(values: dict[str, Any], key: str, value: Any, text: str) -> str:
    """Put a value, given as ``text``, below the groups that its key names; gives the key."""
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
            faults += [(".".join(filter(None, (key, inner))), text) for inner, text in cause.faults]
        elif fault["type"] == "extra_forbidden":
            faults.append((key, _UNKNOWN + suggest(key, list(cls.model_fields))))
        elif fault["type"] == "missing":
            faults.append((key, "is required and was not given"))
        else:
            message = fault["msg"].removeprefix("Value error, ")
            message = message[0].lower() + message[1:]
            whole_group = isinstance(fault["input"], dict | BaseModel)
            faults.append((key, message if whole_group else f"{message}, got {fault['input']!r}"))
    return faults


def _nearest_keys(cls: type[BaseModel], faults: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Faults, with the nearest key of all groups for one that nothing in its own group is near."""
    keys = [key for key, _ in all_fields(cls)]
    told = []
    for key, text in faults:
        if text.startswith(f"{_UNKNOWN}valid: ") and "." in key:
            near = difflib.get_close_matches(key, keys, n=1, cutoff=0.7)
            text = f"{_UNKNOWN}did you mean {near[0]}?" if near else text
        told.append((key, text))
    return told
