"""Errors that a user can cause and can fix.

Every mistake of a user (a key, a path, a label, a size, a video file) raises a :class:`UserError`.
Commands print its message as one line on standard error and exit with status 2; any other exception
is a fault of this package and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence


class UserError(Exception):
    """A user's mistake. The message says what was given, what was wanted, and where."""


class Interrupted(Exception):  # noqa: N818
    """A signal ended the run in good order. The message says how to resume it."""

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


class ConfigError(UserError, ValueError):
    """A setting is unknown, has the wrong type, or contradicts another one.

    ``faults`` holds (key, complaint) pairs where the message joins several complaints.
    """

    def __init__(self, message: str, faults: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.faults = list(faults)


class ManifestError(UserError, ValueError):
    """A manifest or class list is missing or empty, or has a row that cannot be used."""


class VideoError(UserError):
    """A video or image cannot be opened or decoded: ``path`` names it, ``reason`` says why."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class TrainingError(UserError):
    """Training cannot continue. Every process raises it at the same point."""


class NotFiniteError(UserError):
    """A model's output for a video is not finite. The model is at fault: no video is skipped."""


class CheckpointError(UserError):
    """A checkpoint is missing or damaged, or belongs to another architecture."""


def reason_of(error: BaseException, *, system: bool = False) -> str:
    """The reason that an exception gives: one line, worded to stand within a sentence.

    Args:
        error: any exception. Without a message, the reason is the name of its class.
        system: whether to prefer the system's reason where a system error caused ``error``: a
            library reports an incomplete file, the system reports the full disk behind it.
    """
    cause: BaseException | None = error
    while system and cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            error = cause
            break
        cause = cause.__context__
    strerror = error.strerror if isinstance(error, OSError) else None
    lines = str(strerror or error).strip().splitlines()
    text = lines[0].rstrip() if lines else type(error).__name__
    # Lower case within a sentence; but names stay as they are: CUDA, PytorchStreamReader.
    first_word = text.split(maxsplit=1)[0]
    return text[0].lower() + text[1:] if first_word[1:].islower() else text


def suggest(given: str, valid: Sequence[str]) -> str:
    """A hint for a misspelt name: the nearest valid name, or all of them if none is near."""
    near = difflib.get_close_matches(given, valid, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else "valid: " + ", ".join(valid)
