"""The training loop. Everything that happens in training can be seen in :func:`train_epochs`."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from hiera_video.batch import ClipBatch
from hiera_video.data.failures import FailurePolicy
from hiera_video.data.loader import TrainingLoader, TrainingOrder, faster_loading
from hiera_video.data.paired_loader import PairedBatch, PairedLoader
from hiera_video.errors import Interrupted, TrainingError
from hiera_video.runtime import progress_bar
from hiera_video.seeding import derive_seed
from hiera_video.tasks.meters import ClipMean, read_tallies
from hiera_video.tasks.step_shares import StepShares
from hiera_video.training.agreement import Watch
from hiera_video.training.optim import learning_rate, scale_to_batch, set_learning_rate
from hiera_video.training.saving import (
    Checkpoints,
    Progress,
    TrainingState,
    evaluated_model,
    unwrapped,
)
from hiera_video.training.settings import TrainingRun
from hiera_video.training.trackers import Stopwatch, Validations

#: A share of the time spent waiting for data that is worth a word.
_MUCH_WAITING = 0.2


class Task(Protocol):
    """What is learned: fine-tuning and pre-training each are one, and share the loop."""

    @property
    def validates(self) -> bool:
        """Whether there are videos to validate on."""

    @property
    def means(self) -> dict[str, ClipMean]:
        """What is logged: means over clips, which :meth:`loss` updates."""

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """The sum of the losses of a batch's clips, divided by the number of clips of a whole
        batch, to go backward from; see ``losses.no_loss`` for an empty one."""

    def validate(self, model: nn.Module) -> dict[str, float | None]:
        """Figures on held-out videos, None where there is nothing to measure; ``val/top1`` decides
        which checkpoint is best."""


def train_epochs(
    run: TrainingRun,
    task: Task,
    state: TrainingState,
    loader: TrainingLoader | PairedLoader,
    checkpoints: Checkpoints,
    validations: Validations,
    failures: FailurePolicy,
    watch: Watch,
    shares: StepShares,
    accelerator: Accelerator,
) -> None:
    """Train from ``state.progress`` to the last epoch.

    Raises:
        Interrupted: in all processes, after a checkpoint, if one of them received a signal.
        TrainingError: in all processes, if the loss was not finite in one of them, or if too many
            videos could not be read.
    """
    model, optimizer, progress = state.model, state.optimizer, state.progress
    order = loader.order
    rates = scale_to_batch(run.optimizer, clips_per_step(run, accelerator))
    clips_wanted, num_clips = run.train.batch_size * run.train.accumulate_steps, 0
    logged_step = progress.step
    batches_per_step = accelerator.num_processes * run.train.accumulate_steps
    images_per_step = run.images.batch_size * batches_per_step if run.images else 0

    def save() -> None:
        watch.settle()
        tallies = read_tallies(task.means.values(), failures.num_failed)
        checkpoints.save(accelerator, state, tallies)

    def log(epoch: float) -> None:
        """What was counted since it was called last."""
        nonlocal logged_step
        if progress.step > logged_step:
            _log(task, watch, stopwatch, optimizer, progress, epoch, bar, accelerator)
        logged_step = progress.step

    if progress.passes and not progress.rows:  # the run may have ended before it was validated
        save()
        _validate(run, task, state, validations, checkpoints, accelerator)
    stopwatch = Stopwatch()
    while progress.epochs < run.train.epochs:
        progress.repeats = run.train.repeated_sampling
        if progress.rows == 0:
            failures.num_failed = 0
        model.train()
        epoch, received = float(progress.epochs), 0
        bar = _progress_bar(run, progress, order, accelerator)
        first_batch = order.first_batch(progress.rows)
        batches: Iterator[ClipBatch | PairedBatch] = loader.batches(
            progress.passes, progress.rows, progress.images
        )
        for number, batch in enumerate(stopwatch.waiting(batches), start=first_batch):
            failures.handle(batch)
            stopwatch.count(len(batch))
            # Accumulated batches share the rate of the first of them, as one large batch would.
            epoch = progress.epochs + progress.repeats * progress.rows / progress.num_rows
            set_learning_rate(optimizer, learning_rate(rates, epoch, run.train.epochs))
            _seed_batch(run.seed, progress.passes, number, accelerator)

            with accelerator.accumulate(model):
                with accelerator.autocast():
                    loss = task.loss(model, batch)
                watch.see_loss(progress.step + 1, loss, batch.rows)
                num_clips += len(batch)
                if accelerator.sync_gradients:  # the last batch of its step
                    shares.begin([num_clips], [clips_wanted])
                    num_clips = 0
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    shares.rescale(model)
                if accelerator.sync_gradients and run.train.clip_grad_norm:
                    norm = accelerator.clip_grad_norm_(model.parameters(), run.train.clip_grad_norm)
                    watch.see_gradient_norm(progress.step + 1, norm)
                optimizer.step()
                optimizer.zero_grad()

            bar.update()
            if not accelerator.sync_gradients:
                continue
            progress.step += 1
            progress.rows += order.rows_per_step
            progress.images += images_per_step
            if state.average is not None:
                state.average.update_parameters(unwrapped(model, accelerator))
            if progress.step % run.train.log_steps == 0:
                log(epoch)
            received = watch.agree(progress.step)
            checkpoints.check()
            if not _is_within_pass(order, progress):  # the end of one is saved below
                continue
            if received or _checkpoint_is_due(run, progress):
                save()
            if received:
                bar.close()
                log(epoch)
                _stop(received, progress, checkpoints, accelerator)
        bar.close()
        _advise(run, stopwatch.pass_wait_share, accelerator)
        _check_failed_share(run, progress, failures.num_failed, accelerator)
        progress.passes, progress.rows = progress.passes + 1, 0
        progress.epochs += progress.repeats
        if progress.epochs >= run.train.epochs:  # before it is saved: nothing is counted further
            log(epoch)
        save()  # first, so that nothing is lost if the run is ended while it validates
        if received:
            log(epoch)
            _stop(received, progress, checkpoints, accelerator)
        _validate(run, task, state, validations, checkpoints, accelerator)
        stopwatch = Stopwatch()
    checkpoints.wait()
    accelerator.wait_for_everyone()


def clips_per_step(run: TrainingRun, accelerator: Accelerator) -> int:
    """Clips that go into one optimizer step, over all processes and accumulated batches."""
    return run.train.batch_size * accelerator.num_processes * run.train.accumulate_steps


def _is_within_pass(order: TrainingOrder, progress: Progress) -> bool:
    return progress.rows + order.rows_per_step <= order.num_rows


def _checkpoint_is_due(run: TrainingRun, progress: Progress) -> bool:
    """Within a pass, every ``train.checkpoint_steps``; its end is saved in any case."""
    every = run.train.checkpoint_steps
    return every is not None and progress.step % every == 0


def _stop(
    received: int, progress: Progress, checkpoints: Checkpoints, accelerator: Accelerator
) -> None:
    checkpoints.wait()
    accelerator.wait_for_everyone()  # the launcher ends all processes when the first one ends
    accelerator.end_training()
    raise Interrupted(
        f"stopped by {signal.Signals(received).name} at step {progress.step}; rerun the same "
        f"command to resume from {checkpoints.newest}",
        received,
    )


def _advise(run: TrainingRun, wait_share: float, accelerator: Accelerator) -> None:
    """Say what to change where a pass has waited for data."""
    if wait_share > _MUCH_WAITING:
        accelerator.print(
            f"data wait {wait_share:.0%}: "
            + faster_loading(run.data, run.train.repeated_sampling, accelerator.num_processes)
        )


def _seed_batch(seed: int, epoch: int, number: int, accelerator: Accelerator) -> None:
    """Mixing and drop path draw from torch's generators, which start anew for every batch."""
    torch.manual_seed(derive_seed(seed, epoch, number, accelerator.process_index))


