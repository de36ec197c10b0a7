"""Joint training: images and clips take turns through one encoder.

In every step a batch of clips and a batch of images go through it, one after the other, and the
step follows the sum of their losses.
"""

from __future__ import annotations

from torch import Tensor, nn

from hiera_video.data.paired_loader import PairedBatch
from hiera_video.tasks.step_shares import StepShares
from hiera_video.tasks.task import BatchLoss, Task


class JointTask(Task):
    """A task on clips and one on images; what is logged of images is called ``image_loss``, ...

    The clips decide which checkpoint is best. Each of the two makes its own targets.

    Args:
        image_loss_weight: weight of the images' loss relative to that of the clips.
        accumulate_steps: batches of clips, and of images, in an optimizer step.
    """

    def __init__(
        self,
        clips: Task,
        images: Task,
        image_loss_weight: float,
        accumulate_steps: int,
        shares: StepShares,
    ) -> None:
        super().__init__(clips.clip, clips.batch_size)
        self.logged = (*clips.logged, *(f"image_{name}" for name in images.logged))
        self.best_by = clips.best_by
        self.shown = clips.shown
        self.of_clips = clips
        self.of_images = images
        self.image_loss_weight = image_loss_weight
        self._wanted = (clips.batch_size * accumulate_steps, images.batch_size * accumulate_steps)
        self._shares = shares
        self._weight_of_step = image_loss_weight

    def batch_loss(self, model: nn.Module, batch: PairedBatch) -> BatchLoss:
        """The loss of the clips, and that of the images times its weight."""
        if batch.of_step is not None:
            self._shares.begin(batch.of_step, self._wanted)
            clips_share, images_share = self._shares.finish()
            # The loop divides the gradient by the share of the clips: images have their own.
            self._weight_of_step = self.image_loss_weight * clips_share / images_share
        images = self.of_images.batch_loss(model, batch.images)
        clips = self.of_clips.batch_loss(model, batch.clips)
        return BatchLoss(
            clips.total + self._weight_of_step * images.total,
            clips.means | {f"image_{name}": mean for name, mean in images.means.items()},
        )

    def losses(
        self, model: nn.Module, pixel_values: Tensor, targets: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Those of the clips alone."""
        return self.of_clips.losses(model, pixel_values, targets)
