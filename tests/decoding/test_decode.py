"""The same frame indices give the same bits, whatever the decoder, container and codec."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from hiera_video.decoding import pyav_decoder
from hiera_video.decoding.decoders import check_decoder
from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.reader import VideoReader
from hiera_video.decoding.video_index import VideoIndex
from hiera_video.errors import ConfigError, VideoError
from tests.support import frame_numbers, write_audio, write_video

NUM_FRAMES = 50

#: File name -> arguments of ``write_video``. Both PyAV and decord read these.
READABLE: dict[str, dict[str, Any]] = {
    "h264.mp4": {},
    "h264_without_b_frames.mp4": {"b_frames": 0},
    "h264_one_gop.mp4": {"gop": 250},
    "h264_late_start.mp4": {"first_timestamp": 7},
    "h264.mkv": {},
    "h264_late_start.mkv": {"first_timestamp": 7},
    "h264.mov": {},
    "hevc.mp4": {"codec": "libx265"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "mpeg4.mp4": {"codec": "mpeg4", "b_frames": 0},
    "mpeg4.avi": {"codec": "mpeg4", "b_frames": 0},
}
#: decord would return wrong frames of these, so PyAV must read them.
PYAV_ONLY: dict[str, dict[str, Any]] = {
    "mpeg4_b_frames.mp4": {"codec": "mpeg4"},
    "mpeg4_b_frames.avi": {"codec": "mpeg4"},
    "h264.avi": {},
    "h264_without_b_frames.avi": {"b_frames": 0},
    "h264.ts": {},
    "hevc.ts": {"codec": "libx265"},
    "h264_open_gops.mp4": {"open_gop": True},
    "hevc_open_gops.mp4": {"codec": "libx265", "open_gop": True},
}

INDICES = {
    "all": list(range(NUM_FRAMES)),
    "a clip": list(range(13, 37, 3)),
    "sparse": [2, 30, 49],
    "unordered": [40, 3, 28, 4, 11],
    "repeated": [17, 17, 49, 49, 0, 17],
    "first": [0],
    "last": [NUM_FRAMES - 1],
    "around a keyframe": [10, 11, 12, 13, 23, 24, 25],
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes a video on first use."""
    folder = tmp_path_factory.mktemp("videos")

    def video(name: str) -> Path:
        path = folder / name
        if not path.exists():
            write_video(path, num_frames=NUM_FRAMES, size=(48, 64), **(READABLE | PYAV_ONLY)[name])
        return path

    return video


def index_of(path: Path) -> VideoIndex:
    with VideoReader(path) as reader:
        return reader.index


