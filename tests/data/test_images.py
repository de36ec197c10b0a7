"""Images are videos of one frame."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.transforms import InterpolationMode, v2

from hiera_video.config.clip_groups import (
    AugmentSettings,
    ClipSettings,
    EvaluateSettings,
    ImageSettings,
)
from hiera_video.data.dataset import EvaluationClips, TrainClips
from hiera_video.data.manifest import Manifest, Row
from hiera_video.data.windows import VideoWindows
from hiera_video.decoding.images import ImageReader
from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.source import is_image
from hiera_video.errors import ManifestError, VideoError
from tests.support import cut_off, write_manifest

SUFFIXES = ("bmp", "jpg", "jpeg", "png", "tif", "tiff", "webp")


def picture(height: int = 40, width: int = 60) -> np.ndarray:
    """Smooth colours, so that lossy formats keep them, (H, W, C)."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 4, columns * 4, rows * 2 + columns * 2], -1).astype(np.uint8)


def read(path: Path) -> torch.Tensor:
    """The one frame of an image, (C, H, W)."""
    reader = ImageReader(path)
    (frame,), (streamed,) = reader.frames([0]), reader.stream([0])
    assert frame.equal(streamed)
    return frame


def row(path: Path) -> Row:
    return Row(0, path.name, path, {"labels": 2}, 0.0, None)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_formats(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture.{suffix.upper()}"
    Image.fromarray(picture()).save(path, quality=95)
    assert is_image(path)
    frame = read(path)
    assert frame.dtype == torch.uint8
    assert frame.shape == (3, 40, 60)
    difference = frame.int() - torch.from_numpy(picture()).permute(2, 0, 1).int()
    assert difference.abs().float().mean() < 3


def test_colours_are_rgb_whatever_the_file_has(tmp_path: Path) -> None:
    grey = picture()[..., 0]
    deep = tmp_path / "deep.png"
    Image.fromarray(grey.astype(np.uint16) * 257).save(deep)
    assert read(deep).equal(torch.from_numpy(grey).expand(3, -1, -1))
    for mode in ("L", "RGBA", "P", "CMYK"):
        path = tmp_path / f"{mode}.tif"
        Image.fromarray(picture()).convert(mode).save(path)
        assert read(path).shape == (3, 40, 60)


def test_pictures_are_upright(tmp_path: Path) -> None:
    image = Image.fromarray(picture())
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned right by a quarter
    image.save(tmp_path / "turned.png", exif=exif)
    upright = torch.from_numpy(picture()).permute(2, 0, 1).rot90(-1, (1, 2))
    assert read(tmp_path / "turned.png").equal(upright)


@pytest.mark.parametrize("orientation", range(9))  # 0 is no orientation
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_pictures_are_turned_as_pillow_does(tmp_path: Path, suffix: str, orientation: int) -> None:
    image, path = Image.fromarray(picture()), tmp_path / f"turned.{suffix}"
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)
    with Image.open(path) as stored:
        upright = np.array(ImageOps.exif_transpose(stored).convert("RGB"))
    assert np.array_equal(read(path).permute(1, 2, 0).numpy(), upright)


def test_damaged_tags_do_no_harm(tmp_path: Path) -> None:
    """Pillow's own ``exif_transpose`` writes all of them anew, and fails."""
    image, path = Image.fromarray(picture()), tmp_path / "turned.jpg"
    exif = image.getexif()
    exif[0x0112] = 6
    exif[0x011A] = "72 dpi"  # a number, by the standard
    exif[0x0128] = "inch"
    image.save(path, exif=_as_text(exif))
    with Image.open(path) as stored, pytest.raises((TypeError, struct.error)):
        ImageOps.exif_transpose(stored)
    assert read(path).shape == (3, 60, 40)


def _as_text(exif: Image.Exif) -> bytes:
    """EXIF whose every tag that is a string says that it is one, whatever it should be."""
    entries, strings = b"", b""
    for tag, value in sorted(exif.items()):
        if isinstance(value, str):
            data = value.encode() + b"\0" * 4
            place = 8 + 2 + 12 * len(exif) + 4 + len(strings)
            entries += struct.pack("<HHII", tag, 2, len(data), place)
            strings += data
        else:
            entries += struct.pack("<HHIHH", tag, 3, 1, value, 0)
    header = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(exif))
    return header + entries + bytes(4) + strings


@pytest.mark.parametrize("mode", ["I", "F"])
def test_grey_of_unknown_range_is_refused(tmp_path: Path, mode: str) -> None:
    Image.fromarray(picture()).convert("L").convert(mode).save(tmp_path / "grey.tif")
    with pytest.raises(VideoError, match="32-bit grey has no known range: convert it to 8 or 16"):
        read(tmp_path / "grey.tif")


