"""Frame by frame, the readers return the frames of the ``ffmpeg`` program.

The program also makes the files: common kinds that PyAV cannot write. With the option to take the
nearest chroma sample (``neighbor``), it converts colours as the readers do.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hiera_video.decoding.decoders import DECODERS
from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.reader import VideoReader

pytestmark = pytest.mark.ffmpeg

PICTURES = "-f lavfi -i testsrc2=size=96x64:rate=25:duration=2"
H264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 12 -bf 2 -x264-params b-adapt=0"
HEVC = "-c:v libx265 -preset ultrafast -pix_fmt yuv420p -g 12 -x265-params log-level=none:bframes=3"
VP9 = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 12 -auto-alt-ref 1 -lag-in-frames 16"
AV1 = "-c:v libsvtav1 -preset 12 -g 12"
MPEG4 = "-c:v mpeg4 -bf 2 -g 12"
DROPPED = "-vf select='not(mod(n,3))+gt(n,30)' -fps_mode vfr"
BT709 = "-vf scale=out_color_matrix=bt709 -colorspace bt709"
FULL_RANGE = "-vf scale=out_range=full -color_range pc"
LARGER = "-f lavfi -i testsrc=size=128x96:rate=25:duration=2 -map 0 -map 1"

#: File -> arguments that make it. They may name another file of this table as input.
FILES = {
    "h264.mp4": f"{PICTURES} {H264}",
    "h264.mkv": f"{PICTURES} {H264}",
    "h264.avi": f"{PICTURES} {H264}",
    "h264.ts": f"{PICTURES} {H264}",
    "h264.flv": f"{PICTURES} {H264}",
    "mpeg2.mpg": f"{PICTURES} -c:v mpeg2video -bf 2 -g 12",
    "h264_pyramid.mp4": f"{PICTURES} {H264}:bframes=5:b-pyramid=normal",
    "h264_open.mp4": f"{PICTURES} {H264}:open-gop=1",
    "h264_open.mkv": f"{PICTURES} {H264}:open-gop=1",
    "h264_open.ts": f"{PICTURES} {H264}:open-gop=1",
    "h264_refreshed.mp4": f"{PICTURES} {H264}:intra-refresh=1",
    "h264_fragments.mp4": f"{PICTURES} {H264} -movflags +frag_keyframe+empty_moov",
    "hevc_open.mp4": f"{PICTURES} {HEVC}",
    "hevc_open.mkv": f"{PICTURES} {HEVC}",
    "hevc_open.ts": f"{PICTURES} {HEVC}",
    "vp9.webm": f"{PICTURES} {VP9}",
    "vp9.mp4": f"{PICTURES} {VP9}",
    "av1.mp4": f"{PICTURES} {AV1}",
    "av1.webm": f"{PICTURES} {AV1}",
    "mpeg4.mp4": f"{PICTURES} {MPEG4}",
    "mpeg4.avi": f"{PICTURES} {MPEG4}",
    "mpeg4.ts": f"{PICTURES} {MPEG4}",
    "variable_rate.mp4": f"{PICTURES} {DROPPED} {H264}",
    "variable_rate.mkv": f"{PICTURES} {DROPPED} {H264}",
    "late_start.mp4": f"{PICTURES} {H264} -output_ts_offset 5",
    "late_start.mkv": f"{PICTURES} {H264} -output_ts_offset 5",
    "late_start.ts": f"{PICTURES} {H264} -output_ts_offset 5",
    "edit_list.mp4": "-ss 0.7 -i h264.mp4 -t 0.9 -c copy",
    "edit_list_open.mp4": "-ss 0.7 -i h264_open.mp4 -t 0.9 -c copy",
    "edit_list_hevc.mp4": "-ss 0.7 -i hevc_open.mp4 -t 0.9 -c copy",
    "cut_out_open.ts": "-ss 0.97 -i h264_open.ts -c copy",
    "cut_out_hevc.ts": "-ss 0.97 -i hevc_open.ts -c copy",
    "turned_90.mp4": "-i h264.mp4 -c copy -metadata:s:v rotate=90",
    "turned_180.mp4": "-i h264.mp4 -c copy -metadata:s:v rotate=180",
    "turned_270.mp4": "-i h264.mp4 -c copy -metadata:s:v rotate=270",
    "two_streams.mp4": f"{PICTURES} {LARGER} {H264}",
    "second_stream.mkv": f"{PICTURES} {LARGER} {H264} -disposition:0 0 -disposition:1 default",
    "bt709.mp4": f"{PICTURES} {BT709} {H264}",
    "full_range.mp4": f"{PICTURES} {FULL_RANGE} {H264}",
    "ten_bits.mp4": f"{PICTURES} {H264} -pix_fmt yuv420p10le",
    "ten_bits_hevc.mkv": f"{PICTURES} {HEVC} -pix_fmt yuv420p10le",
    "chroma_422.mp4": f"{PICTURES} {H264} -pix_fmt yuv422p",
    "odd_size.webm": f"{PICTURES} -vf scale=95:63 {VP9}",
    "interlaced.ts": f"{PICTURES} {H264}:tff=1 -flags +ilme+ildct",
}
#: The files whose frames are counted by decoding.
COUNTED = {"h264.avi", "mpeg4.avi"}


def run_ffmpeg(*arguments: str, folder: Path) -> bytes:
    command = ["ffmpeg", "-v", "error", "-y", *arguments]
    return subprocess.run(command, capture_output=True, check=True, cwd=folder).stdout


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes a file on first use."""
    folder = tmp_path_factory.mktemp("ffmpeg")

    def video(name: str) -> Path:
        if not (folder / name).exists():
            arguments = FILES[name].split()
            for argument in set(arguments) & FILES.keys():
                video(argument)
            run_ffmpeg(*arguments, name, folder=folder)
        return folder / name

    return video


