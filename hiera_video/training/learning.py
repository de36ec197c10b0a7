"""What a run learns from: one side, or in joint training one of clips and one of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hiera_video.config.clip_groups import ClipSettings, EvaluateSettings, ViewSettings
from hiera_video.config.groups import LoopSettings
from hiera_video.data.class_balance import ClassBalance
from hiera_video.data.manifest import Manifest
from hiera_video.models.pretrained import PretrainedModel
from hiera_video.tasks.task import Task


@dataclass(frozen=True)
class Side:
    """What a run learns from, and the model that learns it.

    Attributes:
        model: on the CPU, with the weights that it starts from or goes on from.
        manifest: the training videos, or images.
        held_out: the manifest to validate on, and the views of each of its videos.
        validate_epochs: after how many epochs that is due.
        balance: how often a pass takes videos of each class; None takes each video once.
        notes: what to say of the weights that the model starts from, a line each.
    """

    model: PretrainedModel
    task: Task
    manifest: Manifest
    clip: ClipSettings
    augment: ViewSettings
    train: LoopSettings
    held_out: tuple[Manifest, EvaluateSettings] | None = None
    validate_epochs: int = 1
    balance: ClassBalance | None = None
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Learning:
    """The sides of a run, and the model that learns from them; ``images`` in joint training."""

    clips: Side
    images: Side | None
    model: PretrainedModel

    @property
    def sides(self) -> list[Side]:
        return [self.clips] if self.images is None else [self.clips, self.images]
