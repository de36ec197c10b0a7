"""What we use of other libraries beyond what they document is there, and does what we use it for.

Where one of these fails after an upgrade, ``hiera_video/compat.py`` is the file to mend.
"""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import tarfile
import threading
import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
import torch.distributed.checkpoint as dcp
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import FullyShardedDataParallelPlugin
from safetensors.torch import load_file
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torch.utils.data._utils import signal_handling

from hiera_video import compat


class Sleepy(Dataset[int]):
    """Items that take their number in seconds."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        time.sleep(3600 * index)
        return index


def test_importing_it_imports_no_library() -> None:
    """By itself: the package may import some."""
    program = (
        f"import runpy, sys; runpy.run_path({compat.__file__!r}); "
        "print(sorted({'torch', 'accelerate', 'webdataset', 'numpy'} & sys.modules.keys()))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr


def test_a_dataloader_that_waits_too_long_is_told_from_other_faults() -> None:
    with compat.without_child_handler():
        batches = iter(DataLoader(Sleepy(), num_workers=1, timeout=0.5))
    with pytest.raises(RuntimeError) as caught:
        list(batches)
    assert compat.is_dataloader_timeout(caught.value)
    assert not compat.is_dataloader_timeout(RuntimeError("DataLoader worker is killed by signal"))


def test_a_dataloader_leaves_no_handler_of_dead_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal_handling, "_SIGCHLD_handler_set", False)  # as in a new process
    before = signal.getsignal(signal.SIGCHLD)
    with compat.without_child_handler():
        iter(DataLoader(TensorDataset(torch.ones(2)), num_workers=1))
        assert signal.getsignal(signal.SIGCHLD) != before  # else there is nothing to undo
    assert signal.getsignal(signal.SIGCHLD) == before


def test_threads_leave_handlers_alone() -> None:
    errors: list[BaseException] = []

    def enter() -> None:
        try:
            with compat.without_child_handler():
                pass
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert not errors


def test_tensors_are_written_to_the_files_that_they_belong_to(tmp_path: Path) -> None:
    tensors = {"one": torch.arange(3.0), "two": torch.tensor(2.0), "three": torch.ones(2, 2)}
    writer = compat.checkpoint_writer(str(tmp_path), {"one": 1, "two": 2, "three": 2})
    compat.ignore_single_process_warning()
    dcp.save(tensors, storage_writer=writer, no_dist=True)
    first, second = (load_file(path) for path in sorted(tmp_path.iterdir()))
    assert (first.keys(), second.keys()) == ({"one"}, {"two", "three"})
    assert all(torch.equal({**first, **second}[name], tensors[name]) for name in tensors)


def test_the_writer_copies_with_no_stream_of_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are GPUs, as far as torch can tell; there are no streams here to make."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    writer = compat.checkpoint_writer(str(tmp_path), {"one": 1})
    compat.ignore_single_process_warning()
    dcp.save({"one": torch.ones(2)}, storage_writer=writer, no_dist=True)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_process_that_reads_and_writes_alone_is_not_warned(tmp_path: Path) -> None:
    tensors = {"one": torch.ones(2)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning):  # else there is nothing to ignore
            dcp.save(tensors, checkpoint_id=tmp_path / "warned", no_dist=True)
        compat.ignore_single_process_warning()
        dcp.save(tensors, checkpoint_id=tmp_path / "written", no_dist=True)
        dcp.load(tensors, checkpoint_id=tmp_path / "written", no_dist=True)


def test_tensors_without_memory_have_a_device() -> None:
    with compat.without_memory():
        tensor = torch.empty(1 << 50, device="cuda")  # a petabyte, of a GPU that is not there
        assert (tensor.numel(), tensor.device.type) == (1 << 50, "cuda")


def test_results_are_seen_of_the_backward_pass_too() -> None:
    shapes: list[tuple[int, ...]] = []
    weight = torch.ones(2, 3, requires_grad=True)
    with compat.watch_results(lambda tensor: shapes.append(tuple(tensor.shape))):
        result = torch.ones(5, 2) @ weight
        assert (5, 3) in shapes
        assert (2, 3) not in shapes
        result.sum().backward()
    assert (2, 3) in shapes


def test_a_dictionary_forgets_what_nothing_refers_to() -> None:
    known = compat.weak_dictionary()
    kept, dropped = torch.ones(2), torch.ones(2)  # equal, and not the same
    known[kept.untyped_storage()] = 1
    known[dropped.untyped_storage()] = 2
    assert (known[kept.untyped_storage()], known[dropped.untyped_storage()]) == (1, 2)
    del dropped
    assert list(known.values()) == [1]


def test_trackers_are_known_whether_or_not_they_are_installed() -> None:
    known = compat.known_trackers()
    assert {"tensorboard", "wandb", "mlflow"} <= set(known)
    assert {str(name) for name in get_available_trackers()} <= set(known)


def test_autocast_alone_decides_on_precision_under_fsdp() -> None:
    plugin = FullyShardedDataParallelPlugin(fsdp_version=2)
    plugin.set_mixed_precision("bf16")
    assert plugin.mixed_precision_policy.param_dtype == torch.bfloat16
    accelerator = SimpleNamespace(state=SimpleNamespace(fsdp_plugin=plugin))
    compat.leave_precision_to_autocast(cast(Accelerator, accelerator))
    policy = plugin.mixed_precision_policy
    assert (policy.param_dtype, policy.reduce_dtype, policy.output_dtype) == (None, None, None)


def test_braces_stand_for_several_shards() -> None:
    shards = compat.expand_braces("https://host/train-{000008..000010}.tar")
    assert shards == [f"https://host/train-{number:06d}.tar" for number in (8, 9, 10)]


def test_files_are_grouped_by_the_names_up_to_the_first_dot() -> None:
    files = [
        {"fname": name, "data": name.upper(), "__url__": "x.tar"}
        for name in ("a/1.mp4", "a/1.seg.json", "a/2.mp4")
    ]
    first, second = compat.group_samples(files)
    assert first["__key__"] == "a/1"
    assert (first["mp4"], first["seg.json"]) == ("A/1.MP4", "A/1.SEG.JSON")
    assert (second["__key__"], second["mp4"]) == ("a/2", "A/2.MP4")


def test_where_the_members_of_an_archive_end(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        for name in ("one", "two"):
            info = tarfile.TarInfo(name)
            info.size = 700  # two blocks of 512 bytes, after one for the header
            tar.addfile(info, io.BytesIO(bytes(700)))
    with tarfile.open(path) as tar:
        assert len(list(tar)) == 2
        assert compat.end_of_members(tar) == 2 * 3 * 512