def all_frames(path: Path) -> Tensor:
    """The program's frames of a file: uint8 ``(T, C, H, W)``."""
    with VideoReader(path) as reader:
        height, width = reader.frames([0]).shape[-2:]
    scaler = "interl=-1:flags=neighbor"  # interlaced pictures by fields
    data = run_ffmpeg(
        *("-i", path.name, "-an", "-vf", f"scale={scaler}", "-fps_mode", "passthrough"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-"),
        folder=path.parent,
    )
    frames = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    return frames.reshape(-1, height, width, 3).permute(0, 3, 1, 2)


@pytest.fixture
def trimmed(make: Callable[[str], Path], tmp_path: Path) -> Path:
    """A file whose edit list hides its end, as when a phone trims a video."""
    data = bytearray(make("h264.mp4").read_bytes())
    seconds = data.index(b"elst") + 12  # in thousandths
    data[seconds : seconds + 4] = (1000).to_bytes(4, "big")
    (tmp_path / "trimmed.mp4").write_bytes(data)
    return tmp_path / "trimmed.mp4"


def test_what_an_edit_list_leaves_out_at_the_end_is_not_missing(trimmed: Path) -> None:
    expected = all_frames(trimmed)
    assert len(expected) < 40
    with VideoReader(trimmed) as reader:
        assert torch.equal(reader.frames(range(reader.index.num_frames)), expected)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", FILES)
def test_frames_are_those_of_the_program(
    make: Callable[[str], Path], name: str, decoder: str
) -> None:
    path = make(name)
    expected = all_frames(path)
    last = len(expected) - 1
    with VideoReader(path, DecodingOptions(decoder)) as reader:
        assert reader.index.num_frames == len(expected)
        assert reader.index.is_counted == (name in COUNTED)
        for indices in (range(last + 1), [last], [last // 2], range(1, last, 4), [2, 9, last]):
            frames = reader.frames(indices)
            assert torch.equal(frames, expected[list(indices)])
            assert torch.equal(torch.stack(list(reader.stream(indices))), frames)