def _progress_bar(
    run: TrainingRun, progress: Progress, order: TrainingOrder, accelerator: Accelerator
) -> Any:
    return progress_bar(
        total=order.first_batch(progress.rows) + order.num_batches(progress.rows),
        initial=order.first_batch(progress.rows),
        desc=f"epoch {progress.epochs + progress.repeats}/{run.train.epochs}",
        unit="batch",
        disable=not accelerator.is_main_process,
    )


def _log(
    task: Task,
    watch: Watch,
    stopwatch: Stopwatch,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    epoch: float,
    bar: Any,
    accelerator: Accelerator,
) -> None:
    # Where every video since the last line failed, there is no mean.
    meters = {n: value for n, mean in task.means.items() if (value := mean.read()) is not None}
    if watch.gradient_norm is not None:
        meters["train/gradient_norm"] = watch.gradient_norm.item()
    speed = stopwatch.read(accelerator.num_processes)
    rate = max(group["lr"] for group in optimizer.param_groups)
    accelerator.log({**meters, **speed, "lr": rate, "epoch": epoch}, step=progress.step)
    shown = {name.removeprefix("train/"): f"{value:.3f}" for name, value in meters.items()}
    bar.set_postfix(
        shown
        | {
            "clips/s": f"{speed['clips_per_second']:.1f}",
            "data wait": f"{speed['data_wait_share']:.0%}",
        },
        refresh=False,
    )


def _validate(
    run: TrainingRun,
    task: Task,
    state: TrainingState,
    validations: Validations,
    checkpoints: Checkpoints,
    accelerator: Accelerator,
) -> None:
    """Validate the end of a pass, if that is due and was not done before."""
    progress, every = state.progress, run.train.validate_epochs
    epoch, before = progress.epochs, progress.epochs - progress.repeats
    is_due = epoch // every > before // every or epoch == run.train.epochs
    if not (task.validates and is_due) or progress.step <= validations.last_step:
        return
    metrics = task.validate(evaluated_model(state, accelerator))
    accelerator.log({**metrics, "epoch": epoch}, step=progress.step)
    accelerator.print(
        f"epoch {epoch}: "
        + "  ".join(
            f"{name.removeprefix('val/')} {'undefined' if value is None else f'{value:.4f}'}"
            for name, value in metrics.items()
        )
    )
    is_best = validations.add(progress.step, metrics["val/top1"])
    if is_best and accelerator.is_main_process:
        checkpoints.mark_best(progress.step)


def _check_failed_share(
    run: TrainingRun, progress: Progress, num_failed: int, accelerator: Accelerator
) -> None:
    """Under ``data.on_error=skip``, stop when too many of an epoch's videos failed."""
    failed = int(accelerator.reduce(torch.tensor(num_failed, device=accelerator.device)))
    seen = progress.rows
    if run.images:
        rows_per_batch = run.train.batch_size // run.train.repeated_sampling
        seen += seen // rows_per_batch * run.images.batch_size
    if failed > run.data.max_failed_share * seen:
        raise TrainingError(
            f"{failed} of {seen} videos could not be read, more than "
            f"data.max_failed_share={run.data.max_failed_share}; they are listed in "
            f"{run.output_dir}"
        )
