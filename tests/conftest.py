"""What all tests share: the repository root on the import path, quiet caches, and tiny datasets."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # `from tests.support import ...` works however pytest was started
    sys.path.insert(0, str(ROOT))

os.environ["HF_HUB_OFFLINE"] = "1"  # nothing in these tests may ask a hub
os.environ["ACCELERATE_USE_CPU"] = "true"  # the same figures on every machine
# Small models lose by sharing work, and other cores run other tests. Processes that are forked from
# one that has imported torch take the number from its environment, not from theirs.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

from tests.short_runs import ShortRuns  # noqa: E402
from tests.support import (  # noqa: E402
    TinyDataset,
    at_end_of_test,
    forget_accelerator,
    save_checkpoint,
    write_dataset,
    write_image_dataset,
)

#: Files that take long, and folders with such files, longest first. What a launcher starts takes a
#: processor a quarter of a minute.
_LONGEST = (
    "test_docs.py",
    "robustness/test_interrupted.py",
    "distributed/test_two_processes.py",
    "robustness/test_killed.py",
    "parity",
    "distributed",
    "training/test_train_script.py",
    "training/test_pretrain_script.py",
    "features",
    "training",
    "robustness",
    "decoding",
    "evaluation",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first: a file is one process's, and the other would wait at
    the end for one that began late."""

    def turn(item: pytest.Item) -> int:
        path = item.path.relative_to(ROOT / "tests")
        places = (place for place, part in enumerate(_LONGEST) if path.is_relative_to(part))
        return next(places, len(_LONGEST))

    items.sort(key=turn)


@pytest.fixture(scope="session", autouse=True)
def short_runs() -> Iterator[ShortRuns]:
    """Leave out of runs what takes longer than their steps and is not what tests are about."""
    short = ShortRuns()
    short.begin()
    yield short
    short.end()


@pytest.fixture
def whole_runs(short_runs: ShortRuns) -> Iterator[None]:
    """Leave out nothing: the picture of the curves is drawn, and the memory of a step counted."""
    short_runs.end()
    yield
    short_runs.begin()


@pytest.fixture(autouse=True)
def _fresh_accelerator() -> Iterator[None]:
    """Forget how the last test's run started devices and processes."""
    yield
    forget_accelerator()


@pytest.fixture(autouse=True)
def _no_processes_left() -> Iterator[None]:
    """End scripts that a test started and left behind, because it failed or by mistake."""
    yield
    at_end_of_test.close()


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> TinyDataset:
    """36 training and 9 validation videos of three classes. Tests only read it."""
    return write_dataset(tmp_path_factory.mktemp("dataset"), num_train=36, num_val=9)


@pytest.fixture(scope="session")
def tiny_images(tmp_path_factory: pytest.TempPathFactory) -> TinyDataset:
    """36 training and 9 validation images of three classes. Tests only read it."""
    return write_image_dataset(tmp_path_factory.mktemp("images"), num_train=36, num_val=9)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_dataset: TinyDataset) -> Path:
    """A random classifier for the classes of ``tiny_dataset``. Tests only read it."""
    folder = tmp_path_factory.mktemp("model") / "checkpoint"
    return save_checkpoint(folder, classes=tiny_dataset.classes)