def decode_everything(path: Path) -> Tensor:
    """All frames ``(T, C, H, W)`` by plain PyAV, from the first to the last."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def assert_frames(decoder: str, path: Path) -> None:
    """Assert that one reader returns the right frames for all ``INDICES`` in turn."""
    everything = decode_everything(path)
    assert frame_numbers(everything) == list(range(NUM_FRAMES))
    with VideoReader(path, DecodingOptions(decoder)) as reader:
        assert reader.index.num_frames == NUM_FRAMES
        for name, indices in INDICES.items():
            frames = reader.frames(indices)
            assert frame_numbers(frames) == indices, name
            assert frames.dtype == torch.uint8
            assert torch.equal(frames, everything[indices]), name
            if indices == sorted(set(indices)):
                assert torch.equal(torch.stack(list(reader.stream(indices))), frames), name


@pytest.mark.parametrize("name", [*READABLE, *PYAV_ONLY])
def test_pyav_equals_decoding_everything(videos: Callable[[str], Path], name: str) -> None:
    assert_frames("pyav", videos(name))


@pytest.mark.parametrize("name", READABLE)
def test_decord_equals_decoding_everything(videos: Callable[[str], Path], name: str) -> None:
    assert_frames("decord", videos(name))


@pytest.mark.parametrize("name", PYAV_ONLY)
def test_what_decord_would_misplace_is_read_by_pyav(
    videos: Callable[[str], Path], name: str
) -> None:
    assert_frames("decord", videos(name))
    with VideoReader(videos(name), DecodingOptions("decord")) as reader:
        assert reader.fallback
        assert reader.fallback.startswith("decord misplaces frames of ")


@pytest.mark.ffmpeg
@pytest.mark.parametrize("name", [*READABLE, *PYAV_ONLY])
def test_torchcodec_equals_decoding_everything(videos: Callable[[str], Path], name: str) -> None:
    assert_frames("torchcodec", videos(name))
    by_pyav = name.endswith((".avi", ".ts")) or name == "h264_open_gops.mp4"
    with VideoReader(videos(name), DecodingOptions("torchcodec")) as reader:
        assert (reader.fallback is not None) == by_pyav


@pytest.mark.parametrize("name", READABLE)
def test_decord_itself_reads_what_it_can(videos: Callable[[str], Path], name: str) -> None:
    with VideoReader(videos(name), DecodingOptions("decord")) as reader:
        assert (reader.fallback is None) == (not name.endswith(".avi"))


def test_pyav_reads_a_file_that_starts_late_at_its_first_frame(
    videos: Callable[[str], Path],
) -> None:
    index = index_of(videos("h264_late_start.mp4"))
    assert index.timestamps[0] > 0
    assert index.num_frames == NUM_FRAMES
    assert index.duration_seconds == NUM_FRAMES / index.frames_per_second


def test_sparse_frames_are_found_by_seeking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoding starts at the keyframe before each wanted frame, and skips unwanted B-frames."""
    path = write_video(tmp_path / "long.mp4", num_frames=240, gop=24, b_frames=2)
    decoded: list[av.VideoFrame] = []
    monkeypatch.setattr(pyav_decoder, "_refuse_damage", decoded.append)
    with VideoReader(path) as reader:
        assert frame_numbers(reader.frames([50, 200])) == [50, 200]
        # 48..50 and 192..200 follow keyframes; decoding everything would be 201 frames.
        assert len(decoded) < 12
        decoded.clear()
        assert frame_numbers(reader.frames(range(100, 104))) == [100, 101, 102, 103]
        assert len(decoded) < 12


def test_a_call_without_frames_or_past_the_end_is_a_fault_of_the_caller(
    videos: Callable[[str], Path],
) -> None:
    with VideoReader(videos("h264.mp4")) as reader:
        for indices in ([], [-1], [NUM_FRAMES]):
            with pytest.raises(IndexError):
                reader.frames(indices)


def test_a_damaged_frame_is_refused_and_frames_before_it_are_read(tmp_path: Path) -> None:
    """FFmpeg would invent the missing part of the picture."""
    path = write_video(tmp_path / "video.mp4", num_frames=40, size=(64, 96), b_frames=0)
    whole = decode_everything(path)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    begin, size = packets[20].pos, packets[20].size  # in the group of frames 12 to 23
    assert begin is not None
    data[begin + size // 2 : begin + size] = bytes(size - size // 2)
    path.write_bytes(data)
    with VideoReader(path) as reader:
        for indices in ([3, 11], [18, 19], [24, 39]):
            assert torch.equal(reader.frames(indices), whole[indices])
        for indices in ([20], [21], [5, 23], [21, 30]):
            with pytest.raises(VideoError, match="a frame is damaged, and FFmpeg could only guess"):
                reader.frames(indices)


def test_a_file_that_is_overwritten_while_it_is_open(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), np.uint8)  # fills buffers
    path = write_video(tmp_path / "video.mkv", frames=noise)
    later = write_video(tmp_path / "later.mkv", frames=noise, first_timestamp=7)
    with VideoReader(path) as reader:
        path.write_bytes(later.read_bytes())
        with pytest.raises(VideoError, match="a keyframe cannot be found again"):
            reader.frames([30])


def test_frames_that_change_their_size(tmp_path: Path) -> None:
    """As when a broadcast changes to another programme."""
    path = tmp_path / "video.ts"
    parts = [write_video(tmp_path / f"{side}.ts", num_frames=20, size=side) for side in (64, 96)]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with VideoReader(path) as reader:
        last = reader.index.num_frames - 1
        with pytest.raises(VideoError, match="frame size changes from 64x64 to 96x96"):
            reader.frames([0, last])


