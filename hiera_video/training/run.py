"""A whole training run: settings in, checkpoints, logs and curves out.

:func:`run_training` is the way in. Which checkpoint goes on is known before a model is made, and
weights come from one place: that checkpoint, or ``init_from``, or the seed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from hiera_video.decoding.decoders import check_decoder
from hiera_video.models.joint import IMAGES_FOLDER, HieraForJointTraining
from hiera_video.models.layouts import Checkpoint, read_checkpoint
from hiera_video.runtime import open_output
from hiera_video.training.changes import refuse_settings
from hiera_video.training.learning import Learning
from hiera_video.training.preparing import prepare, settings_of_run
from hiera_video.training.resume import SavedState, find_resume, read_saved
from hiera_video.training.settings import PretrainRun, TrainingRun, TrainRun
from hiera_video.training.sides import (
    AdaptModel,
    MakeSide,
    check_joint,
    check_kind,
    image_run,
    pretraining_side,
    supervised_side,
)
from hiera_video.training.starting import Start, resume_run, start_run
from hiera_video.training.trackers import check_trackers
from hiera_video.training.trainer import Trainer

R = TypeVar("R", bound=TrainingRun)


def train(run: TrainRun) -> None:
    """Train a classifier as ``run`` says, or go on with a run that was interrupted.

    Raises:
        UserError: for anything that does not fit, before devices and workers start; and while
            training, for the first bad video under ``data.on_error=raise``.
    """
    run_training(run, supervised_side)


def pretrain(run: PretrainRun) -> None:
    """Pre-train an encoder by masked autoencoding as ``run`` says; labels are not needed.

    Raises:
        UserError: as :func:`train` does.
    """
    run_training(run, pretraining_side)


def run_training(run: R, make_side: MakeSide[R], adapt_model: AdaptModel | None = None) -> None:
    """Train whatever ``make_side`` makes of a run; a new kind of learning comes in here.

    Args:
        make_side: opens manifests and makes the model and its task, with the weights of the
            :class:`Start` that it is given.
        adapt_model: changes the model before its optimizer is made, in every process alike.

    Raises:
        UserError: as :func:`train` does.
    """
    check_decoder(run.data.decoder)
    check_trackers(run.trackers)
    with open_output(run.output_dir, run.data.index_dir) as output_dir:
        candidates = find_resume(run.resume, output_dir)
        saved = read_saved(candidates, settings_of_run(run))
        run, learning = _make_sides(run, saved, make_side)
        if adapt_model is not None:
            adapt_model(learning.model)
        trainer = prepare(run, learning, saved, output_dir)
        with trainer.stop.signals:
            trainer.fit()
        _report(trainer, output_dir)


def _make_sides(run: R, saved: SavedState | None, make_side: MakeSide[R]) -> tuple[R, Learning]:
    """The run with what its weights bring, and its sides; weights come from ``saved``, else from
    ``init_from``, else from the seed."""
    weights = None if saved is None else _read_weights(saved)
    run, start = _weights_of(run, weights)
    if saved is not None:
        refuse_settings(saved.settings, settings_of_run(run), saved.checkpoint)
    check_kind(run)
    check_joint(run)
    clips = make_side(run, start)
    if run.images is None:
        return run, Learning(clips, None, clips.model)
    starts_inflated = clips.model.inflated or saved is not None
    twin = image_run(run, run.init_from if starts_inflated else None)
    twin, start = _weights_of(twin, weights, "images.")
    # Recorded as it is used, so that a resumed run knows it without the weights.
    run = run.model_copy(update={"images": run.images.model_copy(update={"clip": twin.clip})})
    images = make_side(twin, start)
    return run, Learning(clips, images, HieraForJointTraining(images.model, clips.model))


def _read_weights(saved: SavedState) -> tuple[Checkpoint, Checkpoint | None]:
    """The checkpoint of the clips' model, and in joint training that of the images' model."""
    folder, source = saved.checkpoint / "model", str(saved.checkpoint)
    clips = replace(read_checkpoint(folder), source=source)
    if not (folder / IMAGES_FOLDER).exists():
        return clips, None
    return clips, replace(read_checkpoint(folder / IMAGES_FOLDER), source=source)


def _weights_of(
    run: R, saved: tuple[Checkpoint, Checkpoint | None] | None, prefix: str = ""
) -> tuple[R, Start | None]:
    """Complete ``run`` by the weights of a side, and return both; ``saved`` are its own."""
    if saved is None:
        return start_run(run, prefix)
    clips, images = saved
    checkpoint = images if prefix and images is not None else clips
    start = Start(checkpoint.source, checkpoint, [], resumes=True, prefix=prefix)
    return resume_run(run, checkpoint, images), start


def _report(trainer: Trainer, output_dir: Path) -> None:
    """Print, in the main process, what came of a run that is over."""
    if trainer.accelerator.is_main_process:
        progress, best = trainer.state.progress, trainer.best
        print(f"done: {progress.step} steps, {trainer.train.epochs} epochs  -> {output_dir}")
        if best.criterion is not None and best.value is not None:
            title = trainer.task.title_of(best.criterion.figure)
            print(f"best {title} {best.value:.4f} at step {best.step}")
        if summary := trainer.data.failures.summary():
            print(summary)
    trainer.accelerator.end_training()
