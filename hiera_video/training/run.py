"""A whole training run: settings in, checkpoints, logs and curves out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hiera_video.command import make_accelerator
from hiera_video.config import PretrainRun, TrainingRun, TrainRun
from hiera_video.data.dataset import TrainClips
from hiera_video.data.decode import check_decoder
from hiera_video.data.failures import FailurePolicy
from hiera_video.data.loader import TrainingOrder, clip_loader
from hiera_video.data.manifest import Manifest, open_manifest
from hiera_video.errors import ConfigError
from hiera_video.files import atomic_path, make_output_directory
from hiera_video.models.checkpoints import PretrainedModel
from hiera_video.models.classification import HieraForVideoClassification
from hiera_video.models.config import HieraConfig
from hiera_video.models.mae import HieraForPreTraining
from hiera_video.models.zoo import create_model, variant_config
from hiera_video.seeding import derive_seed
from hiera_video.settings import dump_yaml
from hiera_video.training.checkpoint import (
    Checkpoints,
    Progress,
    TrainingState,
    find_resume,
    load_checkpoint,
)
from hiera_video.training.classification import Classification
from hiera_video.training.loop import Task, clips_per_step, train_epochs
from hiera_video.training.optim import make_optimizer, scale_to_batch
from hiera_video.training.pretraining import PreTraining
from hiera_video.training.trackers import LOG_FILE, JsonLinesTracker, read_log, rewind_log
from hiera_video.visualization.curves import plot_curves


def train(run: TrainRun) -> None:
    """Train a classifier as ``run`` says, or go on with a run that was interrupted.

    Raises:
        UserError: for anything that does not fit, before devices and workers start; and while
            training, for the first bad video under ``data.on_error=raise``.
    """
    check_decoder(run.data.decoder)
    manifest = open_manifest(run.data, "data.train.manifest")
    classes = manifest.classes
    val_manifest = None
    if run.data.val.manifest is not None:
        val_manifest = open_manifest(run.data, "data.val.manifest", classes=classes)
    model = build_classifier(run, classes)

    def make_task(failures: FailurePolicy, accelerator: Accelerator) -> Task:
        return Classification(run, len(classes), val_manifest, failures, accelerator)

    _train(run, model, manifest, make_task)


def pretrain(run: PretrainRun) -> None:
    """Pre-train an encoder by masked autoencoding as ``run`` says; labels are not needed.

    Raises:
        UserError: as :func:`train` does.
    """
    check_decoder(run.data.decoder)
    manifest = open_manifest(run.data, "data.train.manifest", labelled=False)
    model = build_pretraining_model(run)
    _train(run, model, manifest, lambda _, accelerator: PreTraining(run, accelerator))


def _train(
    run: TrainingRun,
    model: PretrainedModel,
    manifest: Manifest,
    make_task: Callable[[FailurePolicy, Accelerator], Task],
) -> None:
    """What training and pre-training share: from a model on the CPU to the last checkpoint."""
    output_dir = make_output_directory(run.output_dir)
    saved = load_checkpoint(find_resume(run.resume, output_dir), model)
    if run.train.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    accelerator = make_accelerator(
        run,
        gradient_accumulation_steps=run.train.accumulate_steps,
        log_with=["tensorboard", JsonLinesTracker(output_dir / LOG_FILE)],
        project_config=ProjectConfiguration(logging_dir=str(output_dir)),
    )
    order = _training_order(run, manifest, accelerator)
    loader = clip_loader(
        TrainClips(
            manifest,
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
    state = _prepare(run, model, saved, accelerator)
    failures = FailurePolicy(run.data.on_error, output_dir)
    checkpoints = Checkpoints(output_dir, run.train.keep_checkpoints)
    if accelerator.is_main_process:
        with atomic_path(output_dir / "config.yaml") as path:
            path.write_text(dump_yaml(run), encoding="utf-8")
        rewind_log(output_dir / LOG_FILE, state.progress.step)
        checkpoints.rewind(state.progress)
        if saved is None:
            failures.forget()
    accelerator.wait_for_everyone()
    accelerator.init_trackers("tensorboard")
    _introduce(run, manifest, state, order, accelerator)

    task = make_task(failures, accelerator)
    train_epochs(run, task, state, loader, order, checkpoints, failures, accelerator)

    if accelerator.is_main_process:
        progress = state.progress
        plot_curves(read_log(output_dir / LOG_FILE), output_dir / "curves.png")
        print(f"done: {progress.step} steps, {run.train.epochs} epochs  -> {output_dir}")
        if progress.best_accuracy >= 0:
            print(f"best top-1 {progress.best_accuracy:.4f} at step {progress.best_step}")
    accelerator.end_training()


def _prepare(
    run: TrainingRun,
    model: PretrainedModel,
    saved: dict[str, Any] | None,
    accelerator: Accelerator,
) -> TrainingState:
    """The model and all that trains it, on the device, as they were when ``saved`` was."""
    model = model.to(accelerator.device)
    average = None
    if run.train.ema_decay is not None:
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(run.train.ema_decay))
        average.n_averaged.fill_(saved["progress"].step if saved else 0)
    if saved and saved["weights"]:  # until here, the model held what was shared: the average
        model.load_state_dict(saved["weights"])
    prepared, optimizer = accelerator.prepare(model, make_optimizer(model, run.optimizer))
    if saved:
        optimizer.load_state_dict(saved["optimizer"])
        if accelerator.scaler and saved["scaler"]:
            accelerator.scaler.load_state_dict(saved["scaler"])
    progress = saved["progress"] if saved else Progress()
    return TrainingState(prepared, optimizer, progress, average)


def build_pretraining_model(run: PretrainRun) -> HieraForPreTraining:
    """The model that ``run.model`` describes, with the weights of ``init_from``.

    Raises:
        ConfigError: if it is none to pre-train, or does not fit the clips.
        CheckpointError: if ``init_from`` cannot be used.
    """
    if not run.model.name.startswith("mae_"):
        raise ConfigError(f"model.name={run.model.name}: pre-training wants a mae_ model")
    return _build(run, HieraForPreTraining, run.model.overrides)


def build_classifier(run: TrainRun, classes: list[str]) -> HieraForVideoClassification:
    """The model that ``run.model`` describes, for ``classes``, with the weights of ``init_from``.

    Raises:
        ConfigError: if the model does not fit the clips, or a field does not fit.
        CheckpointError: if ``init_from`` cannot be used.
    """
    if run.model.name.startswith("mae_"):
        raise ConfigError(
            f"model.name={run.model.name}: training wants {run.model.name.removeprefix('mae_')}, "
            "with the pre-trained weights as init_from"
        )
    labels = {"num_labels": len(classes), "id2label": dict(enumerate(classes))}
    return _build(run, HieraForVideoClassification, {**run.model.overrides, **labels})


M = TypeVar("M", bound=PretrainedModel)


def _build(run: TrainingRun, kind: type[M], overrides: dict[str, Any]) -> M:
    clip_size = [run.clip.num_frames, run.clip.crop_size, run.clip.crop_size]
    overrides = {"image_size": clip_size, **overrides}
    try:
        config = variant_config(run.model.name, **overrides)
    except ConfigError as error:
        faults = [f"model.{key}: {text}" if key else text for key, text in error.faults]
        raise ConfigError("; ".join(faults) or str(error)) from None
    _check_clip(run, config, clip_size)
    torch.manual_seed(derive_seed(run.seed))  # for what starts at random
    model = create_model(run.model.name, pretrained=run.init_from, **overrides)
    assert isinstance(model, kind)
    return model


def _check_clip(run: TrainingRun, config: HieraConfig, clip_size: list[int]) -> None:
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


def _training_order(
    run: TrainingRun, manifest: Manifest, accelerator: Accelerator
) -> TrainingOrder:
    return TrainingOrder(
        len(manifest),
        rows_per_batch=run.train.batch_size // run.train.repeated_sampling,
        accumulate_steps=run.train.accumulate_steps,
        num_processes=accelerator.num_processes,
        process_index=accelerator.process_index,
        seed=run.seed,
    )


def _introduce(
    run: TrainingRun,
    manifest: Manifest,
    state: TrainingState,
    order: TrainingOrder,
    accelerator: Accelerator,
) -> None:
    """Say what is about to happen, in figures that recipes are compared by."""
    parameters = sum(parameter.numel() for parameter in state.model.parameters())
    effective = clips_per_step(run, accelerator)
    rate = scale_to_batch(run.optimizer, effective).lr
    scales = sorted({group["lr_scale"] for group in state.optimizer.param_groups})
    steps = order.batches_per_epoch // run.train.accumulate_steps
    lines = [
        f"model      {run.model.name}, {parameters / 1e6:.2f} M parameters",
        f"data       {len(manifest)} videos"
        + (f", {len(manifest.classes)} classes" if manifest.classes else ""),
        f"step       {effective} clips: {run.train.batch_size} x {accelerator.num_processes} "
        f"processes x {run.train.accumulate_steps} accumulated",
        f"epochs     {run.train.epochs}: {run.train.num_passes} passes of {steps} steps, "
        f"{run.train.repeated_sampling} clips per video and pass",
        f"rate       {rate:.3g} ({run.optimizer.name}), {len(state.optimizer.param_groups)} groups"
        + (f" at {scales[0]:.3g} to {scales[-1]:.3g} of it" if len(scales) > 1 else ""),
        f"device     {accelerator.device}, {run.precision}",
    ]
    if state.progress.step:
        lines.append(f"going on from step {state.progress.step}")
    accelerator.print("\n".join(lines))
