"""What commands share that use a trained model."""

from __future__ import annotations

from pydantic import Field

from hiera_video.config.clip_groups import ClipSettings
from hiera_video.config.machinery import GivenFields, Settings, with_fields_of

#: What ``--help`` says of ``checkpoint``.
CHECKPOINT = "directory, file or hub id of a trained model"


@with_fields_of(ClipSettings, "of the checkpoint", leave_out={"num_frames", "crop_size"})
class CheckpointClip(GivenFields):
    """Settings of clips in place of the checkpoint's own; its model takes one size of clips."""


class TrainedModel(Settings):
    """A trained model, and the clips that it is given."""

    checkpoint: str = Field(description=CHECKPOINT)
    clip: CheckpointClip = Field(default_factory=CheckpointClip)
