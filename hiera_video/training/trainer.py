"""The training loop. Everything that happens in training can be seen in :meth:`Trainer.fit`."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator

from hiera_video.batch import ClipBatch
from hiera_video.config.groups import LoopSettings, OptimizerSettings
from hiera_video.data.failures import FailurePolicy
from hiera_video.data.loader import TrainingLoader, faster_loading
from hiera_video.data.manifest import Manifest
from hiera_video.data.paired_loader import PairedBatch, PairedLoader
from hiera_video.errors import Interrupted, TrainingError
from hiera_video.runtime import progress_bar
from hiera_video.seeding import derive_seed
from hiera_video.tasks.step_shares import StepShares
from hiera_video.tasks.task import BatchLoss, Task
from hiera_video.training.agreement import Origin, StopTogether
from hiera_video.training.meters import Meters
from hiera_video.training.optim import (
    clips_per_step,
    learning_rate,
    scale_to_batch,
    set_learning_rate,
)
from hiera_video.training.saving import Checkpoints, TrainingState, evaluated_model, unwrapped
from hiera_video.training.stopwatch import Stopwatch
from hiera_video.training.validation import BestCheckpoint, Validation

#: A share of the time spent waiting for data that is worth a word.
_MUCH_WAITING = 0.2


@dataclass(frozen=True)
class TrainingData:
    """What is trained on: ``manifests`` of the clips and, in joint training, of the images; the
    ``loader`` of both; images that go with each batch of clips; what to do about bad videos.

    ``max_failed_share`` is how many of an epoch's videos may fail before training stops;
    ``num_workers`` are the loader's processes, of which a slow run is advised.
    """

    manifests: tuple[Manifest, ...]
    loader: TrainingLoader | PairedLoader
    failures: FailurePolicy
    num_workers: int
    max_failed_share: float
    images_per_batch: int = 0


@dataclass
class Trainer:
    """All that takes part in training: made by ``preparing.py``, used by :meth:`fit`.

    ``seed`` seeds what a batch draws at random; figures are logged by ``accelerator``'s trackers.
    """

    task: Task
    state: TrainingState
    data: TrainingData
    meters: Meters
    validation: Validation
    best: BestCheckpoint
    checkpoints: Checkpoints
    stop: StopTogether
    shares: StepShares
    train: LoopSettings
    optimizer: OptimizerSettings
    seed: int
    accelerator: Accelerator
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    _bar: Any = None
    _epoch: float = 0.0
    _clips_of_step: int = 0
    _logged_step: int = 0

    def fit(self) -> None:
        """Train from where ``state.progress`` stands to the last epoch.

        Raises:
            Interrupted: in all processes, after a checkpoint, if one of them received a signal.
            TrainingError: in all processes, if the loss was not finite in one of them, or if too
                many videos could not be read.
        """
        accelerator, progress = self.accelerator, self.state.progress
        model, optimizer = self.state.model, self.state.optimizer
        self._logged_step = progress.step
        if progress.passes and not progress.rows:  # the run may have ended before it was validated
            self._save()
            self._validate()
        self.stopwatch = Stopwatch()
        while progress.epochs < self.train.epochs:
            model.train()
            received = 0
            for batch in self._pass():
                with accelerator.accumulate(model):
                    with accelerator.autocast():
                        loss = self.task.batch_loss(model, batch)
                    self._record(batch, loss)
                    accelerator.backward(loss.total)
                    if accelerator.sync_gradients:  # the last batch of its step
                        self.shares.rescale(model)
                        self._clip_gradient()
                    optimizer.step()
                    optimizer.zero_grad()
                if not accelerator.sync_gradients:
                    continue
                self._advance()
                if progress.step % self.train.log_steps == 0:
                    self._log()
                received = self.stop.agree(progress.step)
                self.checkpoints.check()
                if not self._is_within_pass():  # the end of one is saved below
                    continue
                if received or self._checkpoint_is_due():
                    self._save()
                if received:
                    self._stop(received)
            self._end_pass()
            self._save()  # first, so that nothing is lost if the run is ended while it validates
            if received:
                self._stop(received)
            self._validate()
            self.stopwatch = Stopwatch()
        self.checkpoints.wait()
        accelerator.wait_for_everyone()

    def _pass(self) -> Iterator[ClipBatch | PairedBatch]:
        """The batches that are left of the pass begun, each with its learning rate and seed set."""
        progress, order, accelerator = self.state.progress, self.data.loader.order, self.accelerator
        progress.repeats = self.train.repeated_sampling
        if progress.rows == 0:
            self.data.failures.num_failed = 0
        self._epoch = float(progress.epochs)
        first = order.first_batch(progress.rows)
        self._bar = progress_bar(
            total=first + order.num_batches(progress.rows),
            initial=first,
            desc=f"epoch {progress.epochs + progress.repeats}/{self.train.epochs}",
            unit="batch",
            disable=not accelerator.is_main_process,
        )
        rates = scale_to_batch(self.optimizer, clips_per_step(self.train, accelerator))
        for number, batch in enumerate(self.stopwatch.waiting(self._batches()), start=first):
            self.data.failures.handle(batch)
            self.stopwatch.count(len(batch))
            # Accumulated batches share the rate of the first of them, as one large batch would.
            self._epoch = progress.epochs + progress.repeats * progress.rows / progress.num_rows
            rate = learning_rate(rates, self._epoch, self.train.epochs)
            set_learning_rate(self.state.optimizer, rate)
            # Mixing and drop path draw from torch's generators, which start anew for every batch.
            process = accelerator.process_index
            torch.manual_seed(derive_seed(self.seed, progress.passes, number, process))
            yield batch
            self._bar.update()

    def _batches(self) -> Iterator[ClipBatch | PairedBatch]:
        """The batches that are left of the pass begun, as they are read."""
        progress = self.state.progress
        return self.data.loader.batches(progress.passes, progress.rows, progress.images)

    def _record(self, batch: ClipBatch | PairedBatch, loss: BatchLoss) -> None:
        """Note what a batch cost; with the last batch of a step, ask how many clips it has."""
        self.stop.see_loss(self.state.progress.step + 1, loss.total, self._origins(batch))
        self.meters.update(loss.means)
        self._clips_of_step += len(batch)
        if self.accelerator.sync_gradients:
            wanted = self.train.batch_size * self.train.accumulate_steps
            self.shares.begin([self._clips_of_step], [wanted])
            self._clips_of_step = 0

    def _origins(self, batch: ClipBatch | PairedBatch) -> list[Origin]:
        parts = (batch.clips, batch.images) if isinstance(batch, PairedBatch) else (batch,)
        rows = [part.rows for part in parts]
        return list(zip(self.data.manifests, rows, strict=True))

    def _clip_gradient(self) -> None:
        if self.train.clip_grad_norm:
            parameters = self.state.model.parameters()
            norm = self.accelerator.clip_grad_norm_(parameters, self.train.clip_grad_norm)
            self.stop.see_gradient_norm(self.state.progress.step + 1, norm)

    def _advance(self) -> None:
        """Count a step that is done, and let the average of the weights follow it."""
        state, accelerator = self.state, self.accelerator
        state.progress.step += 1
        state.progress.rows += self.data.loader.order.rows_per_step
        batches = accelerator.num_processes * self.train.accumulate_steps
        state.progress.images += self.data.images_per_batch * batches
        if state.average is not None:
            state.average.update_parameters(unwrapped(state.model, accelerator))

    def _is_within_pass(self) -> bool:
        order, progress = self.data.loader.order, self.state.progress
        return progress.rows + order.rows_per_step <= order.num_rows

    def _checkpoint_is_due(self) -> bool:
        """Within a pass, every ``train.checkpoint_steps``; its end is saved in any case."""
        every = self.train.checkpoint_steps
        return every is not None and self.state.progress.step % every == 0

    def _end_pass(self) -> None:
        """Count the pass, say what was wrong with its videos, and log what is left at the end.

        Raises:
            TrainingError: in all processes, if too many videos failed.
        """
        progress = self.state.progress
        self._bar.close()
        self._advise()
        self._check_failed_share()
        progress.passes, progress.rows = progress.passes + 1, 0
        progress.epochs += progress.repeats
        if progress.epochs >= self.train.epochs:  # before it is saved: nothing is counted further
            self._log()

    def _advise(self) -> None:
        """Say what to change where a pass has waited for data."""
        share = self.stopwatch.pass_wait_share
        if share > _MUCH_WAITING:
            advice = faster_loading(
                self.data.num_workers, self.train.repeated_sampling, self.accelerator.num_processes
            )
            self.accelerator.print(f"data wait {share:.0%}: {advice}")

    def _check_failed_share(self) -> None:
        """Under ``data.on_error=skip``, stop when too many of an epoch's videos failed."""
        accelerator, failures = self.accelerator, self.data.failures
        counted = torch.tensor(failures.num_failed, device=accelerator.device)
        failed, seen = int(accelerator.reduce(counted)), self.state.progress.rows
        seen += seen // self.data.loader.order.rows_per_batch * self.data.images_per_batch
        if failed > self.data.max_failed_share * seen:
            raise TrainingError(
                f"{failed} of {seen} videos could not be read, more than "
                f"data.max_failed_share={self.data.max_failed_share}; they are listed in "
                f"{failures.folder}"
            )

    def _save(self) -> None:
        self.stop.settle()
        tallies = self.meters.read_tallies(self.data.failures.num_failed)
        self.checkpoints.save(self.accelerator, self.state, tallies)

    def _stop(self, received: int) -> None:
        """End the run in good order: what was counted is logged, what was saved is on disk."""
        self._bar.close()
        self._log()
        self.checkpoints.wait()
        self.accelerator.wait_for_everyone()  # the launcher ends all processes when one ends
        self.accelerator.end_training()
        raise Interrupted(
            f"stopped by {signal.Signals(received).name} at step {self.state.progress.step}; rerun "
            f"the same command to resume from {self.checkpoints.newest}",
            received,
        )

    def _log(self) -> None:
        """Log the means of what was counted since the last line, if there were steps."""
        step, accelerator = self.state.progress.step, self.accelerator
        if step == self._logged_step:
            return
        self._logged_step = step
        means = {f"train/{name}": value for name, value in self.meters.read().items()}
        if self.stop.gradient_norm is not None:
            means["train/gradient_norm"] = self.stop.gradient_norm.item()
        speed = self.stopwatch.read(accelerator.num_processes)
        rate = max(group["lr"] for group in self.state.optimizer.param_groups)
        accelerator.log({**means, **speed, "lr": rate, "epoch": self._epoch}, step=step)
        shown = {name.removeprefix("train/"): f"{value:.3f}" for name, value in means.items()}
        shown["clips/s"] = f"{speed['clips_per_second']:.1f}"
        shown["data wait"] = f"{speed['data_wait_share']:.0%}"
        self._bar.set_postfix(shown, refresh=False)

    def _validate(self) -> None:
        """Validate the end of a pass, if that is due and was not done before."""
        progress = self.state.progress
        epoch, before = progress.epochs, progress.epochs - progress.repeats
        is_due = self.validation.is_due(before, epoch, self.train.epochs)
        if not is_due or progress.step <= self.best.last_step:
            return
        figures = self.validation.measure(evaluated_model(self.state, self.accelerator))
        if self.accelerator.is_main_process:  # before it is logged: then it is not done again
            self.checkpoints.complete(progress.step, self.task.dump())
        self.accelerator.log({**figures, "epoch": epoch}, step=progress.step)
        shown = (
            f"{name.removeprefix('val/')} {'undefined' if value is None else f'{value:.4f}'}"
            for name, value in figures.items()
        )
        self.accelerator.print(f"epoch {epoch}: {'  '.join(shown)}")
        is_best = self.best.add(progress.step, figures)
        if is_best and self.accelerator.is_main_process:
            self.checkpoints.mark_best(progress.step)
