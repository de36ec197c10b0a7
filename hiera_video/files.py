"""Writing files so that nobody ever sees half of one: write beside, flush, then rename."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hiera_video.errors import UserError

#: How the names of folders begin that hold what is not finished. It is short, so that a file may
#: have as long a name as the file system lets it have.
UNFINISHED = ".unfinished-"


def check_not_replaced(inputs: Iterable[Path], output: Path) -> None:
    """Make sure that ``output`` is none of the files that it is made of.

    Raises:
        UserError: naming it.
    """
    if output.exists() and any(path.exists() and path.samefile(output) for path in inputs):
        raise UserError(f"{output}: would be replaced by what is made of it; name another folder")


@contextmanager
def atomic_path(path: str | Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; when the block ends well, it becomes ``path``.

    What is written may be a file or a directory. If the block raises, nothing is left behind and
    an existing ``path`` stays as it was. A directory cannot replace an existing one.

    What is not ``durable`` is not waited for until it is on the disk, which takes ten milliseconds:
    after a power cut it may be cut off. For small files that are told from whole ones and can be
    made again.
    """
    path = Path(path)
    # The temporary name lives in a directory of its own: writers that add a suffix of their own
    # or create further files beside theirs stay inside it.
    workspace = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=path.parent))
    try:
        temporary = workspace / path.name
        yield temporary
        if durable:
            contents = temporary.rglob("*") if temporary.is_dir() else ()
            for written in (temporary, *contents):
                _flush(written)
        temporary.replace(path)
        if durable:
            _flush(path.parent)
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


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
    """Create ``path`` and make sure that files can be written in it.

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
        raise UserError(f"{name}={path}: cannot be written ({error.strerror})") from None
    return path


def _flush(path: Path) -> None:
    """Force ``path`` to disk, so that a rename never outlives the bytes it names."""
    if path.is_symlink():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
