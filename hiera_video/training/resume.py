"""Resuming: find the newest usable checkpoint, and check that it fits the run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from hiera_video.config.machinery import flat_settings, load_yaml
from hiera_video.errors import CheckpointError, ConfigError, reason_of
from hiera_video.labels import same_names
from hiera_video.models.classification import HieraClassifier
from hiera_video.models.config import HieraConfig
from hiera_video.models.layouts import Checkpoint
from hiera_video.models.pretrained import PretrainedModel
from hiera_video.tasks.criteria import task_of
from hiera_video.training.optimizer_state import (
    OPTIMIZER_FOLDER,
    plain_optimizer,
    read_optimizer,
)
from hiera_video.training.rules import rule_of
from hiera_video.training.saving import (
    SETTINGS_FILE,
    STATE_FILE,
    Progress,
    saved_checkpoints,
    verify_checksums,
)

#: Fields that weights for pre-training bring with them and a classifier does not use.
_PRETRAINING_FIELDS = {
    "decoder_hidden_size",
    "decoder_depth",
    "decoder_num_heads",
    "decoder_mask_ratio",
    "mask_ratio",
    "normalize_pixel_loss",
}

logger = logging.getLogger(__name__)


@dataclass
class SavedState:
    """The training state of a checkpoint: everything but the weights that users share.

    ``settings`` are those of the run that saved it; empty if they are not known.
    """

    checkpoint: Path
    progress: Progress
    optimizer: dict[str, Any]
    scaler: dict[str, Any] | None
    tallies: list[list[float]]
    weights: dict[str, torch.Tensor] | None
    settings: dict[str, Any]


def find_resume(resume: str, output_dir: Path) -> list[Path]:
    """The checkpoints to resume from, best candidate first; empty for a fresh start.

    Args:
        resume: ``auto`` (this run's own checkpoints, newest first), ``never``, or a checkpoint
            directory, or the output folder of a run.

    Raises:
        CheckpointError: if a directory was given that holds none, or the output folder has
            checkpoints that would be lost: with ``never``, or with another run's directory.
    """
    saved = saved_checkpoints(output_dir)
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
    if saved and not given.resolve().is_relative_to(output_dir.resolve()):
        raise CheckpointError(
            f"resume={resume}: {output_dir} holds checkpoints of its own, which would be lost; "
            "give another output_dir, or use resume=auto to go on from them"
        )
    if (given / STATE_FILE).exists():
        return [given]
    candidates = saved_checkpoints(given)[::-1]
    if not candidates:
        raise CheckpointError(f"resume={resume}: holds no {STATE_FILE} and no checkpoints/step-*")
    return candidates


def read_saved(
    candidates: Sequence[Path], settings: Mapping[str, Any] | None = None
) -> SavedState | None:
    """Read the training state of the first whole candidate; None if there are no candidates.

    Damaged candidates are skipped with a warning. Weights are not read here.

    Args:
        settings: of the resumed run, under dotted keys; they complete a checkpoint of version 0.1.0
            whose own settings are not found.

    Raises:
        CheckpointError: if there are candidates and none is whole.
    """
    reasons = []
    for candidate in candidates:
        try:
            verify_checksums(candidate)
            state = _read_state(candidate, settings or {})
        except CheckpointError as error:
            reasons.append(str(error))
            continue
        for reason in reasons:
            logger.warning("checkpoint skipped: %s", reason)
        return state
    if reasons:
        raise CheckpointError(f"no checkpoint can be resumed: {reasons[0]}")
    return None


def load_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, saved: SavedState) -> None:
    """Load the saved state into the optimizer of ``model``'s parameters.

    With FSDP, every process reads its part of each tensor, however the tensors were sharded when
    they were saved.

    Raises:
        CheckpointError: if it is another optimizer, or has its parameters in other groups.
    """
    _check_same_optimizer(optimizer, saved)
    optimizer = plain_optimizer(optimizer)
    folder = saved.checkpoint / OPTIMIZER_FOLDER
    by_number = saved.optimizer.get("state", {})
    if by_number and folder.exists():
        raise CheckpointError(
            f"{saved.checkpoint}: its sharded optimizer was saved by a version that was never "
            "released; give another output_dir, and init_from to start from its weights"
        )
    if not by_number and not folder.exists():
        return  # no step was done yet
    # Hyper-parameters are those of the current settings, not of the checkpoint.
    state: dict[str, Any] = get_optimizer_state_dict(model, optimizer)
    if by_number:  # version 0.1.0 numbered the parameters, and wrote whole tensors
        names = [name for group in state["param_groups"] for name in group["params"]]
        state["state"] = {names[number]: tensors for number, tensors in by_number.items()}
    else:
        read_optimizer(state, folder)
    whole = StateDictOptions(full_state_dict=bool(by_number), strict=False)
    set_optimizer_state_dict(model, optimizer, state, options=whole)


def check_unfinished(
    epochs: int, progress: Progress, changed: Sequence[str], output_dir: Path
) -> None:
    """Make sure that a finished run of ``epochs`` is not started again with changed settings.

    Raises:
        ConfigError: naming them, since they would have no effect.
    """
    if changed and progress.epochs >= epochs:
        raise ConfigError(
            f"{output_dir}: this run is finished, with other settings ({', '.join(changed)}); give "
            "another output_dir"
        )


def check_same_step(saved: SavedState | None) -> None:
    """Make sure that all processes, on all machines, resume from the same step.

    Raises:
        CheckpointError: in all of them, if they found different steps.
    """
    steps = gather_object([saved.progress.step if saved else 0])
    if len(set(steps)) > 1:
        raise CheckpointError(
            f"processes found checkpoints of different steps ({', '.join(map(str, steps))}): "
            "wanted an output_dir that all machines share"
        )


def _check_same_optimizer(optimizer: torch.optim.Optimizer, saved: SavedState) -> None:
    def layout(groups: list[dict[str, Any]]) -> tuple[bool, list[int]]:
        return "betas" in groups[0], [len(group["params"]) for group in groups]

    if layout(saved.optimizer["param_groups"]) != layout(optimizer.param_groups):
        raise CheckpointError(
            f"{saved.checkpoint}: was saved with another optimizer.name or optimizer.layer_decay; "
            "go on with the same, or give another output_dir, and init_from to start from its "
            "weights"
        )


def check_same_model(saved: Checkpoint, model: type[PretrainedModel], config: HieraConfig) -> None:
    """Make sure that the weights of ``saved`` fit a ``model`` with this ``config``.

    Raises:
        ConfigError: naming the fields that differ and may not.
    """
    given, wanted = saved.config.to_dict(), config.to_dict()
    meaningless = _PRETRAINING_FIELDS if issubclass(model, HieraClassifier) else set()
    if task_of(saved.config.problem_type) == task_of(config.problem_type):
        meaningless = meaningless | {"problem_type"}  # version 0.1.0 said nothing
    if same_names(saved.config.id2label, config.id2label):
        meaningless = meaningless | {"id2label", "label2id"}  # written otherwise
    differences = [
        f"{name}={given[name]} instead of {wanted[name]}"
        for name in wanted
        if given[name] != wanted[name]
        and name not in meaningless
        and rule_of(f"model.{name}").kind == "refused"
    ]
    if saved.architecture != model.__name__:
        differences.append(f"it holds a {saved.architecture}, and this is a {model.__name__}")
    if differences:
        faults = [("", difference) for difference in differences]
        raise ConfigError("; ".join(differences), faults)


def _read_state(checkpoint: Path, settings: Mapping[str, Any]) -> SavedState:
    path = checkpoint / STATE_FILE
    try:
        # Mapped: each process of a machine reads all of it, and together they hold it once.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        if "settings" not in state:
            _complete(state, checkpoint, settings)
        return SavedState(checkpoint, **{**state, "progress": Progress(**state["progress"])})
    except Exception as error:  # what a file of another kind raises depends on what it is
        raise CheckpointError(f"{path}: cannot be read ({reason_of(error)})") from None


def _complete(state: dict[str, Any], checkpoint: Path, settings: Mapping[str, Any]) -> None:
    """Add the values that version 0.1.0 did not store, from the settings beside the checkpoint, or
    else from ``settings``."""
    state["settings"] = before = flat_settings(settings_beside(checkpoint))
    known = before or settings
    repeats = known.get("train.repeated_sampling", 1)
    progress = state["progress"]
    progress |= {"epochs": progress["passes"] * repeats, "repeats": repeats}
    batches = progress["step"] * known.get("train.accumulate_steps", 1) * len(state["tallies"])
    progress["images"] = batches * known.get("images.batch_size", 0)


def settings_beside(checkpoint: Path) -> dict[str, Any]:
    """The settings of the run that saved a checkpoint, in groups; empty if it was moved elsewhere.

    Raises:
        ConfigError: if they cannot be read.
    """
    config = checkpoint.parent.parent / SETTINGS_FILE
    return load_yaml(config) if config.exists() else {}
