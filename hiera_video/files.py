"""Reading files with errors for users, and writing them atomically: under a temporary name, then
flushed and renamed."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hiera_video.errors import UserError, reason_of

#: Prefix of the temporary folders in which files are written. They hold the file under its final
#: name, which may therefore be as long as the file system allows.
UNFINISHED = ".unfinished-"


@contextmanager
def reading(
    path: str | Path,
    error_type: type[UserError] = UserError,
    *unreadable: type[Exception],
) -> Iterator[None]:
    """Around code that reads the file or folder ``path``: failures become errors for the user.

    Args:
        unreadable: exceptions that a file's contents cause, besides ``OSError`` and text that is
            not in its encoding.

    Raises:
        UserError: of ``error_type``: "PATH: cannot be read (REASON)".
    """
    expected: tuple[type[Exception], ...] = (OSError, UnicodeDecodeError, *unreadable)
    try:
        yield
    except expected as error:
        raise error_type(f"{path}: cannot be read ({reason_of(error)})") from None


def check_not_replaced(inputs: Iterable[Path], output: Path) -> None:
    """Check that ``output`` would replace none of the ``inputs`` that it is made from.

    Raises:
        UserError: if it would; the message names it.
    """
    if output.exists() and any(path.exists() and path.samefile(output) for path in inputs):
        raise UserError(f"{output}: is an input that an output would replace; name another folder")


@contextmanager
def atomic_path(path: str | Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path on the same file system; if the block succeeds, rename it to ``path``.

    The block may write a file or a directory. If it raises, nothing is left behind and an existing
    ``path`` stays as it was. A directory cannot replace an existing one.

    ``durable=False`` skips the fsync (10 ms): after a power failure the file may be truncated. For
    small files whose truncation is detected and which can be regenerated.
    """
    path = Path(path)
    # A temporary directory also holds files that a writer names with an additional suffix, or
    # creates next to its own.
    workspace = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=path.parent))
    try:
        temporary = workspace / path.name
        yield temporary
        if durable:
            contents = temporary.rglob("*") if temporary.is_dir() else ()
            for entry in (temporary, *contents):
                _flush(entry)
        temporary.replace(path)
        if durable:
            _flush(path.parent)
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A CSV file with a header, whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def atomic_symlink(link: Path, target: Path) -> None:
    """Point ``link`` at ``target`` (stored relative to the link), replacing an older link."""
    with atomic_path(link) as temporary:
        temporary.symlink_to(os.path.relpath(target, link.parent))


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def make_output_directory(path: str | Path, name: str = "output_dir") -> Path:
    """Create ``path`` and check that files can be written in it.

    Raises:
        UserError: if it cannot be created or written to; the message names the directory, and the
            setting ``name`` that gave it.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UserError(f"{name}={path}: cannot be written ({reason_of(error)})") from None
    return path


@contextmanager
def output_directory(path: str | Path, name: str = "output_dir") -> Iterator[Path]:
    """:func:`make_output_directory` around the block that writes there.

    A new directory is removed again if the block raises a :class:`UserError` before it writes.
    """
    is_new = not Path(path).exists()
    try:
        yield make_output_directory(path, name)
    except UserError:
        if is_new:
            with suppress(OSError):  # it is not empty, or could not be made
                Path(path).rmdir()
        raise


def _flush(path: Path) -> None:
    """Force ``path`` to disk, so that a power failure cannot keep a rename but lose the bytes."""
    if path.is_symlink():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
