"""Facts taken from a container, and files refused before any frame is decoded."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import pytest

from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.reader import VideoReader
from hiera_video.decoding.source import Source, open_source
from hiera_video.decoding.time_limit import TimeLimit
from hiera_video.errors import VideoError
from tests.support import frame_numbers, write_video


def patched(path: Path, changes: dict[bytes, Callable[[bytes], bytes]]) -> Path:
    """Apply ``changes``: byte string -> change of the file's bytes after its first occurrence."""
    data = path.read_bytes()
    for name, change in changes.items():
        head, match, tail = data.partition(name)
        assert match
        data = head + match + change(tail)
    path.write_bytes(data)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(VideoError) as caught, VideoReader(path) as reader:
        reader.frames([0])
    assert caught.value.path == str(path)
    return caught.value.reason


def test_a_size_that_cannot_be_believed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mkv", num_frames=3, size=300, codec="ffv1", b_frames=0)
    width, height = (20000).to_bytes(2, "big"), (5000).to_bytes(2, "big")
    patched(path, {b"\xb0\x82": lambda b: width + b[2:], b"\xba\x82": lambda b: height + b[2:]})
    assert "no size, or more than 8192x8192 pixels" in refusal(path)


def test_a_frame_rate_that_cannot_be_believed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", num_frames=10)
    patched(path, {b"stts": lambda b: b[:12] + b"\x7f\xff\xff\xff" + b[16:]})
    assert refusal(path) == "a rate of 5.72e-06 frames per second is not plausible"


def test_an_unknown_codec(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mkv", num_frames=3)
    patched(path, {b"V_MPEG4": lambda b: b.replace(b"/ISO/AVC", b"/NEW/XYZ", 1)})
    assert refusal(path) == "its codec is unknown to FFmpeg"


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", ["video.mkv", "video.webm"])
def test_a_matroska_file_that_is_cut_off(tmp_path: Path, name: str, share: float) -> None:
    codec = "libvpx-vp9" if name.endswith("webm") else "libx264"
    path = write_video(tmp_path / name, num_frames=40, codec=codec)
    size = path.stat().st_size
    os.truncate(path, int(share * size))
    reason = refusal(path)
    assert reason == f"the file is cut off: {size - int(share * size)} bytes are missing at its end"


def test_a_matroska_file_that_was_streamed_is_read_without_its_length(tmp_path: Path) -> None:
    """Its segment has no size, and it stores no duration."""
    path = write_video(tmp_path / "video.mkv", num_frames=40)
    unknown = b"\x01" + b"\xff" * 7
    patched(path, {b"\x18\x53\x80\x67": lambda b: unknown + b[8:]})
    with VideoReader(path) as reader:
        assert frame_numbers(reader.frames([0, 39])) == [0, 39]


def test_a_matroska_file_whose_frames_end_early(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mkv", num_frames=48)
    unknown = b"\x01" + b"\xff" * 7
    patched(path, {b"\x18\x53\x80\x67": lambda b: unknown + b[8:]})
    patched(path, {b"DURATION": lambda b: b.replace(b"00:00:02.00", b"00:00:09.00", 1)})
    assert refusal(path) == "the file is damaged or cut off: frames end at 2.0 s of 9.0 s"


def test_only_matroska_is_opened_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On network storage each opening takes milliseconds."""
    opened = []

    def open_and_note(source: Source) -> BinaryIO:
        opened.append(str(source))
        return open_source(source)

    monkeypatch.setattr("hiera_video.decoding.container.open_source", open_and_note)
    paths = [write_video(tmp_path / f"video.{kind}", num_frames=3) for kind in ("mp4", "mkv")]
    for path in paths:
        VideoReader(path).close()
    assert opened == [str(paths[1])]


def test_the_rate_is_that_of_the_timestamps_where_the_header_is_wrong(tmp_path: Path) -> None:
    """Matroska's header states one frame duration, even if frames differ."""
    path = tmp_path / "video.mkv"
    source = write_video(tmp_path / "steady.mp4", num_frames=40, frame_rate=40, b_frames=0)
    with av.open(str(source)) as original, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(original.streams.video[0])
        for packet in original.demux(video=0):
            if packet.pts is not None and packet.dts is not None:
                packet.pts += packet.pts * (packet.pts > 10 * packet.duration)
                packet.dts = packet.pts
                packet.stream = stream
                output.mux(packet)
    with VideoReader(path) as reader:
        assert reader.index.num_frames == 40
        assert float(reader.index.frames_per_second) == pytest.approx(20, abs=1)


def test_metadata_in_another_encoding_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "video.mkv"
    write_video(path, num_frames=3)
    patched(path, {b"ENCODER": lambda b: b.replace(b"Lavf", b"\xe9\xe8\xff\xfe", 1)})
    with VideoReader(path) as reader:
        assert frame_numbers(reader.frames([2])) == [2]


def test_time_is_limited(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", num_frames=10)
    with pytest.raises(VideoError, match=r"no frame came within 1e-09 s"):
        VideoReader(path, DecodingOptions(timeout_seconds=1e-9))
    limit = TimeLimit(0)
    limit.check()
    limit.start()
    with pytest.raises(TimeoutError, match="no frame came within 0 s"):
        limit.check()


def test_a_frame_rate_is_an_exact_fraction(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", num_frames=10, frame_rate=30)
    with VideoReader(path) as reader:
        assert reader.index.frames_per_second == 30
        assert reader.index.duration_seconds == Fraction(1, 3)
