"""Where files of a model are: a path on this machine, or the id of a model on the hub."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from hiera_video.errors import CheckpointError, reason_of

CONFIG_FILE = "config.json"
_FILES = (".pth", ".pt", ".bin", ".safetensors")


def find_source(
    source: str | Path, subfolder: str, revision: str | None, fetch: Callable[[str], str]
) -> Path:
    """The directory or file that ``source`` names: a path (``~`` is the home folder) or hub id.

    Args:
        subfolder: a folder in it; "" for itself.
        revision: a branch, tag or commit on the hub; "main" and None are what a path has, too.
        fetch: fetches what is wanted of a hub id; gives the local path of ``source`` or of a file.

    Raises:
        CheckpointError: if there is none.
    """
    # Like a shell, this keeps `~USER` of an unknown user in the path; `Path.expanduser` raises.
    path = Path(os.path.expanduser(source))  # noqa: PTH111
    if path.exists():
        if revision not in (None, "main"):
            raise CheckpointError(
                f"{source}: revision={revision!r} is for ids of the hub, and this is a local path"
            )
        return _inside(path, subfolder)
    looks_like_path = (
        path.is_absolute() or str(source).startswith((".", "~")) or len(path.parts) > 2
    )
    if looks_like_path or path.suffix in _FILES:
        raise CheckpointError(f"{source}: no such file or directory")
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        fetched = Path(fetch(str(source)))
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{source}: no such file or directory, and it could not be fetched from the hub "
            f"({reason_of(error)})"
        ) from None
    return fetched if fetched.is_file() else _inside(fetched, subfolder)


def find_config(source: str | Path, subfolder: str = "", revision: str | None = None) -> Path:
    """The ``config.json`` of a model: a directory, the file itself, or a hub id.

    Raises:
        CheckpointError: if there is none.
    """

    def fetch(repo_id: str) -> str:
        from huggingface_hub import hf_hub_download  # heavy, and not needed for local files

        return hf_hub_download(repo_id, CONFIG_FILE, subfolder=subfolder or None, revision=revision)

    path = find_source(source, subfolder, revision, fetch)
    return path / CONFIG_FILE if path.is_dir() else path


def _inside(path: Path, subfolder: str) -> Path:
    if subfolder and not (path / subfolder).is_dir():
        raise CheckpointError(f"{path}: has no folder {subfolder!r}, given as subfolder")
    return path / subfolder
