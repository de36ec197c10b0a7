"""Everything that we use of other libraries beyond what they document: in one file, so that an
upgrade breaks one file.

Each function says what it relies on and why nothing documented will do; ``tests/test_compat.py``
has a test of each. Libraries are imported where they are used: importing this file costs nothing.
"""

from __future__ import annotations

import signal
import tarfile
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor
    from torch.distributed.checkpoint import HuggingFaceStorageWriter


# torch


def is_dataloader_timeout(error: BaseException) -> bool:
    """Whether a DataLoader's ``timeout`` is over.

    It raises a RuntimeError as for any other fault: only the beginning of the message tells.
    """
    return isinstance(error, RuntimeError) and str(error).startswith("DataLoader timed out")


@contextmanager
def without_child_handler() -> Iterator[None]:
    """Undo, in the end, that a DataLoader which starts its workers handles SIGCHLD.

    torch's handler raises wherever the main process happens to be when a worker dies, be it in the
    middle of an optimizer step, and there is no switch. Only the main thread handles signals.
    """
    handler = signal.getsignal(signal.SIGCHLD)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, handler)


def checkpoint_writer(folder: str, files: dict[str, int]) -> HuggingFaceStorageWriter:
    """What ``torch.distributed.checkpoint`` writes safetensors files by, each process its own.

    ``files`` has the number of the file, from 1, that each tensor belongs to. With GPUs, the writer
    copies by a stream of the first of them, whichever the process has, although our tensors are in
    host memory; ``per_thread_copy_ahead`` is no argument of its constructor.
    """
    from torch.distributed.checkpoint import HuggingFaceStorageWriter

    writer = HuggingFaceStorageWriter(folder, fqn_to_index_mapping=files, save_distributed=True)
    writer.per_thread_copy_ahead = 0
    return writer


def ignore_single_process_warning() -> None:
    """Keep ``torch.distributed.checkpoint`` from warning that a process reads or writes alone.

    It warns with ``no_dist=True``, too, which asks for that. The filter stays: one that was taken
    back would, in a thread, take back those of others.
    """
    warnings.filterwarnings("ignore", "torch.distributed is (disabled|unavailable)", UserWarning)


def without_memory() -> AbstractContextManager[Any]:
    """Within the block, tensors that are made have a shape, a type and a device, and no memory.

    ``torch.device("meta")`` has no other device to tell of. The module is documented; its name
    begins with an underscore all the same.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode()


def watch_results(watch: Callable[[Tensor], None]) -> AbstractContextManager[Any]:
    """Within the block, ``watch`` is given each tensor that an operation of torch returns.

    Hooks of modules see neither what functions return nor what the backward pass does.
    """
    from torch import Tensor
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watching(TorchDispatchMode):
        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            results = function(*args, **(kwargs or {}))
            for result in results if isinstance(results, tuple | list) else (results,):
                if isinstance(result, Tensor):
                    watch(result)
            return results

    return Watching()


def weak_dictionary() -> MutableMapping[Any, Any]:
    """A dictionary that forgets its keys when nothing else refers to them, and compares none.

    ``weakref.WeakKeyDictionary`` asks for equality and hashes, which tensors and storages do not
    have in that sense. torch's own is not documented.
    """
    from torch.utils.weak import WeakIdKeyDictionary

    return WeakIdKeyDictionary()


# Accelerate


def known_trackers() -> list[str]:
    """The names of all trackers that Accelerate has a class for, sorted.

    ``get_available_trackers`` names only those that are installed.
    """
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    return sorted(str(name) for name in LOGGER_TYPE_TO_CLASS)


def leave_precision_to_autocast(accelerator: Accelerator) -> None:
    """Have FSDP keep the precision of what it gathers and reduces, and of what goes into a model.

    Accelerate sets a policy of FSDP wherever mixed precision is on, which makes all of it low
    precision: the pixels that are predicted, losses, and sums of gradients. Its plugin cannot be
    told not to beforehand; it is read when the model is prepared, so it may change until then.
    """
    from torch.distributed.fsdp import MixedPrecisionPolicy

    accelerator.state.fsdp_plugin.mixed_precision_policy = MixedPrecisionPolicy()


# webdataset and tar files


def expand_braces(shards: str) -> list[str]:
    """The URLs of ``shards``, in which braces stand for several, by webdataset's rules."""
    from webdataset.shardlists import expand_urls

    return list(expand_urls(shards))


def group_samples(files: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The samples that ``files`` of a shard belong to, by webdataset's rules for their names.

    Each file has ``fname``, ``data`` and ``__url__``; a sample has the data by suffix. The public
    pipelines of webdataset read all bytes of a shard; here, ``data`` may be where the bytes are.
    """
    from webdataset.tariterators import group_by_keys

    yield from group_by_keys(files)


def end_of_members(tar: tarfile.TarFile) -> int:
    """Where the members that were read from ``tar`` end, and the zeros begin, in bytes.

    ``tarfile`` takes an archive that was cut off between two members for a whole one.
    """
    return tar.offset
