"""Compare reading clips with pytorchvideo's dataset, and all views of a video with a decode each.

    python scripts/benchmark_data.py [--turns 5] [--clips 320] [--memory-clips 5000]

Writes its own videos (benchmark_videos.py). Everyone samples 16 frames at stride 4 and makes the
same random views of 224 pixels, in two workers. They take turns in one run, so that a machine whose
speed drifts slows all; figures are medians, ratios those of medians. Processor time is that of all
processes: it tells what reading costs where others share the machine. Prints Markdown for
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import platform
import re
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import av
import torch
from av.video.reformatter import VideoReformatter
from benchmark_videos import NUM_FRAMES, RATE, seconds_of, write_video
from pytorchvideo.data import LabeledVideoDataset, RandomClipSampler
from pytorchvideo.data.encoded_video import EncodedVideo
from torch import Tensor
from torch.utils.data import DataLoader

from hiera_video.batch import ClipBatch
from hiera_video.config.clip_groups import AugmentSettings, ClipSettings, EvaluateSettings
from hiera_video.config.groups import ReadingSettings
from hiera_video.data.dataset import EvaluationClips, TrainClips
from hiera_video.data.loader import TrainingLoader, TrainingOrder
from hiera_video.data.manifest import Row
from hiera_video.data.sampling import evaluation_clips, training_clip
from hiera_video.data.transforms import EvaluationViews, TrainView
from hiera_video.data.video_segment import VideoSegment
from hiera_video.decoding.options import DecodingOptions

NUM_VIDEOS = 6
BATCH_SIZE = 8
WORKERS = ReadingSettings(num_workers=2)
CLIP = ClipSettings()
AUGMENT = AugmentSettings()
VIEWS = EvaluateSettings(num_clips=5, num_crops=3)
CPU = torch.device("cpu")


def ours(rows: list[Row], num_clips: int, repeats: int) -> Iterator[int]:
    """Numbers of clips, batch by batch."""
    rows = (rows * num_clips)[: num_clips // repeats]
    order = TrainingOrder(
        len(rows),
        rows_per_batch=BATCH_SIZE // repeats,
        accumulate_steps=1,
        num_processes=1,
        process_index=0,
        seed=0,
    )
    dataset = TrainClips(rows, CLIP, AUGMENT, DecodingOptions(), 0, repeats)
    return (len(batch) for batch in TrainingLoader(dataset, order, WORKERS, CPU).batches(0, 0))


class TheirTransform:
    """pytorchvideo's frames -> 16 of them, and then what our view does, on uint8 as we do."""

    def __init__(self) -> None:
        self.view = TrainView(AUGMENT, CLIP)

    def __call__(self, sample: dict[str, Any]) -> Tensor:
        video = sample["video"]  # float (C, T, H, W)
        chosen = torch.linspace(0, video.shape[1] - 1, CLIP.num_frames).long()
        frames = video[:, chosen].to(torch.uint8).transpose(0, 1)
        return self.view(frames, sample["video_index"])


def theirs(rows: list[Row], num_clips: int, decoder: str) -> Iterator[int]:
    """The same from pytorchvideo."""
    paths = [(str(row.local_file), {"label": 0}) for row in (rows * num_clips)[:num_clips]]
    seconds = Fraction(CLIP.num_frames * CLIP.stride, RATE)
    dataset = LabeledVideoDataset(
        paths,
        RandomClipSampler(seconds),
        transform=TheirTransform(),
        decode_audio=False,
        decoder=decoder,
    )
    loader = DataLoader(dataset, batch_size=BATCH_SIZE, num_workers=WORKERS.num_workers)
    return (len(batch) for batch in loader)


def clips_per_second(batches: Iterable[int]) -> float:
    """From the first batch to the last."""
    iterator = iter(batches)
    next(iterator)
    begin = time.perf_counter()
    return sum(iterator) / (time.perf_counter() - begin)


def all_views(rows: list[Row]) -> None:
    """15 views of each video as evaluation makes them."""
    dataset = EvaluationClips(rows, CLIP, VIEWS, DecodingOptions(), 0)
    for row in rows:
        dataset[row.index]


