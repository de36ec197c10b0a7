"""Folders and archives of numbered pictures, read as the videos that have these frames."""

from __future__ import annotations

import io
import os
import random
import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hiera_video import VideoError, open_video
from hiera_video.batch import ClipBatch
from hiera_video.config.clip_groups import ClipSettings, EvaluateSettings, ViewSettings
from hiera_video.data.dataset import EvaluationClips, TrainClips
from hiera_video.data.manifest import Manifest
from hiera_video.data.windows import VideoWindows, WindowBatch
from hiera_video.decoding import pictures
from hiera_video.decoding.frame_reader import FrameReader
from hiera_video.decoding.numbering import number_pictures
from hiera_video.decoding.open_video import open_reader
from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.source import FileBytes
from tests.support import (
    TINY_CLIP,
    cut_off,
    frame_numbers,
    numbered_frames,
    write_manifest,
    write_pictures,
    write_video,
)

RATE = 12
OPTIONS = DecodingOptions(frame_rate=Fraction(RATE))
NUM_FRAMES = 30


def zip_folder(folder: Path, target: Path, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(target, "w", method) as archive:
        for file in sorted(folder.iterdir(), reverse=True):
            archive.write(file, f"{folder.name}/{file.name}")
    return target


def tar_folder(folder: Path, target: Path, mode: str = "w") -> Path:
    with tarfile.open(target, mode) as archive:  # type: ignore[call-overload]
        archive.add(folder, ".")
    return target


def write_text(_: Path, target: Path) -> Path:
    target.write_text("this is a text\n" * 99)
    return target


#: How to make an archive, by suffix, and what then stands before the names of a folder's pictures.
PACK: dict[str, tuple[str, Callable[[Path, Path], Path]]] = {
    "zip": ("frames/", zip_folder),
    "tar": ("./", tar_folder),
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video, and its frames as a folder, a zip and a tar archive, in PNG."""
    root = tmp_path_factory.mktemp("clips")
    video = write_video(
        root / "video.mp4", num_frames=NUM_FRAMES, frame_rate=RATE, size=(48, 64), gop=6
    )
    with open_video(video) as opened:
        frames = opened.frames(range(NUM_FRAMES)).permute(0, 2, 3, 1).numpy()
    folder = write_pictures(root / "folder", frames)
    zip_folder(folder, root / "archive.zip", zipfile.ZIP_DEFLATED)
    tar_folder(folder, root / "archive.tar")
    return root


SOURCES = ["folder", "archive.zip", "archive.tar"]


@pytest.mark.parametrize("source", SOURCES)
def test_frames_are_those_of_the_video(clips: Path, source: str) -> None:
    wanted = [7, 0, 29, 7, 12]
    with open_video(clips / source) as frames, open_video(clips / "video.mp4") as video:
        assert frames.num_frames == video.num_frames
        assert torch.equal(frames.frames(wanted), video.frames(wanted))
        assert frame_numbers(frames.frames(range(30))) == list(range(30))
        assert frames.decoded_by_pyav is None
        for property_of_time in ("frames_per_second", "duration_seconds", "start_seconds"):
            with pytest.raises(VideoError, match="pictures do not say how many a second has"):
                getattr(frames, property_of_time)


@pytest.mark.parametrize("source", SOURCES[1:])
def test_archives_are_read_from_memory_as_from_files(clips: Path, source: str) -> None:
    """As members of tar shards are."""
    data = FileBytes(f"shard.tar/{source}", (clips / source).read_bytes())
    with open_video(clips / "video.mp4") as video, FrameReader(data, OPTIONS) as reader:
        assert torch.equal(reader.frames([3, 1]), video.frames([3, 1]))


def same(first: ClipBatch, second: ClipBatch) -> bool:
    assert first.failures + second.failures == []
    return (
        torch.equal(first.pixel_values, second.pixel_values)
        and torch.equal(first.start_seconds, second.start_seconds)
        and torch.equal(first.end_seconds, second.end_seconds)
    )


def manifests(clips: Path, folder: Path, segment: tuple[str, str]) -> dict[str, Manifest]:
    header = "path,start_seconds,end_seconds"
    return {
        name: Manifest(write_manifest(folder / f"{name}.csv", [(clips / name, *segment)], header))
        for name in ("video.mp4", *SOURCES)
    }


@pytest.mark.parametrize("segment", [("", ""), ("0.5", "1.75"), ("1.1", "")])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"frames_per_second": 7.5},
        {"sampling": "pyslowfast", "stride": 3},
        {"sampling": "segments"},
        {"num_frames": 16, "short_video": "loop"},
    ],
    ids=str,
)
def test_clips_crops_and_seconds_are_those_of_the_video(
    clips: Path, tmp_path: Path, segment: tuple[str, str], changes: dict[str, object]
) -> None:
    clip = ClipSettings(**{**TINY_CLIP, **changes})
    views = EvaluateSettings(num_clips=1 if clip.spans_video else 3, num_crops=3)
    augment = ViewSettings(rand_augment_num_ops=2)
    made: dict[str, list[ClipBatch]] = {}
    for name, manifest in manifests(clips, tmp_path, segment).items():
        training = TrainClips(manifest, clip, augment, OPTIONS, seed=3, repeats=2)
        evaluation = EvaluationClips(manifest, clip, views, OPTIONS, seed=0)
        windows = VideoWindows(
            *(manifest, [[0]], clip, OPTIONS),
            window_seconds=0.75,
            stride_seconds=0.3,
            batch_size=64,
        )
        window = WindowBatch.concatenate(list(windows))
        made[name] = [training[1, 0], training[2, 0], evaluation[0], window.clips]
    video = made.pop("video.mp4")
    for batches in made.values():
        assert all(same(*pair) for pair in zip(batches, video, strict=True))


def test_frames_alone_need_no_rate(clips: Path, tmp_path: Path) -> None:
    clip = ClipSettings(**TINY_CLIP)
    rows = manifests(clips, tmp_path, ("", ""))
    views = EvaluateSettings(num_clips=3, num_crops=1)
    read = {
        name: EvaluationClips(rows[name], clip, views, DecodingOptions(), seed=0)[0]
        for name in ("video.mp4", "folder")
    }
    assert torch.equal(read["folder"].pixel_values, read["video.mp4"].pixel_values)
    assert read["folder"].start_seconds.isnan().all()
    assert read["folder"].end_seconds.isnan().all()


NEEDS_RATE = "its frames are pictures, which do not say how many a second has; set data.frame_rate"


@pytest.mark.parametrize(
    ("segment", "changes"),
    [(("0.5", ""), {}), (("", "1"), {}), (("", ""), {"frames_per_second": 6.0})],
    ids=str,
)
def test_seconds_need_a_rate(
    clips: Path, tmp_path: Path, segment: tuple[str, str], changes: dict[str, float]
) -> None:
    clip = ClipSettings(**TINY_CLIP, **changes)
    manifest = manifests(clips, tmp_path, segment)["folder"]
    views = EvaluateSettings()
    (failure,) = EvaluationClips(manifest, clip, views, DecodingOptions(), seed=0)[0].failures
    assert failure.reason == NEEDS_RATE
    with pytest.raises(ValueError, match=f"line 2: {clips}/folder: {NEEDS_RATE}"):
        manifest.check_frame_rate(None, clip)
    manifest.check_frame_rate(Fraction(RATE), clip)


def test_a_folder_that_is_named_like_a_video_says_what_it_lacks_when_it_is_read(
    clips: Path, tmp_path: Path
) -> None:
    shutil.copytree(clips / "folder", tmp_path / "v_Jump_g01.avi")
    manifest = Manifest(
        write_manifest(tmp_path / "m.csv", [("v_Jump_g01.avi", 0.5)], "path,start_seconds")
    )
    clip, views = ClipSettings(**TINY_CLIP), EvaluateSettings()
    manifest.check_frame_rate(None, clip)
    read = {
        options: EvaluationClips(manifest, clip, views, options, seed=0)[0].failures
        for options in (DecodingOptions(), OPTIONS)
    }
    assert [failure.reason for failure in read[DecodingOptions()]] == [NEEDS_RATE]
    assert read[OPTIONS] == []


def test_windows_need_a_rate(clips: Path, tmp_path: Path) -> None:
    manifest = manifests(clips, tmp_path, ("", ""))["archive.zip"]
    windows = VideoWindows(
        *(manifest, [[0]], ClipSettings(**TINY_CLIP), DecodingOptions()),
        window_seconds=None,
        stride_seconds=None,
        batch_size=8,
    )
    (batch,) = windows
    assert [failure.reason for failure in batch.clips.failures] == [NEEDS_RATE]


def test_a_clip_that_is_too_short_is_told_in_frames(clips: Path, tmp_path: Path) -> None:
    clip = ClipSettings(**{**TINY_CLIP, "num_frames": 16, "short_video": "refuse"})
    manifest = manifests(clips, tmp_path, ("", ""))["folder"]
    views = EvaluateSettings()
    for options, told in (
        (DecodingOptions(), "30.000 frames, a"),
        (OPTIONS, "2.500 s, a clip 2.667 s"),
    ):
        (failure,) = EvaluationClips(manifest, clip, views, options, seed=0)[0].failures
        assert f"it lasts {told}" in failure.reason


def test_only_the_pictures_of_a_clip_are_read(clips: Path, tmp_path: Path) -> None:
    """Others may even be damaged."""
    folder = shutil.copytree(clips / "folder", tmp_path / "copy")
    for number in range(1, 31):
        if number not in (3, 8):
            (folder / f"{number:05d}.png").write_bytes(b"")
    with open_video(folder) as frames:
        assert frame_numbers(frames.frames([7, 2])) == [7, 2]


@pytest.mark.parametrize("name", ["frame_{:010d}.jpg", "{:05d}.JPG", "V-{:06d}.png", "img{}.png"])
@pytest.mark.parametrize("first", [0, 1, 98])
def test_names_of_datasets(tmp_path: Path, name: str, first: int) -> None:
    """EPIC-Kitchens; Something-Something and Jester; Charades; numbers without zeros."""
    write_pictures(tmp_path / "frames", numbered_frames(12, 32, 64), name, first)
    for other in ("notes.txt", ".hidden.jpg", "._00001.jpg", "Thumbs.db"):
        (tmp_path / "frames" / other).touch()
    with open_video(tmp_path / "frames") as frames:
        assert frame_numbers(frames.frames(range(12))) == list(range(12))


def test_names_that_only_differ_in_a_number_take_no_memory() -> None:
    names = [f"frame_{number:010d}.jpg" for number in range(1, 100_000)]
    shuffled = names.copy()
    random.Random(0).shuffle(shuffled)
    numbered = number_pictures(shuffled)
    assert numbered.others == ()
    assert (numbered[0], numbered[-1 + numbered.num_frames]) == (names[0], names[-1])
    mixed = number_pictures(["1.jpg", "2.png", "03.jpg"])
    assert [mixed[frame] for frame in range(3)] == ["1.jpg", "2.png", "03.jpg"]


REASONS: dict[str, tuple[list[str], str]] = {
    "missing": (
        [f"{n:05d}.jpg" for n in range(1, 41) if n != 17],
        "00017.jpg is missing: numbers go from 1 to 40",
    ),
    "several missing": (
        [f"a{n}.jpg" for n in (8, 9, 13, 14)],
        "a10.jpg is missing (and 2 more): numbers go from 8 to 14",
    ),
    "none": (["notes.txt", ".1.jpg"], "it has no numbered pictures (.bmp .jpeg .jpg .png"),
    "two numberings": (
        ["flow_x_1.jpg", "flow_x_2.jpg", "img_1.jpg", "img_2.jpg"],
        "it has several numberings, such as flow_x_1.jpg and img_1.jpg; wanted one in a clip",
    ),
    "twice": (["01.jpg", "1.png", "2.jpg"], "it has number 1 twice: 01.jpg and 1.png"),
    "no number": (["00001.jpg", "cover.jpg"], "cover.jpg has no number at the end of its name"),
}


@pytest.mark.parametrize("case", REASONS)
def test_what_is_wrong_with_names_is_told(tmp_path: Path, case: str) -> None:
    names, reason = REASONS[case]
    folder = tmp_path / "frames"
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    with pytest.raises(VideoError, match=f"^{re.escape(f'{folder}: {reason}')}"):
        open_reader(folder)


def picture(size: tuple[int, int], kind: str = "png", **options: object) -> bytes:
    data = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    Image.fromarray(noise).save(data, kind, **options)
    return data.getvalue()


BAD_PICTURES: dict[str, tuple[bytes, str]] = {
    "damaged": (picture((32, 32))[:900], "00003.png: image file is truncated"),
    "empty": (b"", "00003.png is empty (0 bytes)"),
    "text": (b"text" * 99, "00003.png is not an image"),
    "size": (picture((48, 32)), "00003.png has 32x48 pixels, 00001.png has 64x32"),
}


@pytest.mark.parametrize("case", BAD_PICTURES)
@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_a_bad_picture_is_named(tmp_path: Path, case: str, kind: str) -> None:
    data, reason = BAD_PICTURES[case]
    source = write_pictures(tmp_path / "frames", numbered_frames(5, 32, 64))
    (source / "00003.png").write_bytes(data)
    if kind != "folder":
        prefix, pack = PACK[kind]
        source = pack(source, tmp_path / f"a.{kind}")
        reason = re.sub(r"(0000\d)", rf"{prefix}\1", reason)
    reader = open_reader(source)
    with pytest.raises(VideoError, match=f"^{re.escape(f'{source}: {reason}')}"):
        list(reader.stream([0, 2, 4]))
    assert len(list(reader.stream([0, 1, 3]))) == 3
    reader.close()


def spoil(archive: Path) -> Path:
    """Change one byte of a stored picture."""
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    archive.write_bytes(data)
    return archive


BAD_ARCHIVES: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "cut.zip": (lambda f, t: cut_off(zip_folder(f, t), t, 0.7), "it is no zip archive, or is cut"),
    "cut.tar": (lambda f, t: cut_off(tar_folder(f, t), t, 0.5), "it is cut off"),
    "text.tar": (write_text, "it is no tar archive, or is cut"),
    "a.tar.gz": (lambda f, t: tar_folder(f, t, "w:gz"), "it is a compressed archive, in which no"),
    "none.zip": (lambda _, t: zip_folder(t.parent / "empty", t), "it has no numbered pictures"),
    "missing.zip": (lambda _, t: t, "no such file or directory"),
}


@pytest.mark.parametrize("name", BAD_ARCHIVES)
def test_a_bad_archive_is_told(clips: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    make, reason = BAD_ARCHIVES[name]
    archive = make(clips / "folder", tmp_path / name)
    with pytest.raises(VideoError, match=f"^{re.escape(f'{archive}: {reason}')}"):
        open_reader(archive)


def test_an_archive_that_is_cut_between_two_pictures_is_told(clips: Path, tmp_path: Path) -> None:
    with tarfile.open(clips / "archive.tar") as tar:
        ends = [info.offset for info in tar if info.isreg()]
    archive = tmp_path / "cut.tar"
    archive.write_bytes((clips / "archive.tar").read_bytes()[: ends[-3]])
    with pytest.raises(VideoError, match="it is cut off"):
        open_reader(archive)


def test_a_flipped_bit_in_a_zip_archive_is_told(clips: Path, tmp_path: Path) -> None:
    archive = spoil(zip_folder(clips / "folder", tmp_path / "spoilt.zip"))
    with pytest.raises(VideoError, match=r"folder/000\d\d.png: bad CRC-32 for file"):
        list(open_reader(archive).stream(range(30)))


def test_pictures_are_upright_and_in_rgb(tmp_path: Path) -> None:
    """As images are: EXIF, grey, 16 bits, palettes."""
    grey = np.arange(24 * 16, dtype=np.uint8).reshape(24, 16)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(grey).save(tmp_path / "1.png", exif=exif)
    Image.fromarray(np.rot90(grey, -1).astype(np.uint16) << 8).save(tmp_path / "2.png")
    Image.fromarray(np.rot90(grey, -1)).convert("P").save(tmp_path / "3.png")
    with open_video(tmp_path) as frames:
        read = frames.frames([0, 1, 2])
    upright = torch.from_numpy(np.rot90(grey, -1).copy())
    assert torch.equal(read, upright.expand(3, 3, 16, 24))


def test_jpeg_gives_the_pixels_of_pillow(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "f", numbered_frames(3, 30, 50), "{:05d}.jpg")
    expected = [np.asarray(Image.open(file)) for file in sorted(folder.iterdir())]
    with open_video(folder) as frames:
        read = frames.frames(range(3)).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(read, np.stack(expected))


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders and archives that are listed from now on."""
    seen: list[str] = []
    original = pictures.number_pictures

    def watched(names: object) -> object:
        seen.append("listed")
        return original(names)  # type: ignore[arg-type]

    monkeypatch.setattr(pictures, "number_pictures", watched)
    monkeypatch.setattr(pictures, "_UNSETTLED_SECONDS", -1.0)
    return seen


@pytest.mark.parametrize("kind", ["folder", "archive.tar"])
def test_a_folder_is_listed_once(
    clips: Path, tmp_path: Path, listings: list[str], kind: str
) -> None:
    source = tmp_path / kind
    if kind == "folder":
        shutil.copytree(clips / kind, source)
    else:
        shutil.copy(clips / kind, source)
    for _ in range(3):
        open_reader(source).close()
    assert len(listings) == 1
    if kind == "folder":
        write_pictures(source, numbered_frames(1, 48, 64), first=31)
    os.utime(source, ns=(0, 10**9))
    reader = open_reader(source)
    assert reader.index.num_frames == (31 if kind == "folder" else 30)
    assert len(listings) == 2


def test_what_is_kept_of_folders_is_limited(
    clips: Path, tmp_path: Path, listings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "_MOST_KEPT", 2)
    folders = [shutil.copytree(clips / "folder", tmp_path / str(number)) for number in range(3)]
    for folder in (*folders, folders[2], folders[1], folders[0]):
        open_reader(folder).close()
    assert len(listings) == 4


def test_a_folder_that_has_just_changed_is_listed_again(clips: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clips / "folder", tmp_path / "frames")
    (folder / "00031.png").write_bytes((folder / "00030.png").read_bytes())
    assert open_reader(folder).index.num_frames == 31
    (folder / "00031.png").unlink()
    assert open_reader(folder).index.num_frames == 30


def test_a_manifest_is_opened_without_listing_folders(tmp_path: Path, listings: list[str]) -> None:
    """Only the first is looked into, as far as files are checked at all."""
    for number in range(4):
        write_pictures(tmp_path / f"{number}", numbered_frames(2, 8, 8))
    manifest = Manifest(write_manifest(tmp_path / "m.csv", [(n,) for n in range(4)], "path"))
    assert listings == []
    manifest.check_files()
    assert len(listings) == 1
    shutil.rmtree(tmp_path / "2")
    with pytest.raises(ValueError, match=r"m\.csv, line 4: no such file: .*/2$"):
        manifest.check_files()
    (tmp_path / "2").mkdir()
    (tmp_path / "0/00001.png").unlink()
    (tmp_path / "0/00002.png").unlink()
    with pytest.raises(ValueError, match=r"m\.csv, line 2: .*/0: it has no numbered pictures"):
        manifest.check_files()
