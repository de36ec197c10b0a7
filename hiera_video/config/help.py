"""What ``--help`` says of settings: a line for each key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

#: Under this name a field keeps, in ``json_schema_extra``, where its default comes from.
ORIGIN = "origin"

_HOW_TO_SET = """\
settings (key=value), with their defaults:
  Values are YAML: lists as 'key=[a,b]' (quoted), null unsets.
"""


def describe_keys(cls: type[BaseModel]) -> str:
    """One line per setting: key, default, choices, meaning."""
    lines = (_describe(key, field) for key, field in all_fields(cls))
    return "\n".join((_HOW_TO_SET, *lines))


def all_fields(cls: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """The dotted key and the field of everything that can be set, in groups inside this one too."""
    for name, field in cls.model_fields.items():
        if inner := group_of(field.annotation):
            yield from all_fields(inner, f"{prefix}{name}.")
        elif not is_constant(field):
            yield prefix + name, field


def group_of(annotation: Any) -> type[BaseModel] | None:
    """The group of settings that an annotation stands for, if it does; one may be left out."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def is_constant(field: FieldInfo) -> bool:
    """Whether there is one value only, so that nothing can be set."""
    return get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1


def origin_of(field: FieldInfo) -> str | None:
    """Where the value of a field comes from that is not given, if not from its own default."""
    extra = field.json_schema_extra
    return str(extra[ORIGIN]) if isinstance(extra, dict) and ORIGIN in extra else None


def _describe(key: str, field: FieldInfo) -> str:
    default = "required" if field.is_required() else origin_of(field) or _default(field)
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
