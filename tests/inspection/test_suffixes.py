"""Which files of a folder are taken for videos, and that the others are told of."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from hiera_video.config.groups import InspectData
from hiera_video.data.file_search import VIDEO_SUFFIXES, search_files
from hiera_video.errors import UserError
from hiera_video.inspection.run import inspect_videos
from tests.datasets.preparation import complaint, prepare, rows, touch
from tests.support import HANG_SECONDS, coloured_frames, write_video

#: Suffix -> what PyAV's FFmpeg writes into it.
WRITTEN = {
    ".3gp": "libx264",
    ".asf": "mpeg4",
    ".flv": "libx264",
    ".m2ts": "libx264",
    ".mts": "libx264",
    ".vob": "mpeg2video",
    ".WMV": "mpeg4",
}
#: Suffix -> what the ffmpeg program needs to be told to write it.
TOLD = {
    **dict.fromkeys((".3g2", ".3gp", ".mp4v"), "-c:v mpeg4"),
    **dict.fromkeys((".264", ".avc"), "-f h264"),
    **dict.fromkeys((".265", ".h265"), "-f hevc -c:v libx265 -x265-params log-level=none"),
    ".divx": "-f avi",
    ".dv": "-s 720x576 -pix_fmt yuv420p",
    ".ivf": "-c:v libvpx",
    **dict.fromkeys((".m2p", ".vro", ".evo", ".mod"), "-f vob"),
    **dict.fromkeys((".m2t", ".tod"), "-f mpegts"),
    ".mk3d": "-f matroska",
    ".mp4v": "-c:v mpeg4 -f mp4",
    ".mpe": "-f mpeg",
    ".mpv": "-f mpeg2video",
    ".mxf": "-c:v mpeg2video",
    ".ogm": "-f ogg -c:v libtheora",
    ".qt": "-f mov",
    ".rmvb": "-f rm",
    ".xvid": "-f avi -c:v mpeg4",
}
#: Cameras and recorders write these; FFmpeg only reads them.
ONLY_READ = {".dav", ".dvr-ms"}
#: Pictures one after the other, without a container.
BARE_PICTURES = {".mjpeg", ".mjpg"}


def write_gif(path: Path) -> None:
    frames = [Image.fromarray(frame) for frame in coloured_frames("red", seed=0)]
    path.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40)


def test_videos_of_many_suffixes_are_found_and_read(tmp_path: Path) -> None:
    for suffix, codec in WRITTEN.items():
        write_video(tmp_path / f"pour/video{suffix}", codec=codec, num_frames=12, frame_rate=25)
    write_gif(tmp_path / "pour/video.gif")
    inspect_videos(
        tmp_path, tmp_path / "out", InspectData(), keep_duplicates=True
    )  # .asf and .wmv are the same
    table = pq.read_table(tmp_path / "out/videos.parquet").to_pydict()
    assert table["path"] == sorted(f"pour/video{suffix}" for suffix in (*WRITTEN, ".gif"))
    assert table["left_out"] == [None] * 8
    assert table["num_frames"] == [12] * 8


@pytest.mark.ffmpeg
@pytest.mark.parametrize("suffix", sorted(VIDEO_SUFFIXES - ONLY_READ - BARE_PICTURES))
def test_what_ffmpeg_writes_is_found_and_read(suffix: str, tmp_path: Path) -> None:
    pictures = "-f lavfi -i testsrc=size=176x144:rate=25:duration=1 -pix_fmt yuv420p"
    command = f"ffmpeg -nostdin -v error {pictures} {TOLD.get(suffix, '')}".split()
    subprocess.run([*command, str(tmp_path / f"video{suffix}")], check=True, timeout=HANG_SECONDS)
    inspect_videos(tmp_path, tmp_path / "out", InspectData(), decode=True)
    table = pq.read_table(tmp_path / "out/videos.parquet").to_pydict()
    assert (table["left_out"], table["num_frames"]) == ([None], [25])


def test_what_is_passed_over_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, *(f"videos/pour/{number}.TXT" for number in range(3)))
    touch(tmp_path, "videos/pour/a.jpg", "videos/notes.jpg", "videos/README", "videos/.hidden.txt")
    with pytest.raises(UserError) as told:
        inspect_videos(tmp_path / "videos", tmp_path / "out", InspectData())
    nothing = f"{tmp_path}/videos: no video files in it, nor in folders below"
    passed_over = "passed over: 3 .txt, 2 .jpg, 1 without a suffix"
    assert str(told.value) == f"{nothing} ({passed_over})"
    write_video(tmp_path / "videos/pour/a.mp4", num_frames=5)
    inspect_videos(tmp_path / "videos", tmp_path / "out", InspectData())
    assert capsys.readouterr().out.splitlines()[1:] == [passed_over]
    page = (tmp_path / "out/report.html").read_text()
    assert "Passed over, since their suffixes are not those of videos: 3 .txt, 2 .jpg" in page


def test_many_kinds_are_summed_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    touch(tmp_path, "videos/a/a.mp4", "videos/a/b.mp4")
    touch(tmp_path, *(f"videos/x.part{number}" for number in range(100)))
    assert search_files(tmp_path / "videos").passed_over.total() == 100
    assert prepare("folder", tmp_path / "videos", tmp_path / "out") == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert re.fullmatch(r"passed over: (1 \.part\d+, ){8}92 of 92 other kinds", line)


def test_preparation_tells_what_it_passes_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path, "v/pour/a.txt", "v/pour/b.jpg", "v/c.flv", "v/d.mkv")
    told = "passed over: 1 .jpg, 1 .txt, 2 beside the class folders"
    line = complaint(capsys, "folder", tmp_path / "v", tmp_path / "out")
    wanted = "wanted one folder per class with video files in it, found none"
    assert line == f"{tmp_path}/v: {wanted} ({told})"
    touch(tmp_path, "v/pour/1.flv", "v/pour/2.M2TS")
    assert prepare("folder", tmp_path / "v", tmp_path / "out", "--val-share", 0) == 0
    assert capsys.readouterr().out.splitlines() == [told, f"1 classes: 2 train  -> {tmp_path}/out"]
    found = [row[0] for row in rows(tmp_path / "out/train.csv", tmp_path / "v")]
    assert found == ["pour/1.flv", "pour/2.M2TS"]
    assert prepare("folder", tmp_path / "v", tmp_path / "pictures", "--images") == 0
    told = "passed over: 2 .flv, 1 .m2ts, 1 .mkv, 1 .txt"
    assert capsys.readouterr().out.splitlines()[0] == told
