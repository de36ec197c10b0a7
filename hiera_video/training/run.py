"""A whole training run: settings in, checkpoints, logs and curves out."""

from __future__ import annotations

from typing import Any

from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration

from hiera_video.command import make_accelerator
from hiera_video.config import TrainRun, dump_yaml
from hiera_video.data.dataset import TrainClips
from hiera_video.data.decode import check_decoder
from hiera_video.data.failures import FailurePolicy
from hiera_video.data.loader import TrainingOrder, clip_loader
from hiera_video.data.manifest import Manifest, open_manifest
from hiera_video.errors import ConfigError
from hiera_video.files import atomic_path, make_output_directory
from hiera_video.models.classification import HieraForVideoClassification
from hiera_video.models.zoo import create_model, variant_config
from hiera_video.training.checkpoint import Checkpoints, Progress, find_resume, load_checkpoint
from hiera_video.training.classification import Classification
from hiera_video.training.loop import train_epochs
from hiera_video.training.optim import make_optimizer
from hiera_video.training.trackers import LOG_FILE, JsonLinesTracker, read_log, rewind_log
from hiera_video.visualization.curves import plot_curves


def train(run: TrainRun) -> None:
    """Train a classifier as ``run`` says, or go on with a run that was interrupted.

    Raises:
        UserError: for anything that does not fit, before devices and workers start; and while
            training, for the first bad video under ``data.on_error=raise``.
    """
    check_decoder(run.data.decoder)
    train_manifest = open_manifest(run.data, "data.train.manifest")
    classes = train_manifest.classes
    val_manifest = None
    if run.data.val.manifest is not None:
        val_manifest = open_manifest(run.data, "data.val.manifest", classes=classes)
    model = build_classifier(run, classes)
    output_dir = make_output_directory(run.output_dir)
    state = load_checkpoint(find_resume(run.resume, output_dir), model)
    progress = state["progress"] if state else Progress()

    accelerator = make_accelerator(
        run,
        gradient_accumulation_steps=run.train.accumulate_steps,
        log_with=["tensorboard", JsonLinesTracker(output_dir / LOG_FILE)],
        project_config=ProjectConfiguration(logging_dir=str(output_dir)),
    )
    order = _training_order(run, train_manifest, accelerator)
    loader = clip_loader(
        TrainClips(
            train_manifest,
            run.clip,
            run.augment,
            run.data.decoder,
            run.seed,
            run.train.repeated_sampling,
        ),
        order,
        run.data.num_workers,
        accelerator.device,
    )
    model = model.to(accelerator.device)
    optimizer = make_optimizer(model, run.optimizer)
    model, optimizer = accelerator.prepare(model, optimizer)
    if state:
        optimizer.load_state_dict(state["optimizer"])
        if accelerator.scaler and state["scaler"]:
            accelerator.scaler.load_state_dict(state["scaler"])
    failures = FailurePolicy(run.data.on_error, output_dir)
    checkpoints = Checkpoints(output_dir, run.train.keep_checkpoints)
    if accelerator.is_main_process:
        with atomic_path(output_dir / "config.yaml") as path:
            path.write_text(dump_yaml(run), encoding="utf-8")
        rewind_log(output_dir / LOG_FILE, progress.step)
        checkpoints.rewind(progress)
        if state is None:
            failures.forget()
    accelerator.wait_for_everyone()
    accelerator.init_trackers("tensorboard")
    _introduce(run, train_manifest, model, order, progress, accelerator)

    train_epochs(
        run,
        Classification(run, len(classes), val_manifest, failures, accelerator),
        model,
        optimizer,
        loader,
        order,
        checkpoints,
        progress,
        failures,
        accelerator,
    )
    if accelerator.is_main_process:
        plot_curves(read_log(output_dir / LOG_FILE), output_dir / "curves.png")
        print(f"done: {progress.step} steps, {progress.epoch} epochs  -> {output_dir}")
        if progress.best_accuracy >= 0:
            print(f"best top-1 {progress.best_accuracy:.4f} at step {progress.best_step}")
    accelerator.end_training()


def build_classifier(run: TrainRun, classes: list[str]) -> HieraForVideoClassification:
    """The model that ``run.model`` describes, for ``classes``, with the weights of ``init_from``.

    Raises:
        ConfigError: if the model does not fit the clips, or a field does not fit.
        CheckpointError: if ``init_from`` cannot be used.
    """
    clip_size = [run.clip.num_frames, run.clip.crop_size, run.clip.crop_size]
    overrides: dict[str, Any] = {
        "image_size": clip_size,
        **run.model.overrides,
        "num_labels": len(classes),
        "id2label": dict(enumerate(classes)),
    }
    try:
        config = variant_config(run.model.name, **overrides)
    except ConfigError as error:
        faults = [f"model.{key}: {text}" if key else text for key, text in error.faults]
        raise ConfigError("; ".join(faults) or str(error)) from None
    if config.image_size != clip_size:
        raise ConfigError(
            f"model.image_size={config.image_size}: clip.num_frames={run.clip.num_frames} and "
            f"clip.crop_size={run.clip.crop_size} make {clip_size}"
        )
    if config.num_channels != len(run.clip.mean):
        raise ConfigError(
            f"clip.mean={list(run.clip.mean)}: wanted one value for each of "
            f"model.num_channels={config.num_channels}"
        )
    model = create_model(run.model.name, pretrained=run.init_from, **overrides)
    assert isinstance(model, HieraForVideoClassification)
    return model


def _training_order(run: TrainRun, manifest: Manifest, accelerator: Accelerator) -> TrainingOrder:
    return TrainingOrder(
        len(manifest),
        rows_per_batch=run.train.batch_size // run.train.repeated_sampling,
        accumulate_steps=run.train.accumulate_steps,
        num_processes=accelerator.num_processes,
        process_index=accelerator.process_index,
        seed=run.seed,
    )


def _introduce(
    run: TrainRun,
    manifest: Manifest,
    model: Any,
    order: TrainingOrder,
    progress: Progress,
    accelerator: Accelerator,
) -> None:
    """Say what is about to happen."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    effective = run.train.batch_size * accelerator.num_processes * run.train.accumulate_steps
    accelerator.print(
        f"{run.model.name}: {parameters / 1e6:.2f} M parameters  |  "
        f"{len(manifest)} training videos, {len(manifest.classes)} classes  |  "
        f"{effective} clips per step ({run.train.batch_size} x {accelerator.num_processes} "
        f"processes x {run.train.accumulate_steps} accumulated)  |  "
        f"{order.batches_per_epoch // run.train.accumulate_steps} steps x {run.train.epochs} "
        f"epochs on {accelerator.device}, {run.precision}"
    )
    if progress.step:
        accelerator.print(f"going on from step {progress.step}, epoch {progress.epoch}")