def separate_views(rows: list[Row]) -> None:
    """15 views of each video, each from a decode of its own."""
    views = EvaluationViews(CLIP, VIEWS.num_crops)
    for row in rows:
        for number in range(VIEWS.num_clips * VIEWS.num_crops):
            with VideoSegment(row, CLIP) as video:
                plan = evaluation_clips(video.part, CLIP, VIEWS.num_clips)[number // 3]
                for frame, _ in video.stream([plan]):
                    views(frame)[number % 3].contiguous()


def their_views(rows: list[Row]) -> None:
    """15 views of each video, as one makes them with pytorchvideo's reader."""
    views = EvaluationViews(CLIP, VIEWS.num_crops)
    seconds = Fraction(CLIP.num_frames * CLIP.stride, RATE)
    for row in rows:
        for number in range(VIEWS.num_clips * VIEWS.num_crops):
            video = EncodedVideo.from_path(str(row.local_file), decode_audio=False, decoder="pyav")
            start = (Fraction(NUM_FRAMES, RATE) - seconds) * (number // 3) / VIEWS.num_clips
            frames = video.get_clip(start, start + seconds)["video"]  # float (C, T, H, W)
            chosen = torch.linspace(0, frames.shape[1] - 1, CLIP.num_frames).long()
            clip = frames[:, chosen].to(torch.uint8).transpose(0, 1)
            views(clip)[number % 3].contiguous()
            video.close()


def stages(rows: list[Row]) -> dict[str, float]:
    """Milliseconds of processor time of each stage of a clip, on one thread; medians."""
    view, reformatter = TrainView(AUGMENT, CLIP), VideoReformatter()
    times: dict[str, list[float]] = {}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        begin = time.process_time()
        yield
        times.setdefault(name, []).append(1000 * (time.process_time() - begin))

    batches = []
    for seed in range(40):
        row = rows[seed % len(rows)]
        with stage("open, read the index"):
            video = VideoSegment(row, CLIP)
        plan = training_clip(video.part, CLIP, seed)
        with stage("decode 16 frames to RGB"):
            frames = [frame for frame, _ in video.stream([plan])]
        video.close()
        with av.open(str(row.local_file)) as container:
            shown = list(islice(container.decode(video=0), CLIP.num_frames))
        with stage("(of which YUV to RGB)"):
            for frame in shown:
                reformatter.reformat(frame, format="rgb24").to_ndarray()
        with stage("random resized crop, flip"):
            views, crop = video.new_views(1), view.crop(frames[0][None], seed)
            for position, frame in enumerate(frames):
                views[0, :, position] = crop(frame[None])[0]
        batches.append(video.batch(views, video.times([plan])))
    with stage("join 8 clips"):
        ClipBatch.concatenate(batches[:BATCH_SIZE])
    return {name: statistics.median(found) for name, found in times.items()}


def memory_of_workers(rows: list[Row], num_clips: int) -> list[tuple[int, list[float]]]:
    """Clips read so far, and the MiB of memory that each worker has of its own."""
    found, count, report = [], 0, num_clips // 10
    for size in ours(rows, num_clips, 1):
        count += size
        if count % report < size:
            workers = sorted(multiprocessing.active_children(), key=lambda worker: worker.pid or 0)
            found.append((count, [_own_memory_mib(worker.pid) for worker in workers]))
    return found


def _own_memory_mib(process: int | None) -> float:
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--clips", type=int, default=320, help="of each turn")
    parser.add_argument("--memory-clips", type=int, default=0, help="watch memory over so many")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for index in range(NUM_VIDEOS):
            path = Path(folder) / f"{index}.mp4"
            write_video(path, seed=index)
            rows.append(Row(index, path.name, path, {}, 0.0, None))
        size = statistics.mean(row.local_file.stat().st_size for row in rows)
        print(
            f"torch {torch.__version__}, PyAV {av.__version__}, {platform.processor() or 'CPU'}; "
            f"{NUM_VIDEOS} videos of {size / 1000:.0f} kB\n"
        )
        if options.memory_clips:
            print_memory(memory_of_workers(rows, options.memory_clips))
            return
        print_throughput(rows, options.turns, options.clips)
        print_views(rows, options.turns)
        print("\n| stage of one clip | processor ms |\n|---|---|")
        for stage, milliseconds in stages(rows).items():
            print(f"| {stage} | {milliseconds:.2f} |")


def print_throughput(rows: list[Row], turns: int, num_clips: int) -> None:
    contestants: dict[str, Callable[[], Iterator[int]]] = {
        "pytorchvideo, decord": lambda: theirs(rows, num_clips, "decord"),
        "pytorchvideo, PyAV": lambda: theirs(rows, num_clips, "pyav"),
        "ours": lambda: ours(rows, num_clips, 1),
        "ours, repeated sampling 4": lambda: ours(rows, num_clips, 4),
    }
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    costs: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(turns):
        for name, start in contestants.items():
            before = processor_seconds()
            speeds[name].append(clips_per_second(start()))
            costs[name].append(1000 * (processor_seconds() - before) / num_clips)
    speed = {name: statistics.median(found) for name, found in speeds.items()}
    cost = {name: statistics.median(found) for name, found in costs.items()}
    others = [name for name in contestants if name.startswith("pytorchvideo")]
    fastest, cheapest = max(speed[name] for name in others), min(cost[name] for name in others)
    print("| two workers | clips/s | of their faster | processor ms a clip | of their cheaper |")
    print("|---|---|---|---|---|")
    for name in contestants:
        print(
            f"| {name} | {speed[name]:.1f} | {speed[name] / fastest:.2f}x "
            f"| {cost[name]:.1f} | {cheapest / cost[name]:.2f}x |",
            flush=True,
        )


def processor_seconds() -> float:
    """Processor time until now, of this process and of the workers that have ended."""
    gc.collect()  # ends the workers of loaders that are not needed any more
    mine, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return mine.ru_utime + mine.ru_stime + children.ru_utime + children.ru_stime


def print_views(rows: list[Row], turns: int) -> None:
    contestants = {
        "pytorchvideo, PyAV, a decode for each view": their_views,
        "ours, a decode for each view": separate_views,
        "ours, one pass": all_views,
    }
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(turns):
        for name, make in contestants.items():
            times[name].append(1000 * seconds_of(partial(make, rows[:2])) / 2)
    one = statistics.median(times["ours, one pass"])
    print("\n| 15 views of one video | processor ms | one pass is faster |\n|---|---|---|")
    for name, found in times.items():
        median = statistics.median(found)
        print(f"| {name} | {median:.0f} | {median / one:.1f}x |", flush=True)


def print_memory(found: list[tuple[int, list[float]]]) -> None:
    print("| clips read | MiB of each worker |\n|---|---|")
    for count, sizes in found:
        print(f"| {count} | {', '.join(f'{size:.1f}' for size in sizes)} |")


if __name__ == "__main__":
    main()
