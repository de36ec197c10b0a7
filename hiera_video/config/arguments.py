"""What a command line gives: settings files, ``key=value``, bare arguments and flags.

All of them become settings. Bare arguments stand for the keys in ``positional`` of a command's
class, and flags, which older command lines had, for those in ``flags``.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, get_origin

from hiera_video.config.help import all_fields
from hiera_video.errors import ConfigError

#: Ends the key of a flag that takes one setting of a group, as ``--clip stride=3``.
_OF_GROUP = ".*"
_KEY_AND_VALUE = re.compile(r"[A-Za-z_]\w*(\.\w+)*=")


class CommandLine(argparse.ArgumentParser):
    """An argument parser whose complaints are a :class:`ConfigError`, like any other mistake.

    It takes no empty path. ``describe`` gives what ``--help`` ends with, if there is such a thing.
    """

    def __init__(
        self, *arguments: Any, describe: Callable[[], str] | None = None, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.register("type", Path, _path)
        self._describe = describe

    def format_help(self) -> str:
        if self._describe is not None:
            self.epilog = self._describe()
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def _path(text: str) -> Path:
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; wanted a path")
    return Path(text)


@dataclass
class Arguments:
    """``overrides`` are ``key=value`` as typed; ``values`` are those of bare arguments and flags,
    by key, which are no YAML; ``shown`` is how messages name a key that came with a flag."""

    config: list[Path]
    overrides: list[str]
    values: dict[str, Any] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)


def read_arguments(
    parser: CommandLine,
    cls: Any,
    arguments: Sequence[str] | None,
) -> Arguments:
    """Sort the words of a command line, those of ``sys.argv`` if none are given.

    Raises:
        ConfigError: for a word that is none of these, or is empty.
    """
    parser.add_argument(
        "--config",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="YAML file with settings, or the name of a recipe of the package; a later one holds "
        "over those before it, and key=value over all",
    )
    for flag, key in cls.flags.items():
        is_switch = _annotation(cls, key) is bool
        options: dict[str, Any] = {"action": "store_const", "const": ["true"]}
        if not is_switch:
            options = {"action": "append", "metavar": "VALUE"}
        if key.endswith(_OF_GROUP):
            options["metavar"] = "KEY=VALUE"
        parser.add_argument(
            flag, dest=flag, default=[], help=f"the same as {_usage(key)}", **options
        )
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    parser.usage = " ".join(["%(prog)s", "[--config FILE]", "[key=value ...]", *_metavars(cls)])
    options_given = parser.parse_intermixed_args(arguments)
    if options_given.words and not cls.model_fields:
        raise ConfigError(f"{options_given.words[0]!r}: this command takes no arguments")
    takes_files = bool(cls.positional)
    overrides = [word for word in options_given.words if not takes_files or _sets_a_key(word)]
    given = Arguments(options_given.config, overrides)
    if takes_files:
        _place(cls, [word for word in options_given.words if not _sets_a_key(word)], given.values)
    for flag, key in cls.flags.items():
        for text in getattr(options_given, flag):
            if key.endswith(_OF_GROUP):
                given.overrides.append(key.removesuffix("*") + text)
                continue
            given.values[key] = text
            given.shown[key] = f"{flag}={text}" if text else flag
    return given


def _sets_a_key(word: str) -> bool:
    """Whether a word is ``key=value``, and no file that is called so."""
    return bool(_KEY_AND_VALUE.match(word)) and not os.path.exists(word)  # noqa: PTH110


def _place(cls: Any, words: Sequence[str], values: dict[str, Any]) -> None:
    """Give bare arguments to the keys that they stand for, in order."""
    left = list(words)
    for key, metavar in zip(cls.positional, _metavars(cls), strict=True):
        takes_all = get_origin(_annotation(cls, key)) is list
        taken, left = (left, []) if takes_all else (left[:1], left[1:])
        if any(not word.strip() for word in taken):
            raise ConfigError(f"{metavar.partition(' ')[0].strip('[]')}: is empty; wanted a path")
        if taken:
            values[key] = taken if takes_all else taken[0]
    if left:
        raise ConfigError(f"{left[0]!r}: wanted key=value, or at most {len(cls.positional)} files")


def _metavars(cls: Any) -> list[str]:
    """The bare arguments of a command, as its usage shows them."""
    shown = []
    for key in cls.positional:
        name = key.upper().removesuffix("S") if key.endswith("s") else key.upper()
        if get_origin(_annotation(cls, key)) is list:
            name = f"{name} [{name} ...]"
        shown.append(name)
    return shown


def _annotation(cls: Any, key: str) -> Any:
    return dict(all_fields(cls))[key].annotation if not key.endswith(_OF_GROUP) else None


def _usage(key: str) -> str:
    return f"{key.removesuffix('*')}KEY=VALUE" if key.endswith(_OF_GROUP) else f"{key}=VALUE"


def shown_faults(
    faults: Sequence[tuple[str, str]], shown: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Faults by the flags that values came with, which say what was given."""
    return [
        (shown[key], text.partition(", got ")[0]) if key in shown else (key, text)
        for key, text in faults
    ]