@pytest.mark.parametrize(
    ("matrix", "turned"),
    [
        ((1, 0, 0, 1), lambda image: image),
        ((0, 1, -1, 0), lambda image: image.rot90(-1, (-2, -1))),
        ((-1, 0, 0, -1), lambda image: image.rot90(2, (-2, -1))),
        ((0, -1, 1, 0), lambda image: image.rot90(1, (-2, -1))),
        ((-1, 0, 0, 1), lambda image: image.flip(-1)),
        ((1, 0, 0, -1), lambda image: image.flip(-2)),
        ((0, 1, 1, 0), lambda image: image.transpose(-2, -1)),
    ],
)
def test_frames_are_turned_as_their_display_matrix_says(
    tmp_path: Path, matrix: tuple[int, ...], turned: Callable[[Tensor], Tensor]
) -> None:
    path = write_video(tmp_path / "video.mp4", num_frames=5, size=(48, 64))
    upright = decode_everything(path)
    write_matrix(path, matrix)
    with VideoReader(path) as reader:
        assert torch.equal(reader.frames(range(5)), turned(upright))
        assert torch.equal(next(iter(reader.stream([3]))), turned(upright)[3])


def test_a_turn_that_is_no_quarter_turn(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", num_frames=5)
    write_matrix(path, (0.5, 0.5, -0.5, 0.5))
    with (
        VideoReader(path) as reader,
        pytest.raises(
            VideoError, match="display matrix turns frames by 45 degrees, not by quarter"
        ),
    ):
        reader.frames([0])


def write_matrix(path: Path, matrix: Sequence[float]) -> None:
    """Write a display matrix into the track header of an MP4 file."""
    data = bytearray(path.read_bytes())
    begin = data.index(b"tkhd") + 4 + 40
    for place, value in zip((0, 4, 12, 16), matrix, strict=True):
        field = int(value * 2**16).to_bytes(4, "big", signed=True)
        data[begin + place : begin + place + 4] = field
    path.write_bytes(data)


@pytest.mark.parametrize(
    "decoder", ["pyav", "decord", pytest.param("torchcodec", marks=pytest.mark.ffmpeg)]
)
def test_a_colon_in_a_name_is_no_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoder: str
) -> None:
    write_video(tmp_path / "12:30.mp4", num_frames=4)
    audio = write_audio(tmp_path / "12:31.mp4")
    monkeypatch.chdir(tmp_path)
    with VideoReader(Path("12:30.mp4"), DecodingOptions(decoder)) as reader:
        assert frame_numbers(reader.frames([3])) == [3]
    with pytest.raises(VideoError, match="no video stream") as caught:
        VideoReader(Path(audio.name), DecodingOptions(decoder))
    assert caught.value.path == "12:31.mp4"  # as it was given


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    """Music files often have one; FFmpeg lists it as a video stream."""
    path = tmp_path / "music.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16000)
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.rate, silence.pts = 16000, 0
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
        picture.pts = 0
        container.mux(cover.encode(picture.reformat(format="yuvj420p")))
        container.mux(sound.encode(silence))
        container.mux(cover.encode(None))
        container.mux(sound.encode(None))
    with pytest.raises(VideoError, match="no video stream"):
        VideoReader(path)


def test_a_decoder_that_is_not_installed_is_a_setting_to_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("torchcodec", "torchcodec.decoders"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=r"data.decoder=torchcodec: .*install it, or use pyav"):
        check_decoder("torchcodec")


def test_readers_leave_no_frames_behind(videos: Callable[[str], Path]) -> None:
    """No frame waits for Python's cycle collector, which rarely runs in workers."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            reader = VideoReader(videos("h264.mp4"))
            reader.frames([3, 20])
            reader.close()
            del reader
        left = [thing for thing in gc.get_objects() if isinstance(thing, av.VideoFrame)]
    finally:
        gc.enable()
    assert left == []
