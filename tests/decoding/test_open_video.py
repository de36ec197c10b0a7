"""``open_video``, the folder of indexes, and files whose packets promise other frames."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from hiera_video import VideoError, open_video
from hiera_video.batch import ClipBatch
from hiera_video.config.clip_groups import ClipSettings, EvaluateSettings
from hiera_video.config.groups import ReadingSettings
from hiera_video.data.dataset import EvaluationClips
from hiera_video.data.failures import NOTICES_FILE, FailurePolicy
from hiera_video.data.manifest import Row
from hiera_video.data.windows import VideoWindows, WindowBatch
from hiera_video.decoding.index_store import IndexStore
from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.reader import IndexDisprovedError, VideoReader
from hiera_video.errors import ConfigError
from tests.support import frame_numbers, write_video

CLIP = ClipSettings(num_frames=8, stride=1, crop_size=64)


@pytest.fixture
def avi(tmp_path: Path) -> Path:
    return write_video(tmp_path / "video.avi", num_frames=40, codec="mpeg4", frame_rate=10)


@pytest.fixture
def with_empty_packet(tmp_path: Path) -> Path:
    """An MPEG-4 file whose packet 7 has its own timestamp but no picture: a message to the decoder,
    and a picture that is not coded (``vop_coded`` is 0: ISO/IEC 14496-2, section 6.2.5)."""
    source = write_video(
        tmp_path / "source.mp4", num_frames=30, codec="mpeg4", b_frames=0, gop=10, frame_rate=10
    )
    path = tmp_path / "promises.mp4"
    # After the start code: P, no whole second, marker, time in 4 bits, marker, not coded, stuffing.
    not_coded = b"\x00\x00\x01\xb6" + bytes([0b01_0_1_0111, 0b1_0_011111])
    message = b"\x00\x00\x01\xb2" + b"a message to the decoder" + not_coded
    with av.open(str(source)) as original, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(original.streams.video[0])
        packets = [packet for packet in original.demux(video=0) if packet.size]
        contents = [(bytes(packet), packet.is_keyframe) for packet in packets]
        contents.insert(7, (message, False))
        for number, (data, is_keyframe) in enumerate(contents):
            packet = av.packet.Packet(data)
            packet.stream, packet.time_base = stream, packets[0].time_base
            packet.pts = packet.dts = number * packets[0].duration
            packet.duration, packet.is_keyframe = packets[0].duration, is_keyframe
            output.mux(packet)
    return path


def test_frames_and_times(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", num_frames=20, frame_rate=10)
    with open_video(path) as video:
        assert video.num_frames == 20
        assert video.frames_per_second == 10
        assert video.duration_seconds == 2
        assert video.start_seconds.tolist() == pytest.approx([i / 10 for i in range(20)])
        assert video.end_seconds.tolist() == pytest.approx([i / 10 for i in range(1, 21)])
        assert video.start_seconds.dtype == torch.float64
        frames = video.frames([7, 3, 3, 19])
        assert frames.dtype == torch.uint8
        assert frames.shape == (4, 3, 64, 64)
        assert frame_numbers(frames) == [7, 3, 3, 19]
        assert video.decoded_by_pyav is None


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ([20], "has no frame 20: its frames are 0 to 19"),
        ([3, -1], "has no frame -1: its frames are 0 to 19"),
        (range(3, 10**6), "has no frame 20: its frames are 0 to 19"),
        ([], "no frames were requested"),
    ],
)
def test_a_frame_that_is_not_there(tmp_path: Path, numbers: Sequence[int], reason: str) -> None:
    path = write_video(tmp_path / "video.mp4", num_frames=20)
    with open_video(path) as video:
        with pytest.raises(VideoError) as caught:
            video.frames(numbers)
        assert caught.value.reason == reason
        with pytest.raises(TypeError):
            video.frames([1.5])  # type: ignore[list-item]
        assert frame_numbers(video.frames(np.array([3, 1]))) == [3, 1]  # type: ignore[arg-type]


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_threads_take_turns(tmp_path: Path, avi: Path, decoder: str) -> None:
    mp4 = write_video(tmp_path / "video.mp4", num_frames=40)
    for path in (mp4, avi):
        with open_video(path, decoder) as video, ThreadPoolExecutor(4) as pool:
            wanted = [[(7 * k) % 40, (3 * k) % 40] for k in range(60)]
            for numbers, frames in zip(wanted, pool.map(video.frames, wanted), strict=True):
                assert frame_numbers(frames) == numbers


def test_a_closed_video_and_one_of_another_process_give_no_frames(avi: Path) -> None:
    with open_video(avi) as video:
        child = os.fork()
        if child == 0:  # the child shares the open file and its read position
            try:
                video.frames([3])
            except VideoError as error:
                os._exit(5 if "was opened by another process" in error.reason else 6)
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
        assert frame_numbers(video.frames([3])) == [3]
    with pytest.raises(VideoError, match="was closed"):
        video.frames([3])


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    for name in ("missing.mp4", "text.mp4"):
        (tmp_path / "text.mp4").write_text("no video")
        with pytest.raises(VideoError) as caught, open_video(tmp_path / name):
            pass
        assert caught.value.path == str(tmp_path / name)
        assert caught.value.reason
    with pytest.raises(ConfigError, match="did you mean pyav"), open_video("a.mp4", "pyva"):
        pass


def test_an_image_is_a_video_of_one_frame(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 12, 3), 90, np.uint8)).save(tmp_path / "image.png")
    with open_video(tmp_path / "image.png") as video:
        assert (video.num_frames, video.duration_seconds) == (1, 1)
        assert video.frames([0]).shape == (1, 3, 8, 12)


def test_pixels_that_are_not_square_are_stretched_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = 2
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(_halves(48, 64))))
        container.mux(stream.encode())
    for decoder in ("pyav", "decord"):
        with open_video(path, decoder) as video:
            assert video.frames([0]).shape == (1, 3, 64, 48)
        with open_video(path, decoder, square_pixels=True) as video:
            stretched = video.frames([0])[0]
            assert stretched.shape == (3, 64, 96)
            assert (stretched[:, :, :44] < 60).all()
            assert (stretched[:, :, 52:] > 190).all()


def _halves(width: int, height: int) -> np.ndarray:
    """Black on the left, white on the right."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, width // 2 :] = 255
    return image


