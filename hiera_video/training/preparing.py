"""Makes a :class:`~hiera_video.training.trainer.Trainer`: devices, loaders, state, checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import DistributedType, ProjectConfiguration, broadcast_object_list
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hiera_video.config.machinery import dump_yaml, flat_settings
from hiera_video.data.dataset import TrainClips
from hiera_video.data.failures import FailurePolicy
from hiera_video.data.loader import TrainingLoader, TrainingOrder
from hiera_video.data.paired_loader import ImageOrder, PairedLoader
from hiera_video.errors import ConfigError
from hiera_video.evaluation.scores import Scorer
from hiera_video.files import atomic_path
from hiera_video.jsonlines import read_lines
from hiera_video.models.pretrained import PretrainedModel
from hiera_video.runtime import Signals, make_accelerator
from hiera_video.tasks.joint import JointTask
from hiera_video.tasks.step_shares import StepShares
from hiera_video.tasks.task import Task
from hiera_video.training.agreement import StopTogether
from hiera_video.training.changes import (
    changed_settings,
    first_progress,
    go_on,
    is_judged_otherwise,
)
from hiera_video.training.curves import CURVES_FILE, CurvesTracker
from hiera_video.training.learning import Learning, Side
from hiera_video.training.log import LOG_FILE, rewind_log
from hiera_video.training.memory import StepPlan, describe_memory
from hiera_video.training.meters import Meters, has_clips
from hiera_video.training.optim import make_optimizer
from hiera_video.training.resume import (
    SavedState,
    check_same_step,
    check_unfinished,
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
from hiera_video.training.settings import TrainingRun
from hiera_video.training.summary import RunFacts, print_summary
from hiera_video.training.trackers import make_trackers, start_trackers
from hiera_video.training.trainer import Trainer, TrainingData
from hiera_video.training.validation import PREFIX, BestCheckpoint, HeldOut, Validation


@dataclass(frozen=True)
class _Standing:
    """Where a run stands: at its beginning, or where ``saved`` was; and what has changed since.

    ``is_judged_otherwise``: validation measures something else than it did.
    """

    progress: Progress
    saved: SavedState | None = None
    changed: list[str] = field(default_factory=list)
    is_judged_otherwise: bool = False


def settings_of_run(run: TrainingRun) -> dict[str, Any]:
    """The settings of a run under dotted keys, as a checkpoint keeps them."""
    return flat_settings(run.model_dump(mode="json"))


def prepare(
    run: TrainingRun, learning: Learning, saved: SavedState | None, output_dir: Path
) -> Trainer:
    """All that takes part in training, on its devices, as it was when ``saved`` was.

    Raises:
        UserError: for anything that does not fit, before loader workers start.
    """
    standing = _standing(run, learning, saved, output_dir)
    if run.train.gradient_checkpointing:
        learning.model.gradient_checkpointing_enable()
    accelerator = _start_accelerator(run, output_dir)
    memory = describe_memory(_step_plan(run, learning), learning.model, accelerator)
    check_same_step(saved)
    failures = FailurePolicy(run.data.on_error, output_dir)
    data = _training_data(run, learning, failures, accelerator)
    state = _training_state(run, learning.model, standing, accelerator)
    shares = StepShares(accelerator, run.data.on_error)
    task = _task(run, learning, shares)
    meters = Meters(task.logged, accelerator.device)
    if saved is not None:
        failures.num_failed = meters.restore_tallies(
            saved.tallies, accelerator.num_processes, accelerator.process_index
        )
    checkpoints = Checkpoints(
        output_dir, run.train.keep_checkpoints, saved.checkpoint if saved else None
    )
    if accelerator.is_main_process:
        _rewind_output(run, standing, checkpoints)
        if saved is None:
            failures.forget()
    best = _read_best(task, standing, checkpoints, accelerator)
    changed = standing.changed
    if standing.is_judged_otherwise:
        changed = [
            *changed,
            "what is validated: earlier checkpoints are not compared with later ones",
        ]
    start_trackers(accelerator, state.settings)
    facts = RunFacts(run.model.name, run.init_from, run.optimizer, run.precision, memory, changed)
    print_summary(facts, learning.sides, state, data.loader.order, accelerator)
    return Trainer(
        task=task,
        state=state,
        data=data,
        meters=meters,
        validation=_validation(run, learning, failures, accelerator),
        best=best,
        checkpoints=checkpoints,
        stop=StopTogether(accelerator, Signals(), checkpoints),
        shares=shares,
        train=run.train,
        optimizer=run.optimizer,
        seed=run.seed,
        accelerator=accelerator,
    )


def _standing(
    run: TrainingRun, learning: Learning, saved: SavedState | None, output_dir: Path
) -> _Standing:
    held_out = learning.clips.held_out
    begin = first_progress(
        run.seed,
        run.train.repeated_sampling,
        learning.clips.manifest,
        learning.images.manifest if learning.images else None,
        held_out[0] if held_out else None,
    )
    begin.sampler = balance.sampler if (balance := learning.clips.balance) else "uniform"
    if saved is None:
        return _Standing(begin)
    progress, others = go_on(saved.progress, begin, run.train.epochs, saved.checkpoint)
    settings = changed_settings(saved.settings, settings_of_run(run))
    check_unfinished(run.train.epochs, progress, [*settings, *others], output_dir)
    is_judged = is_judged_otherwise(saved.progress, begin, settings)
    return _Standing(progress, saved, [*settings, *others], is_judged)


def _start_accelerator(run: TrainingRun, output_dir: Path) -> Accelerator:
    """Devices, processes and trackers.

    Raises:
        ConfigError: if the run cannot be divided as Accelerate is configured.
    """
    accelerator = make_accelerator(
        run,
        gradient_accumulation_steps=run.train.accumulate_steps,
        log_with=[
            *make_trackers(run.trackers, output_dir),
            CurvesTracker(output_dir / LOG_FILE, output_dir / CURVES_FILE),
        ],
        project_config=ProjectConfiguration(logging_dir=str(output_dir)),
    )
    if accelerator.distributed_type == DistributedType.FSDP:
        if not accelerator.is_fsdp2:
            raise ConfigError("fsdp_config.fsdp_version of accelerate's settings: wanted 2")
        if run.train.ema_decay is not None:
            raise ConfigError("train.ema_decay: cannot average weights that are sharded (FSDP)")
    return accelerator


def _step_plan(run: TrainingRun, learning: Learning) -> StepPlan:
    batches = [
        (
            side.train.batch_size,
            len(side.clip.mean),
            side.clip.num_frames,
            side.clip.crop_size,
            side.clip.crop_size,
        )
        for side in learning.sides
    ]
    return StepPlan(batches, run.train, run.optimizer, run.precision, run.data.num_workers)


def _training_data(
    run: TrainingRun, learning: Learning, failures: FailurePolicy, accelerator: Accelerator
) -> TrainingData:
    try:
        order = TrainingOrder(
            len(learning.clips.manifest),
            rows_per_batch=run.train.batch_size // run.train.repeated_sampling,
            accumulate_steps=run.train.accumulate_steps,
            num_processes=accelerator.num_processes,
            process_index=accelerator.process_index,
            seed=run.seed,
            balance=learning.clips.balance,
        )
    except ConfigError as error:
        raise ConfigError(f"train.batch_size: {error}") from None
    clips, images = _train_clips(run, learning.clips), learning.images
    loader: TrainingLoader | PairedLoader
    loader = TrainingLoader(clips, order, run.data, accelerator.device)
    if images is not None:
        image_order = ImageOrder(len(images.manifest), images.train.batch_size, order)
        loader = PairedLoader(
            loader, _train_clips(run, images), image_order, run.data, accelerator.device
        )
    return TrainingData(
        manifests=tuple(side.manifest for side in learning.sides),
        loader=loader,
        failures=failures,
        num_workers=run.data.num_workers,
        max_failed_share=run.data.max_failed_share,
        images_per_batch=images.train.batch_size if images else 0,
    )


def _train_clips(run: TrainingRun, side: Side) -> TrainClips:
    return TrainClips(
        side.manifest,
        side.clip,
        side.augment,
        run.data.decoding(run.output_dir),
        run.seed,
        side.train.repeated_sampling,
    )


def _training_state(
    run: TrainingRun, model: PretrainedModel, standing: _Standing, accelerator: Accelerator
) -> TrainingState:
    """The model and all that trains it, on the device, as they were when they were saved."""
    saved = standing.saved
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
    settings = settings_of_run(run)
    return TrainingState(prepared, optimizer, standing.progress, template, average, settings)


def _task(run: TrainingRun, learning: Learning, shares: StepShares) -> Task:
    task = learning.clips.task
    if learning.images is None or run.images is None:
        return task
    weight, batches = run.images.loss_weight, run.train.accumulate_steps
    return JointTask(task, learning.images.task, weight, batches, shares)


def _rewind_output(run: TrainingRun, standing: _Standing, checkpoints: Checkpoints) -> None:
    """Settings as they are now; logs and checkpoints as they were where the run stands."""
    output_dir, saved = checkpoints.output_dir, standing.saved
    with atomic_path(output_dir / SETTINGS_FILE) as path:
        path.write_text(dump_yaml(run), encoding="utf-8")
    goes_on_counting = saved is not None and has_clips(saved.tallies)
    rewind_log(output_dir / LOG_FILE, standing.progress.step, goes_on_counting)
    checkpoints.rewind(standing.progress)


def _read_best(
    task: Task, standing: _Standing, checkpoints: Checkpoints, accelerator: Accelerator
) -> BestCheckpoint:
    """What was validated before, as the main process reads it in the log; the same in all."""
    output_dir, progress = checkpoints.output_dir, standing.progress
    kept = [int(path.name.removeprefix("step-")) for path in saved_checkpoints(output_dir)]
    log = read_lines(output_dir / LOG_FILE)
    found = BestCheckpoint(task.best_by, log, kept, progress.judged_after)
    best: BestCheckpoint
    (best,) = broadcast_object_list([found])
    if best.step and accelerator.is_main_process:
        checkpoints.mark_best(best.step)
    if standing.is_judged_otherwise:
        best.forget()
        progress.judged_after = best.last_step
    return best


def _validation(
    run: TrainingRun, learning: Learning, failures: FailurePolicy, accelerator: Accelerator
) -> Validation:
    sides = []
    for side, prefix in zip(learning.sides, (PREFIX, f"{PREFIX}image_"), strict=False):
        if side.held_out is not None:
            manifest, views = side.held_out
            decoding = run.data.decoding(run.output_dir)
            scorer = Scorer(
                manifest, side.task, views, run.data, run.seed, decoding, failures, accelerator
            )
            sides.append(HeldOut(side.task, scorer, prefix))
    every = learning.clips.validate_epochs
    return Validation(sides, every, accelerator.is_main_process)
