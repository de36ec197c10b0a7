"""Compare reading the same videos from several places: files, shards, shards behind a URL.

    python scripts/benchmark_storage.py MANIFEST [MANIFEST ...] [--clips 160] [--turns 5]

Every manifest names the same videos in the same order. Training clips of 16 frames at stride 4 are
read from each in turns, in this process; figures are medians of clips. Milliseconds of waiting are
what a clip took beyond processor time. Prints Markdown for docs/benchmarks.md.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import torch

from hiera_video.command import run_command
from hiera_video.config.clip_groups import AugmentSettings, ClipSettings
from hiera_video.config.machinery import CommandLine
from hiera_video.data.dataset import TrainClips
from hiera_video.data.manifest import Manifest
from hiera_video.decoding.options import DecodingOptions
from hiera_video.errors import ManifestError, VideoError


def time_clip(clips: TrainClips, epoch: int, row: int) -> tuple[float, float]:
    """Milliseconds that one clip takes, and those of them on the processor."""
    begin, begin_process = time.perf_counter(), time.process_time()
    batch = clips[epoch, row]
    process, total = time.process_time() - begin_process, time.perf_counter() - begin
    for failure in batch.failures:
        raise VideoError(failure.path, failure.reason)
    return 1000 * total, 1000 * process


def main() -> None:
    parser = CommandLine(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("manifests", nargs="+", type=Path)
    parser.add_argument("--clips", type=int, default=160, help="of each turn (default 160)")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sources = {path: Manifest(path) for path in options.manifests}
    num_rows = {len(manifest) for manifest in sources.values()}
    if len(num_rows) > 1:
        raise ManifestError(f"wanted manifests of the same videos, got {sorted(num_rows)} rows")
    clips = {
        path: TrainClips(manifest, ClipSettings(), AugmentSettings(), DecodingOptions(), 0, 1)
        for path, manifest in sources.items()
    }
    times: dict[Path, list[tuple[float, float]]] = {path: [] for path in clips}
    for turn in range(options.turns):
        for path, dataset in clips.items():
            for number in range(options.clips):
                times[path].append(time_clip(dataset, turn, number % len(sources[path])))
    print("| manifest | ms a clip | of processor time | of waiting |\n|---|---|---|---|")
    for path, found in times.items():
        total = statistics.median(total for total, _ in found)
        process = statistics.median(process for _, process in found)
        waiting = statistics.median(total - process for total, process in found)
        print(f"| {path} | {total:.1f} | {process:.1f} | {waiting:.1f} |")


if __name__ == "__main__":
    run_command(main)