def test_an_image_is_a_clip_of_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(picture(64, 64)).save(path)
    clip = ImageSettings(crop_size=64)
    expected = torch.from_numpy(picture(64, 64)).permute(2, 0, 1)
    whole = AugmentSettings(scale=(1.0, 1.0), ratio=(1.0, 1.0), horizontal_flip=0.0)
    views = EvaluateSettings().of(clip)
    batches = [
        TrainClips([row(path)], clip, whole, DecodingOptions(), seed=0, repeats=1)[0, 0],
        EvaluationClips([row(path)], clip, views, DecodingOptions(), seed=0)[0],
    ]
    (window,) = VideoWindows(
        [row(path)],
        [[0]],
        clip,
        DecodingOptions(),
        window_seconds=None,
        stride_seconds=None,
        batch_size=8,
    )
    for batch in (*batches, window.clips):
        assert batch.pixel_values.shape == (1, 3, 1, 64, 64)
        assert batch.pixel_values[0, :, 0].equal(expected)
        assert batch.targets["labels"].tolist() == [2]
        assert (batch.start_seconds.item(), batch.end_seconds.item()) == (0.0, 1.0)
        normalized = batch.normalized(torch.device("cpu"), clip.mean, clip.std)
        assert normalized.shape == (1, 3, 64, 64)  # what models of images take


def test_evaluation_resizes_the_short_side_and_crops_the_centre(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(picture(56, 84)).save(path)
    clip = ImageSettings(crop_size=32, short_side=56)
    dataset = EvaluationClips(
        [row(path)], clip, EvaluateSettings().of(clip), DecodingOptions(), seed=0
    )
    (view,) = dataset[0].pixel_values
    assert view[:, 0].equal(torch.from_numpy(picture(56, 84)).permute(2, 0, 1)[:, 12:44, 26:58])


def test_evaluation_views_are_those_of_pillow(tmp_path: Path) -> None:
    """What figures on ImageNet are made with: resize, centre crop, both of the picture itself."""
    noise = Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (375, 500, 3), dtype=np.uint8)
    )
    noise.save(tmp_path / "picture.png")
    clip = ImageSettings(crop_size=224, short_side=256)
    dataset = EvaluationClips(
        [row(tmp_path / "picture.png")],
        clip,
        EvaluateSettings().of(clip),
        DecodingOptions(),
        seed=0,
    )
    found = dataset[0].pixel_values[0, :, 0]
    reference = v2.Compose(
        [v2.Resize(256, InterpolationMode.BICUBIC), v2.CenterCrop(224), v2.PILToTensor()]
    )
    assert (found.int() - reference(noise).int()).abs().max() <= 1


def write_bad_images(folder: Path) -> None:
    folder.mkdir()
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("this is a text\n" * 100)
    (folder / "folder.webp").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for suffix in ("jpg", "png", "webp", "bmp", "tif"):
        whole = folder.parent / f"whole.{suffix}"
        Image.fromarray(noise).save(whole)
        cut_off(whole, folder / f"cut.{suffix}", 0.6)
        cut_off(whole, folder / f"head.{suffix}", 0.002)


REASONS = {
    "missing.jpg": "no such file or directory",
    "folder.webp": "is a directory",
    "empty.jpg": r"the file is empty \(0 bytes\)",
    "text.png": "the file is not an image",
    "cut.jpg": r"image file is truncated.*",
    "cut.png": r"image file is truncated.*",
    "cut.webp": r".+",
    "cut.bmp": r"image file is truncated.*",
    "cut.tif": r".+",
    "head.jpg": r".+",
    "head.png": r".+",
    "head.webp": r".+",
    "head.bmp": r".+",
    "head.tif": r".+",
}


@pytest.fixture(scope="module")
def bad_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad") / "images"
    write_bad_images(folder)
    return folder


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("name", REASONS)
def test_a_bad_image_is_refused_with_its_path_and_a_reason(bad_images: Path, name: str) -> None:
    with pytest.raises(VideoError) as caught:
        ImageReader(bad_images / name)
    assert caught.value.path == str(bad_images / name)
    assert re.fullmatch(REASONS[name], caught.value.reason), caught.value.reason
    assert "/" not in caught.value.reason
    batch = EvaluationClips(
        [row(bad_images / name)],
        ImageSettings(crop_size=32),
        EvaluateSettings(),
        DecodingOptions(),
        0,
    )[0]
    assert batch.pixel_values.shape == (0, 3, 1, 32, 32)
    assert batch.failures[0].reason == caught.value.reason


@pytest.mark.parametrize(
    ("paths", "num_frames", "message"),
    [
        (["a.jpg", "b.mp4"], 1, r"line 3: b\.mp4: wanted an image \(\.bmp \.jpeg .*takes images"),
        (["a.mp4", "b.JPEG"], 8, r"line 3: b\.JPEG: is an image, and the model takes clips"),
    ],
)
def test_files_must_be_of_the_models_kind(
    tmp_path: Path, paths: list[str], num_frames: int, message: str
) -> None:
    manifest = write_manifest(tmp_path / "m.csv", [(path, "x") for path in paths])
    with pytest.raises(ManifestError, match=message):
        Manifest(manifest).check_kind(ClipSettings(num_frames=num_frames))
