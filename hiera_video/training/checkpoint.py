"""Training checkpoints that a run can go on from.

    OUTPUT/checkpoints/step-00000123/model/             config.json, model.safetensors,
                                                        preprocessor.json: what users share
    OUTPUT/checkpoints/step-00000123/training_state.pt  optimizer, scaler, progress
    OUTPUT/last, OUTPUT/best                            links to the newest and the best model/

A checkpoint is written beside and renamed, so it is there whole or not at all. There is no random
state to save: see ``seeding.py``.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.swa_utils import AveragedModel

from hiera_video.config import ClipSettings
from hiera_video.errors import CheckpointError
from hiera_video.files import atomic_path, atomic_symlink
from hiera_video.models.checkpoints import PretrainedModel, load_weights
from hiera_video.models.preprocessor import save_preprocessor

STATE_FILE = "training_state.pt"

#: Fields of the model that a run may change when it goes on.
_MAY_CHANGE = ("drop_path_rate", "head_dropout")

logger = logging.getLogger(__name__)


@dataclass
class Progress:
    """Where a run stands: optimizer steps done, passes over the videos done, batches done of the
    pass begun."""

    step: int = 0
    passes: int = 0
    batch: int = 0
    best_accuracy: float = -1.0
    best_step: int = 0


@dataclass
class TrainingState:
    """What changes while a run trains: all that a checkpoint has to hold.

    ``model`` and ``optimizer`` are those that Accelerator prepared; ``average``, if there is one,
    is the moving average of the weights, which is then what is evaluated and shared.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    progress: Progress
    average: AveragedModel | None = None

    @property
    def evaluated_model(self) -> nn.Module:
        """The model to evaluate and to share."""
        return self.model if self.average is None else self.average.module


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, output_dir: Path, keep: int) -> None:
        self.output_dir = output_dir
        self.keep = keep

    def saved(self) -> list[Path]:
        """Checkpoints, oldest first."""
        return sorted(self.output_dir.glob("checkpoints/step-*"))

    def rewind(self, progress: Progress) -> None:
        """Prepare a folder for a run that starts at ``progress``.

        Removes later checkpoints (damaged ones that were passed over, or what came of another
        course) and what an interrupted save left behind. Forgets a best one that is not here.
        """
        for checkpoint in self.saved():
            if checkpoint > self._directory(progress.step):
                shutil.rmtree(checkpoint)
        for unfinished in self.output_dir.glob("checkpoints/.step-*"):
            shutil.rmtree(unfinished)
        if not self._directory(progress.best_step).exists():
            progress.best_accuracy, progress.best_step = -1.0, 0

    def save(
        self,
        accelerator: Accelerator,
        state: TrainingState,
        clip: ClipSettings,
    ) -> None:
        """Write a checkpoint of this step, move the links, remove what is old."""
        if accelerator.is_main_process:
            target = self._directory(state.progress.step)
            target.parent.mkdir(exist_ok=True)
            if not target.exists():
                self._write(target, accelerator, state, clip)
            atomic_symlink(self.output_dir / "last", target / "model")
            best = self._directory(state.progress.best_step)
            if best.exists():
                atomic_symlink(self.output_dir / "best", best / "model")
            for old in self.saved()[: -self.keep]:
                if old != best:
                    shutil.rmtree(old)
        accelerator.wait_for_everyone()

    def _directory(self, step: int) -> Path:
        return self.output_dir / "checkpoints" / f"step-{step:08d}"

    @staticmethod
    def _write(
        target: Path,
        accelerator: Accelerator,
        state: TrainingState,
        clip: ClipSettings,
    ) -> None:
        shared = accelerator.unwrap_model(state.evaluated_model, keep_torch_compile=False)
        trained = accelerator.unwrap_model(state.model, keep_torch_compile=False)
        with atomic_path(target) as directory:
            shared.save_pretrained(directory / "model")
            save_preprocessor(directory / "model", clip)
            values = {
                "optimizer": state.optimizer.state_dict(),
                "scaler": accelerator.scaler.state_dict() if accelerator.scaler else None,
                "progress": asdict(state.progress),
                # Without an average, the trained weights are those that are shared.
                "weights": None if state.average is None else trained.state_dict(),
            }
            torch.save(values, directory / STATE_FILE)


def find_resume(resume: str, output_dir: Path) -> list[Path]:
    """Where to go on from, best candidate first; empty for a fresh start.

    Args:
        resume: ``auto`` (this run's own checkpoints, newest first), ``never``, or a checkpoint
            directory, or the output folder of a run.

    Raises:
        CheckpointError: if a directory was given that holds none, or ``never`` meets a folder with
            checkpoints of an earlier run.
    """
    saved = Checkpoints(output_dir, keep=1).saved()
    if resume == "auto":
        return saved[::-1]
    if resume == "never":
        if saved:
            raise CheckpointError(
                f"resume=never: {output_dir} holds checkpoints of an earlier run; give another "
                "output_dir, or remove it, or use resume=auto"
            )
        return []
    given = Path(resume)
    if (given / STATE_FILE).exists():
        return [given]
    candidates = Checkpoints(given, keep=1).saved()[::-1]
    if not candidates:
        raise CheckpointError(f"resume={resume}: holds no {STATE_FILE} and no checkpoints/step-*")
    return candidates


def load_checkpoint(candidates: list[Path], model: PretrainedModel) -> dict[str, Any] | None:
    """Load the weights of the first whole candidate into ``model``; return its training state.

    Damaged ones are passed over with a warning.

    Raises:
        CheckpointError: if there are candidates and none can be read, or it is of another model.
    """
    reasons = []
    for candidate in candidates:
        try:
            state = _read_state(candidate / STATE_FILE)
            saved = type(model).from_pretrained(candidate / "model")
        except CheckpointError as error:
            reasons.append(str(error))
            continue
        _check_same_model(saved, model, candidate)
        load_weights(model, saved.to_checkpoint().weights, str(candidate))
        for reason in reasons:
            logger.warning("checkpoint passed over: %s", reason)
        return state
    if reasons:
        raise CheckpointError(f"no checkpoint can be resumed: {reasons[0]}")
    return None


def _check_same_model(saved: PretrainedModel, model: PretrainedModel, source: Path) -> None:
    given, wanted = saved.config.to_dict(), model.config.to_dict()
    differences = [
        f"{name}={given[name]} instead of {wanted[name]}"
        for name in wanted
        if given[name] != wanted[name] and name not in _MAY_CHANGE
    ]
    if differences:
        raise CheckpointError(
            f"{source}: cannot go on with another model ({'; '.join(differences)}); give another "
            "output_dir, and init_from to start from these weights"
        )


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {**state, "progress": Progress(**state["progress"])}
    except Exception as error:  # what a damaged file raises depends on where it is damaged
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise CheckpointError(f"{path}: cannot be read ({reason})") from None
