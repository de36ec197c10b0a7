"""Training checkpoints: what they hold, and how they are written while training goes on.

    OUTPUT/checkpoints/step-00000123/model/             config.json, model.safetensors,
                                                        preprocessor.json and what follows from it
                                                        for transformers: what users share
    OUTPUT/checkpoints/step-00000123/training_state.pt  parameter groups, scaler, progress, tallies
    OUTPUT/checkpoints/step-00000123/optimizer/         tensors of the optimizer, in safetensors
                                                        files; under FSDP, some of each process
    OUTPUT/checkpoints/step-00000123/checksums.json     SHA-256 of each of these files
    OUTPUT/last, OUTPUT/best                            links to the newest and the best model/

A checkpoint is written beside, flushed and renamed, so it is complete or absent; the sums reveal
later damage. There is no random state to save: see ``seeding.py``. ``resume.py`` reads what is
written here.

``torch.distributed.checkpoint`` handles shards (FSDP): weights are gathered, because users share
them; the optimizer's tensors stay sharded (``optimizer_state.py``).
"""

from __future__ import annotations

import copy
import json
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
)
from torch.optim.swa_utils import AveragedModel

from hiera_video.errors import CheckpointError, reason_of
from hiera_video.files import UNFINISHED, atomic_path, atomic_symlink, sha256
from hiera_video.models.finite import describe_not_finite_weight
from hiera_video.models.layouts import TARGETS_FILE, Checkpoint, write_checkpoint
from hiera_video.models.pretrained import PretrainedModel
from hiera_video.training.optimizer_state import (
    OPTIMIZER_FOLDER,
    optimizer_tensors,
    plain_optimizer,
    write_optimizer,
)

SETTINGS_FILE = "config.yaml"
STATE_FILE = "training_state.pt"
CHECKSUMS_FILE = "checksums.json"


@dataclass
class Progress:
    """How far a run has come, in units that do not depend on batches and processes.

    Attributes:
        step: optimizer steps done.
        passes, epochs: passes over the videos done, and the clips these took of each video.
        rows: rows done of the current pass, over all processes. It goes through ``num_rows`` in the
            order of ``seed`` and takes ``repeats`` clips of each; between passes, ``repeats`` is
            that of the last pass.
        images: images done, over all processes, of permutations of ``num_images``, one after the
            other.
        videos, labels, image_files, validation: digests of the manifests' contents
            (:func:`~hiera_video.training.changes.digest`); empty if an older version saved this.
        sampler: by which the order of the pass is made (``data.sampler``).
        judged_after: figures of validation up to this step are not comparable with later ones.
    """

    step: int = 0
    passes: int = 0
    rows: int = 0
    num_rows: int = 0
    seed: int = 0
    epochs: int = 0
    repeats: int = 1
    images: int = 0
    num_images: int = 0
    videos: str = ""
    labels: str = ""
    image_files: str = ""
    validation: str = ""
    judged_after: int = 0
    sampler: str = "uniform"