class TestStore:
    def test_a_file_is_counted_once(self, avi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        counted = []
        count = VideoReader._count

        def count_and_note(self: VideoReader, *arguments: object) -> object:
            counted.append(self.source)
            return count(self, *arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(VideoReader, "_count", count_and_note)
        folder = avi.parent / "index"
        for _ in range(3):
            with open_video(avi, index_dir=folder) as video:
                assert frame_numbers(video.frames([0, 39, 21])) == [0, 39, 21]
        assert len(counted) == 1
        write_video(avi, num_frames=30, codec="mpeg4")  # another file at its path
        with open_video(avi, index_dir=folder) as video:
            assert video.num_frames == 30
        assert len(counted) == 2

    def test_an_index_comes_back_as_it_was(self, avi: Path, tmp_path: Path) -> None:
        with VideoReader(avi) as reader:
            index = reader.index
        store = IndexStore(tmp_path / "index")
        store.save(avi, index)
        assert store.load(avi) == index
        assert index.is_counted
        assert index.keyframes == (0, 12, 24, 36)

    def test_a_damaged_index_is_made_anew(self, avi: Path, tmp_path: Path) -> None:
        folder = tmp_path / "index"
        with open_video(avi, index_dir=folder):
            pass
        (kept,) = folder.iterdir()
        for content in (kept.read_bytes()[:50], b"", os.urandom(500)):
            kept.write_bytes(content)
            with open_video(avi, index_dir=folder) as video:
                assert frame_numbers(video.frames([5])) == [5]

    def test_a_folder_that_cannot_be_written_to_keeps_nothing(
        self, avi: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("")
        with open_video(avi, index_dir=tmp_path / "file/index") as video:
            assert frame_numbers(video.frames([5])) == [5]

    def test_the_index_of_a_short_file_that_can_be_trusted_is_not_kept(
        self, tmp_path: Path
    ) -> None:
        path = write_video(tmp_path / "video.mp4", num_frames=20)
        with open_video(path, index_dir=tmp_path / "index"):
            assert not (tmp_path / "index").exists()

    def test_a_run_keeps_indexes_in_its_output_folder_or_where_it_is_told_to(self) -> None:
        default = ReadingSettings().decoding(Path("run"))
        assert default.index_dir == Path("run/.index")
        custom = ReadingSettings(index_dir=Path("kept"), square_pixels=True, decoder="decord")
        assert custom.decoding(Path("run")) == DecodingOptions("decord", 300, Path("kept"), True)


class TestDisproved:
    """A packet without a picture, which only decoding reveals."""

    def test_the_frames_are_those_that_the_decoder_gives(self, with_empty_packet: Path) -> None:
        with open_video(with_empty_packet) as video:
            assert video.num_frames == 31  # as its packets promise
            assert frame_numbers(video.frames(range(5, 20))) == list(range(5, 20))
            assert video.num_frames == 30
            assert frame_numbers(video.frames([29, 6, 8])) == [29, 6, 8]
        with open_video(with_empty_packet) as video:
            reason = "its packets promised more frames than the 30 it has"
            with pytest.raises(VideoError, match=reason):
                video.frames(range(31))
            assert frame_numbers(video.frames(range(30))) == list(range(30))

    def test_readers_say_so(self, with_empty_packet: Path) -> None:
        with VideoReader(with_empty_packet) as reader:
            with pytest.raises(IndexDisprovedError, match="whose packets do not match its frames"):
                list(reader.stream(range(31)))
            assert reader.index.num_frames == 30

    def test_clips_and_windows_are_chosen_anew(
        self, with_empty_packet: Path, tmp_path: Path
    ) -> None:
        """They equal those of a file whose index was right from the start."""
        row = Row(0, "promises.mp4", with_empty_packet, {}, 0.0, None)
        views = EvaluateSettings(num_clips=5, num_crops=1)
        unknown, known = DecodingOptions(), DecodingOptions(index_dir=tmp_path / "index")
        with VideoReader(with_empty_packet, known) as reader:
            reader.frames(range(30))
            assert reader.index.is_counted  # and that is kept
        actual, expected = (
            EvaluationClips([row], CLIP, views, decoding, 0)[0] for decoding in (unknown, known)
        )
        assert _numbers(actual) == _numbers(expected)
        assert actual.start_seconds.equal(expected.start_seconds)
        for batch_size in (1, 2):
            actual, expected = (
                ClipBatch.concatenate([b.clips for b in _windows(row, decoding, batch_size)])
                for decoding in (unknown, known)
            )
            # The first windows came before the reader noticed.
            assert _numbers(actual)[-len(expected) :] == _numbers(expected)
            assert actual.start_seconds[-len(expected) :].equal(expected.start_seconds)


def _windows(row: Row, decoding: DecodingOptions, batch_size: int) -> list[WindowBatch]:
    return list(
        VideoWindows(
            [row],
            [[0]],
            CLIP,
            decoding,
            window_seconds=None,
            stride_seconds=None,
            batch_size=batch_size,
        )
    )


def _numbers(batch: ClipBatch) -> list[list[int]]:
    return [frame_numbers(clip.transpose(0, 1)) for clip in batch.pixel_values]


def test_files_that_are_read_otherwise_are_listed_once_and_told(
    avi: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mp4 = write_video(tmp_path / "open.mp4", num_frames=20, codec="libx265", open_gop=True)
    rows = [Row(i, path.name, path, {}, 0.0, None) for i, path in enumerate((avi, mp4))]
    (tmp_path / "out").mkdir()
    policy = FailurePolicy("raise", tmp_path / "out")
    assert policy.summary() is None
    for decoder in ("pyav", "decord"):
        clips = EvaluationClips(rows, CLIP, EvaluateSettings(), DecodingOptions(decoder), 0)
        for _ in range(2):
            policy.handle(ClipBatch.concatenate([clips[0], clips[1]]))
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert (
        f"{avi}: counted by decoding (mpeg4 in avi, which does not store when pictures are shown)"
        in messages[0]
    )
    assert f"{avi}: read by pyav (decord misplaces frames of mpeg4 in avi" in messages[1]
    assert len((tmp_path / "out" / NOTICES_FILE).read_text().splitlines()) == 3
    assert policy.summary() == (
        f"videos read otherwise than asked for: 1 counted by decoding, 2 read by pyav  -> "
        f"{tmp_path / 'out' / NOTICES_FILE}"
    )
