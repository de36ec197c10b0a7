"""Measure what a large manifest costs: seconds to open it, memory of each loader worker.

python scripts/benchmark_manifest.py [--num-rows 1000000]

A worker's cost is the private memory it has after reading its share of the rows, less that of a
worker that read as many rows of a manifest of a thousand: what it shares with others exists once.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from hiera_video.data.class_labels import ClassLabels
from hiera_video.data.manifest import Manifest

NUM_WORKERS = 2
NUM_CLASSES = 400
#: A prime: rows are read in an order that touches all of memory early, as a shuffled epoch does.
SCATTER = 7919


class ReadRows(IterableDataset[int]):
    """Workers read ``num_rows`` rows between them; each gives its private bytes at the end."""

    def __init__(self, manifest: Manifest, num_rows: int, barrier: Any) -> None:
        self.manifest = manifest
        self.num_rows = num_rows
        self.barrier = barrier

    def __iter__(self) -> Iterator[int]:
        worker = get_worker_info()
        assert worker is not None
        for index in range(worker.id, self.num_rows, worker.num_workers):
            self.manifest[index * SCATTER % len(self.manifest)]
        self.barrier.wait()  # what one worker has touched, and no other yet, would look private
        cost = private_bytes()
        self.barrier.wait()
        yield cost


def private_bytes() -> int:
    """Memory that this process shares with no other."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8").splitlines()
    kibibytes = [int(line.split()[1]) for line in lines if line.startswith("Private_")]
    return 1024 * sum(kibibytes)


def write_manifest(path: Path, num_rows: int) -> None:
    """Rows as Kinetics has them: a class folder, an id, seconds."""
    labels = [f"class number {index:03d}" for index in range(NUM_CLASSES)]
    rows = [labels[index % NUM_CLASSES] for index in range(num_rows)]
    paths = [
        f"/datasets/kinetics/train/{label}/{index:011d}_000010_000020.mp4"
        for index, label in enumerate(rows)
    ]
    csv.write_csv(pa.table({"path": paths, "label": rows}), path)


def worker_bytes(manifest: Manifest, num_rows: int, start_method: str) -> float:
    """Mean private bytes of the workers after reading ``num_rows`` rows."""
    context = multiprocessing.get_context(start_method)
    loader = DataLoader(
        ReadRows(manifest, num_rows, context.Barrier(NUM_WORKERS)),
        batch_size=None,
        num_workers=NUM_WORKERS,
        multiprocessing_context=context,
    )
    return sum(loader) / NUM_WORKERS


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what a large manifest costs.")
    parser.add_argument("--num-rows", type=int, default=1_000_000)
    num_rows = parser.parse_args().num_rows
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder, "large.csv"), Path(folder, "small.csv")
        write_manifest(large, num_rows)
        write_manifest(small, 1000)
        begin = time.perf_counter()
        manifest = Manifest(large, targets=ClassLabels())
        figures = {
            "num_rows": len(manifest),
            "csv_megabytes": round(large.stat().st_size / 1e6, 1),
            "open_seconds": round(time.perf_counter() - begin, 3),
        }
        for start_method in ("fork", "spawn"):
            cost = worker_bytes(manifest, num_rows, start_method)
            base = worker_bytes(Manifest(small, targets=ClassLabels()), num_rows, start_method)
            figures[f"{start_method}ed_worker_megabytes"] = round((cost - base) / 1e6, 1)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