@dataclass
class TrainingState:
    """The state that changes while a run trains: everything that a checkpoint must hold.

    ``model`` and ``optimizer`` are those that Accelerator prepared. ``average`` is the moving
    average of the weights, if the run keeps one; it is then evaluated and shared in their place.
    ``template`` is the model before it was prepared, without weights (on the meta device).
    ``settings`` are those of the run, under dotted keys.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    progress: Progress
    template: PretrainedModel
    average: AveragedModel | None = None
    settings: dict[str, Any] = field(default_factory=dict)


def unwrapped(model: nn.Module, accelerator: Accelerator) -> nn.Module:
    """The model inside one that Accelerator prepared.

    ``keep_torch_compile`` is off: it would take a compiled model out of DDP for good, which would
    then reduce the gradients of every accumulated batch.
    """
    return accelerator.unwrap_model(model, keep_torch_compile=False)


def evaluated_model(state: TrainingState, accelerator: Accelerator) -> nn.Module:
    """The model to validate.

    With FSDP, every process gets a whole copy: processes validate different numbers of batches, and
    shards can only be gathered by all processes at once.
    """
    if state.average is not None:
        return state.average.module
    if not accelerator.is_fsdp2:
        return state.model
    whole = StateDictOptions(full_state_dict=True)
    weights = get_model_state_dict(unwrapped(state.model, accelerator), options=whole)
    model = copy.deepcopy(state.template)
    model.load_state_dict(weights, assign=True)
    return model


@dataclass
class Snapshot:
    """A training state in host memory: ``model`` is the part that users share, ``values`` the rest.

    The main process has both, and the ``optimizer``'s tensors by their names in the checkpoint.
    With FSDP, every process has its shards of these tensors.
    """

    model: Checkpoint | None
    values: dict[str, Any]
    optimizer: dict[str, Tensor]


def take_snapshot(
    accelerator: Accelerator, state: TrainingState, tallies: list[list[float]]
) -> Snapshot:
    """Copy ``state`` to the host memory of the main process; with FSDP, every process copies its
    shards of the optimizer's tensors.

    All processes must call this: sharded weights are gathered, one tensor at a time, so that users
    share the same files however a run was sharded.
    """
    main = accelerator.is_main_process
    trained = unwrapped(state.model, accelerator)
    weights = _copy_weights(trained)
    average = _copy_weights(state.average.module) if state.average else None
    optimizer = plain_optimizer(state.optimizer)
    tensors: dict[str, Tensor] = {}
    # Without a step (the scaler of fp16 may skip some) there are none, and asking makes some up.
    if optimizer.state and (main or accelerator.is_fsdp2):
        whole: Any = get_optimizer_state_dict(trained, optimizer)
        named = optimizer_tensors(whole["state"])
        tensors = {
            name: tensor.detach().to("cpu", copy=True).contiguous()
            for name, tensor in named.items()
        }
    if not main:
        return Snapshot(None, {}, tensors)
    values = {
        "optimizer": {"param_groups": optimizer.state_dict()["param_groups"]},
        "scaler": accelerator.scaler.state_dict() if accelerator.scaler else None,
        "progress": asdict(state.progress),
        "settings": state.settings,
        "tallies": tallies,
        # Without an average, the trained weights are those that are shared.
        "weights": weights if average else None,
    }
    return Snapshot(state.template.to_checkpoint(average or weights), values, tensors)


def _copy_weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of all weights in the host memory of the main process; empty in other processes."""
    whole = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights: dict[str, Any] = get_model_state_dict(model, options=whole)
    # On a CPU, these are the weights themselves, which training goes on to change.
    on_cpu = next(model.parameters()).device.type == "cpu"
    return copy.deepcopy(weights) if on_cpu else weights


