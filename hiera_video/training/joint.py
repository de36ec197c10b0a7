"""Joint training: images and clips take turns through one encoder.

In every step a batch of clips and a batch of images go through it, one after the other, and the
step follows the sum of their losses. The image side is a training run of its own, of which
``images`` says what differs.
"""

from __future__ import annotations

from typing import Any, TypeVar

from torch import Tensor, nn

from hiera_video.batch import ClipBatch
from hiera_video.config.groups import ValidationSettings
from hiera_video.data.paired_loader import JointBatch
from hiera_video.errors import ConfigError
from hiera_video.tasks.meters import ClipMean
from hiera_video.tasks.step_shares import StepShares
from hiera_video.training.loop import Task
from hiera_video.training.settings import LabelledImages, TrainingRun, TrainRun

#: Fields of a model that have a value per axis, time first for clips.
_PER_AXIS = ("patch_size", "patch_stride", "patch_padding", "query_stride", "masked_unit_size")
#: Fields that the model of images has from its own variant or size.
_OWN = (
    "image_size",
    "separate_position_embeddings",
    "global_position_size",
    "mask_ratio",
    "num_labels",
)

R = TypeVar("R", bound=TrainingRun)
V = TypeVar("V")


def check_joint(run: TrainingRun) -> None:
    """Make sure that ``images`` fit a run.

    Raises:
        ConfigError: if its model takes images already, or images are validated and clips are not.
    """
    assert run.images is not None
    if run.clip.is_image:
        raise ConfigError(
            f"images: is for joint training of a model of clips, and model.name={run.model.name} "
            "takes images: give them as data.train.manifest"
        )
    of_images = isinstance(run, TrainRun) and run.images is not None and run.images.val.manifest
    if isinstance(run, TrainRun) and of_images and run.data.val.manifest is None:
        raise ConfigError(
            "images.val.manifest: needs data.val.manifest, which decides what is best"
        )


def image_run(run: R, init_from: str | None) -> R:
    """The image side of a joint run: its data and views, and the twin of its model for images."""
    images = run.images
    assert images is not None
    fields = {name: value for name, value in run.model.overrides.items() if name not in _OWN}
    fields |= {name: fields[name][1:] for name in _PER_AXIS if name in fields}
    fields |= images.model.given
    name = run.model.name.replace("16x224", "224")
    sources: dict[str, Any] = {"train": images.train, "root": images.root}
    if isinstance(images, LabelledImages):
        sources["val"] = images.val
    changes: dict[str, Any] = {
        "images": None,
        "init_from": init_from,
        "model": type(run.model)(name=name, **fields),
        "data": run.data.model_copy(update=sources),
        "clip": images.clip,
        "augment": images.augment,
        "train": run.train.model_copy(
            update={"batch_size": images.batch_size, "repeated_sampling": 1}
        ),
    }
    if isinstance(run, TrainRun):
        changes["evaluate"] = ValidationSettings(batch_size=run.evaluate.batch_size)
    return run.model_copy(update=changes)


class JointTask:
    """A task on clips and one on images. Figures of images are named ``train/image_loss``...

    ``wanted`` are the clips and the images that a process has for an optimizer step, if none fails.
    """

    def __init__(
        self,
        clips: Task,
        images: Task,
        image_loss_weight: float,
        wanted: tuple[int, int],
        shares: StepShares,
    ) -> None:
        self.clips = clips
        self.images = images
        self.image_loss_weight = image_loss_weight
        self._wanted = wanted
        self._shares = shares
        self._weight_of_step = image_loss_weight

    def loss(self, model: nn.Module, batch: ClipBatch) -> Tensor:
        """The loss of the clips, and that of the images times its weight."""
        assert isinstance(batch, JointBatch)
        assert batch.images is not None
        if batch.of_step is not None:
            self._shares.begin(batch.of_step, self._wanted)
            of_clips, of_images = self._shares.finish()
            # The loop divides the gradient by the share of the clips: images have their own.
            self._weight_of_step = self.image_loss_weight * of_clips / of_images
        images = self.images.loss(model, batch.images)
        return self.clips.loss(model, batch) + self._weight_of_step * images

    @property
    def validates(self) -> bool:
        """Whether there are videos to validate on; images alone are refused."""
        return self.clips.validates

    @property
    def means(self) -> dict[str, ClipMean]:
        """What is logged of both."""
        return self.clips.means | _of_images(self.images.means)

    def validate(self, model: nn.Module) -> dict[str, float | None]:
        """Figures of both; the clips decide which checkpoint is best."""
        return self.clips.validate(model) | _of_images(self.images.validate(model))


def _of_images(figures: dict[str, V]) -> dict[str, V]:
    return {name.replace("/", "/image_"): value for name, value in figures.items()}
