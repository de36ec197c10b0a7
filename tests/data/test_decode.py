"""The same frame indices give the same bits, whatever the decoder, container and codec."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from hiera_video.data.decode import READERS, PyAVReader, check_decoder
from hiera_video.data.video_index import read_index
from hiera_video.errors import ConfigError, VideoError
from tests.support import frame_numbers, write_video

NUM_FRAMES = 50

#: File name -> how it is written. Both decoders read these.
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
#: decord would give other frames than asked for, so it must refuse.
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


def decode_everything(path: Path) -> Tensor:
    """All frames ``(T, C, H, W)`` by plain PyAV, from the first to the last."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def assert_frames(decoder: str, path: Path) -> None:
    """A reader gives the right frames for all ``INDICES``, one call after the other."""
    everything = decode_everything(path)
    assert frame_numbers(everything) == list(range(NUM_FRAMES))
    with READERS[decoder](path) as reader:
        assert reader.index.num_frames == NUM_FRAMES
        for name, indices in INDICES.items():
            frames = reader.frames(indices)
            assert frame_numbers(frames) == indices, name
            assert frames.dtype == torch.uint8
            assert torch.equal(frames, everything[indices]), name


@pytest.mark.parametrize("name", [*READABLE, *PYAV_ONLY])
def test_pyav_equals_decoding_everything(videos: Callable[[str], Path], name: str) -> None:
    assert_frames("pyav", videos(name))


@pytest.mark.parametrize("name", READABLE)
def test_decord_equals_decoding_everything(videos: Callable[[str], Path], name: str) -> None:
    assert_frames("decord", videos(name))


@pytest.mark.parametrize("name", PYAV_ONLY)
def test_decord_refuses_what_it_would_misplace(videos: Callable[[str], Path], name: str) -> None:
    with pytest.raises(VideoError, match=r"decord misplaces frames of .+; use pyav") as caught:
        READERS["decord"](videos(name))
    assert caught.value.path == str(videos(name))


@pytest.mark.torchcodec
@pytest.mark.parametrize("name", [*READABLE, *PYAV_ONLY])
def test_torchcodec_equals_decoding_everything_or_refuses(
    videos: Callable[[str], Path], name: str
) -> None:
    if name.endswith((".avi", ".ts")) or name == "h264_open_gops.mp4":
        with pytest.raises(VideoError, match=r"torchcodec misplaces frames of .+; use pyav"):
            READERS["torchcodec"](videos(name))
    else:
        assert_frames("torchcodec", videos(name))


def test_pyav_reads_a_file_that_starts_late_at_its_first_frame(
    videos: Callable[[str], Path],
) -> None:
    index = read_index(videos("h264_late_start.mp4"))
    assert index.timestamps[0] > 0
    assert index.num_frames == NUM_FRAMES
    assert index.duration_seconds == NUM_FRAMES / index.frames_per_second


class CountingReader(PyAVReader):
    """Counts the frames that come out of the decoder."""

    num_decoded = 0

    def _decode_packets(self, wanted: set[int]) -> Any:
        for frame in super()._decode_packets(wanted):
            self.num_decoded += 1
            yield frame


def test_sparse_frames_are_found_by_seeking(tmp_path: Path) -> None:
    """From the keyframe before each wanted frame, and without the B-frames nobody asked for."""
    path = write_video(tmp_path / "long.mp4", num_frames=240, gop=24, b_frames=2)
    reader = CountingReader(path)
    assert frame_numbers(reader.frames([50, 200])) == [50, 200]
    # 48..50 and 192..200 follow keyframes; decoding everything would be 201 frames.
    assert reader.num_decoded < 12
    reader.num_decoded = 0
    assert frame_numbers(reader.frames(range(100, 104))) == [100, 101, 102, 103]
    assert reader.num_decoded < 12
    reader.close()


def test_a_call_without_frames_or_past_the_end_is_a_fault_of_the_caller(
    videos: Callable[[str], Path],
) -> None:
    with PyAVReader(videos("h264.mp4")) as reader:
        for indices in ([], [-1], [NUM_FRAMES]):
            with pytest.raises(IndexError):
                reader.frames(indices)


def test_a_frame_rate_is_an_exact_fraction(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", num_frames=10, frame_rate=30)
    index = read_index(path)
    assert index.frames_per_second == 30
    assert float(index.duration_seconds) == pytest.approx(1 / 3)


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    """Music files often carry one; it is a video stream to FFmpeg."""
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
        PyAVReader(path)


def test_a_decoder_that_is_not_installed_is_a_setting_to_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("torchcodec", "torchcodec.decoders"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=r"data.decoder=torchcodec: .*install it, or use pyav"):
        check_decoder("torchcodec")
