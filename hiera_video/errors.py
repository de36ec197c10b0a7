"""Errors that a user can cause and can mend.

Everything that a user may have got wrong (a key, a path, a label, a size, a video file) is a
:class:`UserError`. Scripts print its message as one line on standard error and exit with status 2;
anything else is a fault of this package and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence


class UserError(Exception):
    """A mistake of the user's. The message says what was given, what was wanted, and where."""


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
    """A video that cannot be opened or decoded; ``path`` and ``reason`` are kept apart."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, or belongs to another architecture."""