class Checkpoints:
    """The checkpoints of one run: the latest ``keep``, and the best one.

    A thread of the main process writes them (with FSDP, a thread of every process). Training waits
    only if the previous checkpoint is not finished. The next :meth:`check` or :meth:`wait` raises
    an error of the thread. ``newest`` is the newest checkpoint that is known to be whole.
    """

    def __init__(self, output_dir: Path, keep: int, newest: Path | None = None) -> None:
        self.output_dir = output_dir.absolute()
        self.keep = keep
        self.newest = newest and newest.absolute()
        self.best_step = 0
        self._writer = ThreadPoolExecutor(max_workers=1)
        self._writing: tuple[Path, Future[None]] | None = None
        self._group: Any = None

    def directory(self, step: int) -> Path:
        """Where the checkpoint of ``step`` is."""
        return self.output_dir / "checkpoints" / f"step-{step:08d}"

    def rewind(self, progress: Progress) -> None:
        """Prepare a folder for a run that starts at ``progress``.

        Removes checkpoints of later steps, damaged or of another course of the run; one of this
        step, unless the run resumes from it; and the remains of an interrupted save.
        """
        for checkpoint in saved_checkpoints(self.output_dir):
            if checkpoint >= self.directory(progress.step) and checkpoint != self.newest:
                shutil.rmtree(checkpoint)
        for unfinished in self.output_dir.glob(f"checkpoints/{UNFINISHED}*"):
            shutil.rmtree(unfinished)

    def save(
        self, accelerator: Accelerator, state: TrainingState, tallies: list[list[float]]
    ) -> None:
        """Copy the state of this step, and have it written, unless its checkpoint exists.

        Raises:
            CheckpointError: if the previous checkpoint could not be written.
        """
        self.wait()
        target = self.directory(state.progress.step)
        if target == self.newest:
            return
        snapshot = take_snapshot(accelerator, state, tallies)
        if accelerator.is_fsdp2 and self._group is None:
            # For the writing threads alone: others are in use while they write.
            self._group = torch.distributed.new_group(backend="gloo")
        self._writing = target, self._writer.submit(self._write, target, snapshot)

    def check(self) -> None:
        """Raise an error that the writing thread has met, if any; see :meth:`wait`."""
        if self._writing and self._writing[1].done():
            self.wait()

    def wait(self) -> None:
        """Wait until the last checkpoint is on disk.

        Raises:
            CheckpointError: if it cannot be written.
        """
        if self._writing:
            (target, writing), self._writing = self._writing, None
            writing.result()
            self.newest = target

    def complete(self, step: int, targets: bytes | None) -> None:
        """Add to the checkpoint of ``step`` what validation found for its task, if anything.

        The sum that is listed follows the file, so that an end between the two loses nothing: a
        file that is not listed is not looked at, and the validation that follows writes it again.
        """
        if targets is None:
            return
        self.wait()
        directory = self.directory(step)
        path, listed = directory / "model" / TARGETS_FILE, directory / CHECKSUMS_FILE
        sums = json.loads(listed.read_text(encoding="utf-8"))
        if sums.pop(f"model/{TARGETS_FILE}", None):
            _write_sums(listed, sums)
        with atomic_path(path) as temporary:
            temporary.write_bytes(targets)
        _write_sums(listed, {**sums, f"model/{TARGETS_FILE}": sha256(path)})

    def mark_best(self, step: int) -> None:
        """Link the checkpoint of ``step`` as the best, and keep it until there is a better one."""
        self.wait()
        self.best_step = step
        atomic_symlink(self.output_dir / "best", self.directory(step) / "model")
        self._remove_old()

    def _write(self, target: Path, snapshot: Snapshot) -> None:
        """Write a checkpoint; processes other than the main one write their shards."""
        try:
            if snapshot.model is not None:
                self._write_checkpoint(target, snapshot.model, snapshot)
            elif snapshot.optimizer:
                write_optimizer(snapshot.optimizer, None, self._group)
        except (OSError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(
                f"{target}: cannot be written ({reason_of(error, system=True)}); the newest whole "
                f"checkpoint is {self.newest or 'none'}"
            ) from error

    def _write_checkpoint(self, target: Path, model: Checkpoint, snapshot: Snapshot) -> None:
        self._check_finite(target, model, snapshot)
        target.parent.mkdir(exist_ok=True)
        with atomic_path(target) as directory:
            if snapshot.optimizer:
                write_optimizer(snapshot.optimizer, directory / OPTIMIZER_FOLDER, self._group)
            write_checkpoint(model, directory / "model", "hiera_video")
            with (directory / STATE_FILE).open("wb") as file:
                torch.save(snapshot.values, file)
            write_checksums(directory)
        atomic_symlink(self.output_dir / "last", target / "model")
        self._remove_old()

    def _check_finite(self, target: Path, model: Checkpoint, snapshot: Snapshot) -> None:
        """Make sure that all weights are finite, in the background, before anything is written.

        A finite loss may have a gradient that is not finite; otherwise only the next loss would
        show what it made of the weights.

        Raises:
            CheckpointError: naming a weight, or an average, that is not finite.
        """
        # What is shared is the average, where there is one; the trained weights are beside it.
        kinds = {"weight": model.weights}
        if trained := snapshot.values["weights"]:
            kinds = {"weight": trained, "average of the weight": model.weights}
        for kind, weights in kinds.items():
            if fault := describe_not_finite_weight(weights):
                raise CheckpointError(
                    f"{target}: is not written, since the {kind} {fault}; the newest "
                    f"whole checkpoint is {self.newest or 'none'}; try a lower optimizer.lr or "
                    "train.clip_grad_norm"
                )

    def _remove_old(self) -> None:
        for old in saved_checkpoints(self.output_dir)[: -self.keep]:
            if old != self.directory(self.best_step):
                shutil.rmtree(old)


def saved_checkpoints(output_dir: Path) -> list[Path]:
    """The checkpoints of the run in a folder, oldest first."""
    return sorted(output_dir.glob("checkpoints/step-*"))


def write_checksums(directory: Path) -> None:
    """List the SHA-256 of every file below ``directory`` in its ``checksums.json``."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    sums = {path.relative_to(directory).as_posix(): sha256(path) for path in files}
    _write_sums(directory / CHECKSUMS_FILE, sums)


def _write_sums(listed: Path, sums: dict[str, str]) -> None:
    with atomic_path(listed) as path:
        path.write_text(json.dumps(sums, indent=2) + "\n", encoding="utf-8")


def verify_checksums(directory: Path) -> None:
    """Compare a checkpoint with its ``checksums.json``.

    Raises:
        CheckpointError: naming the first file that is missing or differs.
    """
    listed = directory / CHECKSUMS_FILE
    try:
        sums = dict(json.loads(listed.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{listed}: cannot be read ({reason_of(error)})") from None
    for name, expected in sums.items():
        try:
            found = sha256(directory / name)
        except OSError as error:
            raise CheckpointError(
                f"{directory / name}: cannot be read ({reason_of(error)})"
            ) from None
        if found != expected:
            raise CheckpointError(f"{directory / name}: differs from what {CHECKSUMS_FILE} lists")
