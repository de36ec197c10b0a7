"""Turn lists of `path label` lines, as PySlowFast, VideoMAE and mmaction2 have, into manifests.

hiera-video prepare lists OUTPUT_DIR train=LIST val=LIST [test=LIST] [classes=FILE] [root=FOLDER]

Labels are indices into `classes` (a file with one name a line), or names. Without it, names are
sorted, and numbers are names in the order of their value.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field, field_validator

from hiera_video.config.machinery import Settings

_SPLITS = ("train", "val", "test")


class ListsRun(Settings):
    """Make manifests of lists."""

    positional: ClassVar[tuple[str, ...]] = ("output_dir",)
    flags: ClassVar[Mapping[str, str]] = {
        "--train": "train",
        "--val": "val",
        "--test": "test",
        "--classes": "classes",
        "--root": "root",
        "--separator": "separator",
    }

    may_be_blank: ClassVar[tuple[str, ...]] = ("separator",)

    output_dir: Path = Field(description="folder that everything is written to")
    train: Path | None = Field(None, description="list of videos to train on")
    val: Path | None = Field(None, description="list of videos to validate on")
    test: Path | None = Field(None, description="list of videos to test on")
    classes: Path | None = Field(None, description="class names, one a line, in index order")
    root: Path | None = Field(
        None, description="folder that relative paths start from; default: the working directory"
    )
    separator: str | None = Field(
        None, description="what stands between path and label; default: white space"
    )

    @field_validator("separator")
    @classmethod
    def _check_separator(cls, value: str | None) -> str | None:
        if value == "":
            raise ValueError("wanted at least one character")
        return value


SETTINGS = ListsRun


def start(run: ListsRun) -> None:
    """Write the manifests."""
    from hiera_video.preparation.path_label_lists import prepare_lists

    lists = {split: path for split in _SPLITS if (path := getattr(run, split))}
    prepare_lists(
        lists,
        run.output_dir,
        classes_file=run.classes,
        root=run.root,
        separator=run.separator,
    )
