"""A whole training run: settings in, checkpoints, logs and curves out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from accelerate import Accelerator
from accelerate.utils import DistributedType, ProjectConfiguration, broadcast_object_list
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hiera_video.batch import ClipBatch
from hiera_video.config.machinery import dump_yaml
from hiera_video.data.dataset import TrainClips
from hiera_video.data.failures import FailurePolicy
from hiera_video.data.loader import ClipLoader, TrainingOrder
from hiera_video.data.manifest import Manifest
from hiera_video.data.paired_loader import ImageOrder, JointLoader
from hiera_video.decoding.decoders import check_decoder
from hiera_video.errors import ConfigError
from hiera_video.files import atomic_path
from hiera_video.models.joint import HieraForJointTraining
from hiera_video.models.pretrained import PretrainedModel
from hiera_video.runtime import Signals, make_accelerator, open_output
from hiera_video.tasks.meters import has_clips, restore_tallies
from hiera_video.tasks.step_shares import StepShares
from hiera_video.training.agreement import Watch
from hiera_video.training.build import (
    Part,
    check_kind,
    classification_part,
    pretraining_part,
)
from hiera_video.training.changes import (
    changed_settings,
    first_progress,
    go_on,
    is_judged_otherwise,
    settings_of_run,
)
from hiera_video.training.curves import CURVES_FILE, CurvesTracker
from hiera_video.training.joint import JointTask, check_joint, image_run
from hiera_video.training.loop import Task, train_epochs
from hiera_video.training.memory import (
    available_memory,
    check_memory,
    estimate_memory,
    in_bytes,
)
from hiera_video.training.optim import make_optimizer
from hiera_video.training.resume import (
    SavedState,
    check_same_step,
    check_unfinished,
    find_resume,
    load_checkpoint,
    load_optimizer,
)
from hiera_video.training.saving import (
    SETTINGS_FILE,
    Checkpoints,
    Progress,
    TrainingState,
    saved_checkpoints,
    unwrapped,
)
from hiera_video.training.settings import PretrainRun, TrainingRun, TrainRun
from hiera_video.training.starting import Start, keep_clips, start_run
from hiera_video.training.summary import introduce
from hiera_video.training.trackers import (
    LOG_FILE,
    Validations,
    check_trackers,
    make_trackers,
    read_log,
    rewind_log,
    start_trackers,
)

R = TypeVar("R", bound=TrainingRun)


def train(run: TrainRun) -> None:
    """Train a classifier as ``run`` says, or go on with a run that was interrupted.

    Raises:
        UserError: for anything that does not fit, before devices and workers start; and while
            training, for the first bad video under ``data.on_error=raise``.
    """
    _train(run, classification_part)


def pretrain(run: PretrainRun) -> None:
    """Pre-train an encoder by masked autoencoding as ``run`` says; labels are not needed.

    Raises:
        UserError: as :func:`train` does.
    """
    _train(run, pretraining_part)


def _train(run: R, make_part: Callable[[R, Start | None], Part]) -> None:
    """What training and pre-training share: from a model on the CPU to the last checkpoint."""
    check_decoder(run.data.decoder)
    check_trackers(run.trackers)
    run, part, images, model = _make_parts(keep_clips(run), make_part)
    with open_output(run.output_dir, run.data.index_dir) as output_dir:
        _train_into(output_dir, run, part, images, model)


def _train_into(
    output_dir: Path, run: R, part: Part, images: Part | None, model: PretrainedModel
) -> None:
    """What :func:`_train` does when all is checked and the folder is its own."""
    progress = begin = first_progress(
        run, part.manifest, images.manifest if images else None, part.val_manifest
    )
    saved = load_checkpoint(find_resume(run.resume, output_dir), model, run)
    changed: list[str] = []
    if saved is not None:
        progress, changed = go_on(saved.progress, begin, run, saved.checkpoint)
        changed = [*changed_settings(saved.settings, run), *changed]
        check_unfinished(run, progress, changed, output_dir)
    if run.train.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    accelerator = make_accelerator(
        run,
        gradient_accumulation_steps=run.train.accumulate_steps,
        log_with=[
            *make_trackers(run.trackers, output_dir),
            CurvesTracker(output_dir / LOG_FILE, output_dir / CURVES_FILE),
        ],
        project_config=ProjectConfiguration(logging_dir=str(output_dir)),
    )
    _check_sharding(run, accelerator)
    memory = _check_memory(part, images, model, accelerator)
    check_same_step(saved)
    order = _training_order(run, part.manifest, accelerator)
    loader = _training_loader(part, images, order, accelerator)
    state = _prepare(run, model, progress, saved, accelerator)
    failures = FailurePolicy(run.data.on_error, output_dir)
    shares = StepShares(accelerator, run.data.on_error)
    task = _make_task(part, images, failures, shares, accelerator)
    if saved is not None:
        failures.num_failed = restore_tallies(
            saved.tallies,
            task.means.values(),
            accelerator.num_processes,
            accelerator.process_index,
        )
    checkpoints = Checkpoints(
        output_dir, run.train.keep_checkpoints, saved.checkpoint if saved else None
    )
    if accelerator.is_main_process:
        _rewind_output(run, output_dir, state.progress, saved, checkpoints)
        if saved is None:
            failures.forget()
    validations = _read_validations(output_dir, progress, checkpoints, accelerator)
    if saved and is_judged_otherwise(saved.progress, begin, saved.settings, run):
        validations.forget()
        progress.judged_after = validations.last_step
        changed.append("what is validated: earlier checkpoints are not compared with later ones")
    start_trackers(accelerator, run)
    introduce(part, images, state, order, changed, memory, accelerator)

    with Signals() as signals:
        watch = Watch(accelerator, signals, part.manifest, checkpoints)
        train_epochs(
            run,
            task,
            state,
            loader,
            order,
            checkpoints,
            validations,
            failures,
            watch,
            shares,
            accelerator,
        )

    if accelerator.is_main_process:
        print(f"done: {state.progress.step} steps, {run.train.epochs} epochs  -> {output_dir}")
        if validations.best_accuracy >= 0:
            print(f"best top-1 {validations.best_accuracy:.4f} at step {validations.best_step}")
        if told := failures.summary():
            print(told)
    accelerator.end_training()


def _make_parts(
    run: R, make_part: Callable[[R, Start | None], Part]
) -> tuple[R, Part, Part | None, PretrainedModel]:
    """The run with what it has from the weights that it starts from; clips, or what there is alone;
    images beside them, if any; and the model that learns both."""
    run, start = start_run(run)
    check_kind(run)
    part = make_part(run, start)
    if run.images is None:
        return run, part, None, part.model
    check_joint(run)
    twin = image_run(run, run.init_from if part.model.inflated else None)
    twin, start = start_run(twin, "images.")
    images = make_part(twin, start)
    return run, part, images, HieraForJointTraining(images.model, part.model)


def _rewind_output(
    run: TrainingRun,
    output_dir: Path,
    progress: Progress,
    saved: SavedState | None,
    checkpoints: Checkpoints,
) -> None:
    """Settings as they are now; logs and checkpoints as they were at ``progress``."""
    with atomic_path(output_dir / SETTINGS_FILE) as path:
        path.write_text(dump_yaml(run), encoding="utf-8")
    goes_on_counting = saved is not None and has_clips(saved.tallies)
    rewind_log(output_dir / LOG_FILE, progress.step, goes_on_counting)
    checkpoints.rewind(progress)


def _read_validations(
    output_dir: Path, progress: Progress, checkpoints: Checkpoints, accelerator: Accelerator
) -> Validations:
    """What was validated before, as the main process reads it in the log; the same in all."""
    kept = [int(path.name.removeprefix("step-")) for path in saved_checkpoints(output_dir)]
    found = Validations(read_log(output_dir / LOG_FILE), kept, progress.judged_after)
    (validations,) = broadcast_object_list([found])
    if validations.best_step and accelerator.is_main_process:
        checkpoints.mark_best(validations.best_step)
    return validations


def _prepare(
    run: TrainingRun,
    model: PretrainedModel,
    progress: Progress,
    saved: SavedState | None,
    accelerator: Accelerator,
) -> TrainingState:
    """The model and all that trains it, on the device, as they were when ``saved`` was."""
    template = model.without_weights()
    model = model.to(accelerator.device)
    average = None
    if run.train.ema_decay is not None:
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(run.train.ema_decay))
        average.n_averaged.fill_(saved.progress.step if saved else 0)
    if saved and saved.weights:  # until here, the model held what was shared: the average
        model.load_state_dict(saved.weights)
    prepared, optimizer = accelerator.prepare(model, make_optimizer(model, run.optimizer))
    if saved:
        load_optimizer(unwrapped(prepared, accelerator), optimizer, saved)
        if accelerator.scaler and saved.scaler:
            accelerator.scaler.load_state_dict(saved.scaler)
    return TrainingState(prepared, optimizer, progress, template, average, settings_of_run(run))


def _check_sharding(run: TrainingRun, accelerator: Accelerator) -> None:
    if accelerator.distributed_type != DistributedType.FSDP:
        return
    if not accelerator.is_fsdp2:
        raise ConfigError("fsdp_config.fsdp_version of accelerate's settings: wanted 2")
    if run.train.ema_decay is not None:
        raise ConfigError("train.ema_decay: cannot average weights that are sharded (FSDP)")


def _check_memory(
    part: Part, images: Part | None, model: PretrainedModel, accelerator: Accelerator
) -> str:
    """What a step needs and what is there, in words.

    Raises:
        ConfigError: under ``train.check_memory``, if that is not enough.
    """
    runs = [part.run] if images is None else [part.run, images.run]
    device = accelerator.device
    needed = estimate_memory(runs, model, accelerator)
    there = available_memory(device)
    if device.type == "cpu":  # the model is in it already
        there += sum(weight.nbytes for weight in model.parameters())
    check_memory(part.run, needed.on(device), there, accelerator.is_main_process)
    kind = "memory" if device.type == "cpu" else "GPU memory"
    return f"about {in_bytes(needed.on(device))} of {kind} for a step, {in_bytes(there)} here"


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


def _make_task(
    part: Part,
    images: Part | None,
    failures: FailurePolicy,
    shares: StepShares,
    accelerator: Accelerator,
) -> Task:
    task = part.make_task(failures, accelerator)
    if images is None:
        return task
    assert part.run.images is not None
    of_images = images.make_task(failures, accelerator)
    batches = part.run.train.accumulate_steps
    wanted = part.run.train.batch_size * batches, part.run.images.batch_size * batches
    return JointTask(task, of_images, part.run.images.loss_weight, wanted, shares)


def _training_loader(
    part: Part, images: Part | None, order: TrainingOrder, accelerator: Accelerator
) -> Iterable[ClipBatch]:
    loader = _clip_loader(part, order, accelerator)
    if images is None:
        return loader
    image_order = ImageOrder(len(images.manifest), order, images.run.train.batch_size)
    of_images = _clip_loader(images, image_order, accelerator)
    return JointLoader(loader, of_images, order.accumulate_steps)


def _clip_loader(
    part: Part, order: TrainingOrder | ImageOrder, accelerator: Accelerator
) -> ClipLoader:
    run = part.run
    clips = TrainClips(
        part.manifest,
        run.clip,
        run.augment,
        run.data.decoding(run.output_dir),
        run.seed,
        run.train.repeated_sampling,
    )
    return ClipLoader(clips, order, run.data, accelerator.device)
