"""The way in: ``hiera-video COMMAND ...``, and ``python -m hiera_video COMMAND ...``."""

from __future__ import annotations

import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from hiera_video.command import run_command
from hiera_video.config.machinery import parse_settings
from hiera_video.errors import UserError, suggest
from hiera_video.version import __version__

PROGRAM = "hiera-video"


class Command(NamedTuple):
    """A command: its module in ``commands/``, and what it does, in one line."""

    module: str
    summary: str


#: All commands by name, in the groups in which they are shown.
GROUPS: dict[str, dict[str, Command]] = {
    "look at videos and make manifests of them": {
        "inspect": Command("inspect", "look at all videos before anything is trained on them"),
        "prepare folder": Command("prepare_folder", "manifests of a tree of class folders; folds"),
        "prepare lists": Command("prepare_lists", "manifests of `path label` lists"),
        "prepare shards": Command("prepare_shards", "put the videos of a manifest into shards"),
        "prepare index": Command("prepare_index", "a manifest of shards that others made"),
        "demo": Command("demo", "make the videos of the demo"),
    },
    "learn": {
        "pretrain": Command("pretrain", "pre-train on videos without labels"),
        "train": Command("train", "train a classifier"),
    },
    "use what was learned": {
        "evaluate": Command("evaluate", "measure a model on labelled videos"),
        "features": Command("features", "features of sliding windows over whole videos"),
        "probe": Command("probe", "frozen evaluation: what features tell of labels"),
        "predict": Command("predict", "classify single videos or images"),
        "reconstruct": Command("reconstruct", "pictures of what a pre-trained model sees"),
    },
    "models": {
        "models": Command("models", "the named variants, their sizes and costs"),
        "convert": Command("convert", "write a checkpoint in another layout"),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}


def main(*command: str) -> None:
    """Run the command that ``sys.argv`` names, or ``command``, as a script of its own does."""
    words = [*command, *sys.argv[1:]]
    name, arguments = _split(words)
    shown = Path(sys.argv[0]).name if command else f"{PROGRAM} {name or ''}".strip()
    run_command(partial(_run, name, arguments, shown), shown)


def _split(words: list[str]) -> tuple[str | None, list[str]]:
    """The name of the command, if there is one, and what follows it."""
    for length in (2, 1):
        if (name := " ".join(words[:length])) in COMMANDS:
            return name, words[length:]
    return None, words


def _run(name: str | None, arguments: list[str], shown: str) -> None:
    if name is not None:
        module = import_module(f"hiera_video.commands.{COMMANDS[name].module}")
        module.start(
            parse_settings(module.SETTINGS, arguments, description=module.__doc__, name=shown)
        )
    elif arguments and arguments[0] == "--version":
        print(f"{PROGRAM} {__version__}")
    elif not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
    elif kinds := [each for each in COMMANDS if each.startswith(f"{arguments[0]} ")]:
        given = " ".join(word for word in arguments[:2] if not word.startswith("-"))
        if given != arguments[0]:
            raise UserError(f"{given}: unknown command, {suggest(given, kinds)}")
        print(overview(kinds))
    else:
        raise UserError(f"{arguments[0]}: unknown command, {suggest(arguments[0], [*COMMANDS])}")


def overview(names: list[str] | None = None) -> str:
    """What there is, in groups, one line each; or these commands only."""
    width = max(map(len, COMMANDS))
    lines = [f"usage: {PROGRAM} COMMAND [--config FILE] [key=value ...] [FILE ...]"]
    for title, commands in GROUPS.items():
        chosen = {name: commands[name] for name in commands if names is None or name in names}
        if chosen:
            lines += ["", f"{title}:"]
        lines += [f"  {name:{width}}  {command.summary}" for name, command in chosen.items()]
    return "\n".join([*lines, "", f"`{PROGRAM} COMMAND --help` says what can be set."])
