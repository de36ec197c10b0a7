"""The training loop. Everything that happens in training can be seen in :func:`train_epochs`."""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader

from hiera_video.batch import ClipBatch
from hiera_video.command import progress_bar
from hiera_video.config import TrainingRun
from hiera_video.data.failures import FailurePolicy
from hiera_video.data.loader import TrainingOrder
from hiera_video.errors import UserError
from hiera_video.seeding import derive_seed
from hiera_video.training.checkpoint import Checkpoints, Progress, TrainingState
from hiera_video.training.optim import learning_rate, scale_to_batch, set_learning_rate
from hiera_video.training.trackers import Stopwatch


class Task(Protocol):
    """What is learned: fine-tuning and pre-training each are one, and share the loop."""

    def loss(self, model: nn.Module, batch: ClipBatch) -> Tensor:
        """The loss of a batch of at least one clip, to go backward from."""

    def meters(self) -> dict[str, float]:
        """Figures since the last call, over all processes."""

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Figures on held-out videos; ``val/top1``, if there, decides which checkpoint is best."""


def train_epochs(
    run: TrainingRun,
    task: Task,
    state: TrainingState,
    loader: DataLoader[ClipBatch],
    order: TrainingOrder,
    checkpoints: Checkpoints,
    failures: FailurePolicy,
    accelerator: Accelerator,
) -> None:
    """Train from ``state.progress`` to the last epoch."""
    model, optimizer, progress = state.model, state.optimizer, state.progress
    rates = scale_to_batch(run.optimizer, clips_per_step(run, accelerator))
    stopwatch = Stopwatch()
    while progress.passes < run.train.num_passes:
        order.epoch, order.first_batch = progress.passes, progress.batch
        failed_before = failures.num_failed
        model.train()
        bar = _progress_bar(run, order, accelerator)
        for batch in stopwatch.waiting(loader):
            failures.handle(batch.failures)
            stopwatch.count(len(batch))
            # Accumulated batches share the rate of the first of them, as one large batch would.
            first_batch = progress.batch - progress.batch % run.train.accumulate_steps
            epoch = progress.passes + first_batch / order.batches_per_epoch
            epoch *= run.train.repeated_sampling
            set_learning_rate(optimizer, learning_rate(rates, epoch, run.train.epochs))
            _seed_batch(run.seed, progress, accelerator)

            with accelerator.accumulate(model):
                loss = (
                    task.loss(model, batch) if len(batch) else _no_loss(model, batch, accelerator)
                )
                accelerator.backward(loss)
                if accelerator.sync_gradients and run.train.clip_grad_norm:
                    accelerator.clip_grad_norm_(model.parameters(), run.train.clip_grad_norm)
                optimizer.step()
                optimizer.zero_grad()

            progress.batch += 1
            bar.update()
            if not accelerator.sync_gradients:
                continue
            progress.step += 1
            if state.average is not None:
                state.average.update_parameters(accelerator.unwrap_model(model))
            if progress.step % run.train.log_steps == 0:
                _log(task, stopwatch, optimizer, progress, epoch, bar, accelerator)
            if _checkpoint_is_due(run, order, progress):
                checkpoints.save(accelerator, state, run.clip)
        bar.close()

        progress.passes, progress.batch = progress.passes + 1, 0
        _check_failed_share(run, order, failures.num_failed - failed_before, accelerator)
        epoch = progress.passes * run.train.repeated_sampling
        if epoch % run.train.validate_epochs == 0 or epoch == run.train.epochs:
            _validate(task, state, epoch, accelerator)
            stopwatch = Stopwatch()
        checkpoints.save(accelerator, state, run.clip)


def clips_per_step(run: TrainingRun, accelerator: Accelerator) -> int:
    """Clips that go into one optimizer step, over all processes and accumulated batches."""
    return run.train.batch_size * accelerator.num_processes * run.train.accumulate_steps


def _checkpoint_is_due(run: TrainingRun, order: TrainingOrder, progress: Progress) -> bool:
    """Within an epoch, every ``train.checkpoint_steps``; its end is saved after validation."""
    every = run.train.checkpoint_steps
    within = progress.batch < order.batches_per_epoch
    return within and every is not None and progress.step % every == 0


def _no_loss(model: nn.Module, batch: ClipBatch, accelerator: Accelerator) -> Tensor:
    """0, with gradients, for a batch all of whose videos failed.

    The model runs on a blank clip, so that no process waits for another one's gradients.
    """
    blank = torch.zeros((1, *batch.pixel_values.shape[1:]), device=accelerator.device)
    return model(blank).logits.float().sum() * 0


def _seed_batch(seed: int, progress: Progress, accelerator: Accelerator) -> None:
    """Mixing and drop path draw from torch's generators, which start anew for every batch."""
    torch.manual_seed(derive_seed(seed, progress.passes, progress.batch, accelerator.process_index))


def _progress_bar(run: TrainingRun, order: TrainingOrder, accelerator: Accelerator) -> Any:
    return progress_bar(
        total=order.batches_per_epoch,
        initial=order.first_batch,
        desc=f"epoch {(order.epoch + 1) * run.train.repeated_sampling}/{run.train.epochs}",
        unit="batch",
        disable=not accelerator.is_main_process,
    )


def _log(
    task: Task,
    stopwatch: Stopwatch,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    epoch: float,
    bar: Any,
    accelerator: Accelerator,
) -> None:
    meters = task.meters()
    speed = stopwatch.read(accelerator.num_processes)
    # Where every video since the last line failed, there is no loss.
    if not math.isfinite(meters.get("train/loss", 0.0)):
        raise UserError(
            f"the loss is {meters['train/loss']} at step {progress.step}: try a lower "
            "optimizer.lr, train.clip_grad_norm, or precision=bf16 instead of fp16"
        )
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


def _validate(task: Task, state: TrainingState, epoch: int, accelerator: Accelerator) -> None:
    progress = state.progress
    metrics = task.validate(state.evaluated_model)
    if not metrics:
        return
    accelerator.log({**metrics, "epoch": epoch}, step=progress.step)
    accelerator.print(
        f"epoch {epoch}: "
        + "  ".join(f"{name.removeprefix('val/')} {value:.4f}" for name, value in metrics.items())
    )
    if metrics["val/top1"] > progress.best_accuracy:
        progress.best_accuracy, progress.best_step = metrics["val/top1"], progress.step


def _check_failed_share(
    run: TrainingRun, order: TrainingOrder, num_failed: int, accelerator: Accelerator
) -> None:
    """Under ``data.on_error=skip``, stop when too many of an epoch's videos failed."""
    counts = torch.tensor([num_failed, len(order) * order.rows_per_batch])
    failed, seen = accelerator.reduce(counts.to(accelerator.device)).tolist()
    if failed > run.data.max_failed_share * seen:
        raise UserError(
            f"{failed} of {seen} videos could not be read, more than data.max_failed_share="
            f"{run.data.max_failed_share}; they are listed in {run.output_dir}"
        )
