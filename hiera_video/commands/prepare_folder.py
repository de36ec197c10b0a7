"""Turn a tree of class folders into manifests.

hiera-video prepare folder VIDEOS OUTPUT_DIR [val_share=0.2] [group=REGEX] [folds=5]

VIDEOS/<class name>/.../<any name>.mp4 becomes OUTPUT_DIR/train.csv, val.csv and classes.txt. The
split is stratified: each class gives its share of videos to validation, at least one where it has
two or more. Videos whose names agree in what group matches stay together. VIDEOS may be a manifest,
too, such as the clean one of an inspection. With folds, OUTPUT_DIR/fold_0/train.csv, fold_0/val.csv
and so on are written besides: each group is in one fold's validation part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, field_validator, model_validator

from hiera_video.config.limits import at_least
from hiera_video.config.machinery import Settings


class FolderRun(Settings):
    """Make manifests of a folder."""

    positional: ClassVar[tuple[str, ...]] = ("videos", "output_dir")
    flags: ClassVar[Mapping[str, str]] = {
        "--images": "images",
        "--val-share": "val_share",
        "--seed": "seed",
        "--group": "group",
    }

    videos: Path = Field(description="folder with one folder per class, or a manifest")
    output_dir: Path = Field(description="folder that everything is written to")
    images: bool = Field(False, description="take images rather than videos")
    frames: bool = Field(
        False, description="take folders (or .zip, .tar) of numbered pictures rather than videos"
    )
    val_share: float = Field(0.2, description="share of each class to validate on")
    seed: int = Field(0, description="of what is drawn")
    group: str | None = Field(
        None,
        description="regular expression: videos whose names agree in it are not split apart",
    )
    folds: Annotated[int, at_least(2)] | None = Field(
        None, description="write so many pairs of manifests besides, for cross-validation"
    )

    @model_validator(mode="after")
    def _check_kind(self) -> FolderRun:
        if self.images and self.frames:
            raise ValueError("images=true and frames=true: wanted one of them")
        return self

    @field_validator("val_share")
    @classmethod
    def _check_share(cls, value: float) -> float:
        if not 0 <= value < 1:
            raise ValueError("wanted a share of at least 0 and under 1")
        return value

    @field_validator("group")
    @classmethod
    def _check_group(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"is no regular expression ({error})") from None
        return value


SETTINGS = FolderRun


def start(run: FolderRun) -> None:
    """Write the manifests."""
    from hiera_video.preparation.folder import Split, prepare_folder

    group = re.compile(run.group) if run.group else None
    split = Split(run.val_share, run.seed, group, run.folds or 0)
    kind = "image files" if run.images else "folders of pictures" if run.frames else "video files"
    prepare_folder(run.videos, run.output_dir, split, kind)
