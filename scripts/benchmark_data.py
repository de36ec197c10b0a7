"""Compare reading clips with pytorchvideo's dataset, and decoding them with FFmpeg alone.

    python scripts/benchmark_data.py [--turns 5] [--clips 320] [--memory-clips 5000]

Writes its own videos, like those of Kinetics: 10 s, 340x256, 28 frames per second, H.264 with
B-frames and few keyframes. Everyone samples 16 frames at stride 4 and makes the same random views
of 224 pixels, in two workers. They take turns in one run, so that a machine whose speed drifts
slows all; figures are medians, ratios those of medians. Processor time is that of all processes:
it tells what reading costs where others share the machine. Then all views of a video from one pass
and from a decode for each, 16 frames by our reader and by FFmpeg's own calls, and the stages of a
clip. Prints Markdown for docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
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
import torch.nn.functional as F
from av.video.frame import PictureType
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from pytorchvideo.data import LabeledVideoDataset, RandomClipSampler
from pytorchvideo.data.encoded_video import EncodedVideo
from torch import Tensor
from torch.utils.data import DataLoader

from hiera_video.batch import ClipBatch
from hiera_video.config import AugmentSettings, ClipSettings, DataSettings, EvaluateSettings
from hiera_video.data.dataset import EvaluationClips, TrainClips, VideoSegment
from hiera_video.data.loader import ClipLoader, TrainingOrder
from hiera_video.data.manifest import Row
from hiera_video.data.pyav_reader import PyAVReader
from hiera_video.data.sampling import evaluation_clips, training_clip
from hiera_video.data.transforms import EvaluationViews, TrainView

RATE, NUM_FRAMES, HEIGHT, WIDTH = 28, 280, 256, 340
NUM_VIDEOS = 6
BATCH_SIZE = 8
WORKERS = DataSettings(num_workers=2)
CLIP = ClipSettings()
AUGMENT = AugmentSettings()
VIEWS = EvaluateSettings(num_clips=5, num_crops=3)
CPU = torch.device("cpu")
#: What sparse decoding is compared in beside H.264: container, encoder, its options.
OTHER_CODECS: dict[str, tuple[str, str, dict[str, object]]] = {
    "H.265": ("mp4", "libx265", {"crf": "24", "x265-params": "log-level=error"}),
    "VP9": ("webm", "libvpx-vp9", {"crf": "32", "b": "0", "deadline": "realtime", "cpu-used": "8"}),
    "AV1": ("mp4", "libsvtav1", {"crf": "32", "preset": "10"}),
    "MPEG-4": ("mp4", "mpeg4", {"b": "700k", "g": "12"}),
}


def write_video(path: Path, seed: int) -> None:
    """Textures that wander over each other, with noise and a cut: 0.6 MB, as real ones have."""
    generator = torch.Generator().manual_seed(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        # x264's own 3 B-frames and keyframes every 250 frames. The bias makes as many B-frames that
        # no other frame refers to as there are in real videos: two in five.
        stream.options = {"crf": "20", "x264-params": "b-bias=-16"}
        for shot in range(2):
            layers = [_texture(generator) for _ in range(3)]
            for number, places in enumerate(_wander(generator, NUM_FRAMES // 2)):
                ground, shape, figure = (
                    layer[:, row : row + HEIGHT, column : column + WIDTH]
                    for layer, (row, column) in zip(layers, places, strict=True)
                )
                picture = torch.where(shape[:1] > 150, figure, ground)
                picture = picture + torch.randn(picture.shape, generator=generator) * 2
                image = picture.clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = shot * NUM_FRAMES // 2 + number, Fraction(1, RATE)
                container.mux(stream.encode(frame))
        container.mux(stream.encode())


def transcode(source: Path, target: Path, encoder: str, options: dict[str, object]) -> None:
    """The same frames by another codec."""
    with av.open(str(source)) as original, av.open(str(target), "w") as container:
        stream = container.add_stream(encoder, rate=RATE)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = options
        for frame in original.decode(video=0):
            frame.pict_type = PictureType.NONE  # the encoder decides
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _texture(generator: torch.Generator) -> Tensor:
    """Noise of several sizes, ``(3, 512, 512)``, 0 to 255."""
    total = torch.zeros(3, 512, 512)
    for cells, strength in ((4, 1.0), (16, 0.5), (64, 0.2), (256, 0.05)):
        noise = torch.randn(1, 3, cells, cells, generator=generator)
        total += F.interpolate(noise, (512, 512), mode="bicubic")[0] * strength
    return (total * 50 + 128).clamp(0, 255)


def _wander(generator: torch.Generator, num_frames: int) -> list[list[list[int]]]:
    """Rows and columns at which each of three textures is cut out, frame by frame."""
    steps = torch.randn(num_frames, 3, 2, generator=generator)
    speeds = steps.cumsum(0) * 0.15 + torch.randn(3, 2, generator=generator)
    places = (speeds + 0.5 * steps).cumsum(0)
    reach = torch.tensor([512 - HEIGHT, 512 - WIDTH])
    turned = (places + reach / 2) % (2 * reach)  # back where the texture ends
    return torch.where(turned < reach, turned, 2 * reach - turned - 1).int().tolist()


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
    dataset = TrainClips(rows, CLIP, AUGMENT, "pyav", 0, repeats)
    return (len(batch) for batch in ClipLoader(dataset, order, WORKERS, CPU))


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
    paths = [(str(row.local_file), {"label": row.label}) for row in (rows * num_clips)[:num_clips]]
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
    dataset = EvaluationClips(rows, CLIP, VIEWS, "pyav", 0)
    for row in rows:
        dataset[row.index]


def separate_views(rows: list[Row]) -> None:
    """15 views of each video, each from a decode of its own."""
    views = EvaluationViews(CLIP, VIEWS.num_crops)
    for row in rows:
        for number in range(VIEWS.num_clips * VIEWS.num_crops):
            with VideoSegment(row, "pyav", CLIP) as video:
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


def read_clip(path: Path, plan: list[int]) -> None:
    """Frames of a video as our reader gives them."""
    with PyAVReader(path) as reader:
        for _ in reader.stream(plan):
            pass


def ffmpeg_alone(path: Path, keyframe: int, wanted: set[int]) -> None:
    """The floor: FFmpeg's own calls for the frames at ``wanted`` timestamps, and no more of them
    than must be made by one who knows already where the frames are."""
    reformatter, unsent, found = VideoReformatter(), set(wanted), 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        context.thread_count = 1
        context.open()  # dav1d takes what to skip from here: nothing
        container.seek(keyframe, stream=stream)
        for packet in container.demux(stream):
            context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
            frames = context.decode(packet)
            unsent.discard(packet.pts)
            if not unsent:
                frames += context.decode(None)
            for frame in frames:
                if frame.pts in wanted:
                    reformatter.reformat(frame, format="rgb24", interpolation=Interpolation.POINT)
                    found += 1
            if not unsent:
                break
    assert found == len(wanted)


def seconds_of(call: Callable[[], object]) -> float:
    """Of processor time: what is on one thread need not suffer from others on the machine."""
    begin = time.process_time()
    call()
    return time.process_time() - begin


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
            video = VideoSegment(row, "pyav", CLIP)
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
        batches.append(video.batch(views, video.starts([plan]), video.clip_seconds))
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
    os.environ["SVT_LOG"] = "1"  # the encoder of AV1 prints its settings otherwise
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for index in range(NUM_VIDEOS):
            path = Path(folder) / f"{index}.mp4"
            write_video(path, seed=index)
            rows.append(Row(index, path.name, path, index, 0.0, None))
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
        print_floor(rows[0].local_file, options.turns)
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


def print_floor(video: Path, turns: int) -> None:
    videos = {"H.264": video}
    for codec, (suffix, encoder, options) in OTHER_CODECS.items():
        videos[codec] = video.with_name(f"{encoder}.{suffix}")
        transcode(video, videos[codec], encoder, options)
    print("\n| 16 frames, stride 4 | FFmpeg alone, processor ms | our reader | ratio |")
    print("|---|---|---|---|")
    first = (NUM_FRAMES - CLIP.num_frames * CLIP.stride) // 2
    plan = list(range(first, first + CLIP.num_frames * CLIP.stride, CLIP.stride))
    for codec, path in videos.items():
        with PyAVReader(path) as reader:
            wanted = {reader.index.timestamps[index] for index in plan}
            keyframe = max(key for key in reader.index.keyframes if key <= min(wanted))
        alone, ours = [], []
        for _ in range(4 * turns + 1):
            alone.append(1000 * seconds_of(partial(ffmpeg_alone, path, keyframe, wanted)))
            ours.append(1000 * seconds_of(partial(read_clip, path, plan)))
        floor, median = statistics.median(alone), statistics.median(ours)
        print(f"| {codec} | {floor:.1f} | {median:.1f} | {median / floor:.2f} |", flush=True)


def print_memory(found: list[tuple[int, list[float]]]) -> None:
    print("| clips read | MiB of each worker |\n|---|---|")
    for count, sizes in found:
        print(f"| {count} | {', '.join(f'{size:.1f}' for size in sizes)} |")


if __name__ == "__main__":
    main()
