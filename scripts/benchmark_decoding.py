"""Compare our reader with FFmpeg's own calls: 16 frames at stride 4, in five codecs.

    python scripts/benchmark_decoding.py [--turns 21]

Both take turns in one run, on one thread; processor time, medians. Prints Markdown for
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from functools import partial
from pathlib import Path

import av
import torch
from av.video.reformatter import Interpolation, VideoReformatter
from benchmark_videos import NUM_FRAMES, seconds_of, transcode, write_video

from hiera_video.config.clip_groups import ClipSettings
from hiera_video.decoding.reader import VideoReader

CLIP = ClipSettings()
#: What sparse decoding is compared in beside H.264: container, encoder, its options.
OTHER_CODECS: dict[str, tuple[str, str, dict[str, object]]] = {
    "H.265": ("mp4", "libx265", {"crf": "24", "x265-params": "log-level=error"}),
    "VP9": ("webm", "libvpx-vp9", {"crf": "32", "b": "0", "deadline": "realtime", "cpu-used": "8"}),
    "AV1": ("mp4", "libsvtav1", {"crf": "32", "preset": "10"}),
    "MPEG-4": ("mp4", "mpeg4", {"b": "700k", "g": "12"}),
}


def read_clip(path: Path, plan: list[int]) -> None:
    """Frames of a video as our reader gives them."""
    with VideoReader(path) as reader:
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=21)
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["SVT_LOG"] = "1"  # the encoder of AV1 prints its settings otherwise
    with tempfile.TemporaryDirectory() as folder:
        videos = write_videos(Path(folder))
        print("\n| 16 frames, stride 4 | FFmpeg alone, processor ms | our reader | ratio |")
        print("|---|---|---|---|")
        for codec, path in videos.items():
            alone, ours = compare(path, options.turns)
            print(f"| {codec} | {alone:.1f} | {ours:.1f} | {ours / alone:.2f} |", flush=True)


def write_videos(folder: Path) -> dict[str, Path]:
    """The same frames by each codec."""
    videos = {"H.264": folder / "libx264.mp4"}
    write_video(videos["H.264"], seed=0)
    for codec, (suffix, encoder, options) in OTHER_CODECS.items():
        videos[codec] = folder / f"{encoder}.{suffix}"
        transcode(videos["H.264"], videos[codec], encoder, options)
    return videos


def compare(path: Path, turns: int) -> tuple[float, float]:
    """Milliseconds of FFmpeg alone and of our reader, for a clip from the middle of a video."""
    first = (NUM_FRAMES - CLIP.num_frames * CLIP.stride) // 2
    plan = list(range(first, first + CLIP.num_frames * CLIP.stride, CLIP.stride))
    with VideoReader(path) as reader:
        wanted = {reader.index.timestamps[index] for index in plan}
        keyframe = max(key for key in reader.index.keyframe_ids if key <= min(wanted))
    alone, ours = [], []
    for _ in range(turns):
        alone.append(1000 * seconds_of(partial(ffmpeg_alone, path, keyframe, wanted)))
        ours.append(1000 * seconds_of(partial(read_clip, path, plan)))
    return statistics.median(alone), statistics.median(ours)


if __name__ == "__main__":
    main()
