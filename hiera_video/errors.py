"""Errors that a user can cause and can mend.

Everything that a user may have got wrong (a key, a path, a label, a size, a video file) is a
:class:`UserError`. Scripts print its message as one line on standard error and exit with status 2;
anything else is a fault of this package and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence


class UserError(Exception):
    """A mistake of the user's. The message says what was given, what was wanted, and where."""


class Interrupted(Exception):  # noqa: N818
    """A signal ended the run in good order. The message says how to go on."""

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


class ConfigError(UserError, ValueError):
    """A setting that is unknown, of the wrong type, or contradicts another one.

    ``faults`` keeps keys and complaints apart, where the message tells of several.
    """

    def __init__(self, message: str, faults: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.faults = list(faults)


class ManifestError(UserError, ValueError):
    """A manifest or class list that is missing, empty, or holds a row that cannot be used."""


class VideoError(UserError):
    """A video or image that cannot be opened or decoded; ``path`` and ``reason`` are kept apart."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class TrainingError(UserError):
    """What makes training stop, found and raised by all processes together."""


class NotFiniteError(UserError):
    """A model says of a video what is not finite. The video is not at fault: none is skipped for
    it."""


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, or belongs to another architecture."""


def reason_of(error: BaseException, *, system: bool = False) -> str:
    """What an error of the system or of a library says: one line, to stand within a sentence.

    Args:
        error: of any kind. One without a message gives the name of its class.
        system: whether to prefer what the system said, where ``error`` was raised in consequence:
            libraries tell of a file that is incomplete, the system of the disk that is full.
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
    # Within a sentence; but names stay as they are: CUDA, PytorchStreamReader.
    first_word = text.split(maxsplit=1)[0]
    return text[0].lower() + text[1:] if first_word[1:].islower() else text


def suggest(given: str, valid: Sequence[str]) -> str:
    """A hint for a misspelt name: the nearest valid ones, or all of them when none is near."""
    near = difflib.get_close_matches(given, valid, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else "valid: " + ", ".join(valid)
