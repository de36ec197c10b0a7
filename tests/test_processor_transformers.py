"""``HieraProcessor`` beside the image processor of ``transformers``, to the last bit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image, ImageOps

from hiera_video import HieraProcessor
from hiera_video.errors import ConfigError, VideoError

#: As the published image checkpoints have them.
PUBLISHED = {
    "image_processor_type": "BitImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "size": {"shortest_edge": 256},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_rescale": True,
    "rescale_factor": 0.00392156862745098,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
MODES = ["RGB", "L", "P", "RGBA", "LA", "CMYK", "I;16", "1", "YCbCr", "I"]

#: Each in the file, or in the call, or partly in both.
OPTIONS: list[dict[str, Any]] = [
    {"do_resize": False},
    {"do_resize": False, "do_center_crop": False},
    {"do_center_crop": False},
    {"do_rescale": False},
    {"do_normalize": False},
    {"do_rescale": False, "do_normalize": False},
    {"size": 61},
    {"size": {"height": 50, "width": 71}},
    {"size": [50, 71]},
    {"size": {"shortest_edge": 60, "longest_edge": 70}},
    {"size": {"shortest_edge": 60, "longest_edge": 700}},
    {"size": {"max_height": 90, "max_width": 70}},
    {"size": 61, "default_to_square": True},
    {"crop_size": 33},
    {"crop_size": {"height": 301, "width": 90}},
    {"crop_size": [40, 270]},
    {"resample": 0},
    {"resample": 1},
    {"resample": 2},
    {"resample": Image.Resampling.BICUBIC},
    {"rescale_factor": 1 / 127.5},
    {"rescale_factor": 2.0, "do_normalize": False},
    {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]},
    {"image_mean": 0.5, "image_std": 0.25},
    {"image_mean": 100.0, "image_std": 50.0, "do_rescale": False},
    {"data_format": "channels_first", "disable_grouping": True},
]


def picture(mode: str, seed: int) -> Image.Image:
    """A random picture of odd size."""
    generator = np.random.default_rng(seed)
    height, width = generator.integers(17, 170, 2) * 2 + 1
    pixels = generator.integers(0, 256, (height, width, 4), dtype=np.uint8)
    if mode in ("I;16", "I"):
        return Image.fromarray(pixels.view(np.uint16)[..., 0]).convert(mode)
    if mode == "P":
        image = Image.fromarray(pixels[..., :3]).quantize(40)
        if seed % 2:
            image.info["transparency"] = 3
        return image
    return Image.fromarray(pixels).convert(mode)


def processors(folder: Path, changes: dict[str, Any]) -> tuple[Any, HieraProcessor]:
    values = {**PUBLISHED, **changes}
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    return (
        transformers.AutoImageProcessor.from_pretrained(folder),
        HieraProcessor.from_pretrained(folder),
    )


def check(theirs: Any, ours: HieraProcessor, images: Any, **options: Any) -> None:
    wanted = theirs(images, return_tensors="pt", **options)["pixel_values"]
    given = ours(images, return_tensors="pt", **options)["pixel_values"]
    assert given.dtype == wanted.dtype
    assert torch.equal(given, wanted)


def test_images_of_any_mode_and_size(tmp_path: Path) -> None:
    theirs, ours = processors(tmp_path, {})
    assert type(theirs).__name__ == "BitImageProcessor"
    images = [picture(mode, seed) for seed, mode in enumerate([*MODES, *MODES])]
    assert len(images) == 20
    check(theirs, ours, images)
    for image in images:
        check(theirs, ours, image)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_in_the_file_and_in_a_call(options: dict[str, Any], tmp_path: Path) -> None:
    images = [picture(mode, seed) for seed, mode in enumerate(["RGB", "RGBA"])]
    theirs, ours = processors(tmp_path, {})
    for image in images:
        check(theirs, ours, image, **options)
    theirs, ours = processors(tmp_path, options)
    for image in images:
        check(theirs, ours, image)
        check(theirs, ours, image, crop_size=50, image_mean=[0.3, 0.4, 0.5])


def arrays() -> Iterator[tuple[Any, dict[str, Any]]]:
    """Images that are arrays, with the options that they need."""
    generator = np.random.default_rng(0)
    for shape in [(81, 93, 3), (3, 81, 93), (81, 93), (1, 81, 93), (81, 93, 1), (2, 81, 93, 3)]:
        pixels = generator.integers(0, 256, shape, dtype=np.uint8)
        yield pixels, {}
        yield torch.from_numpy(pixels), {}
        yield pixels.astype(np.float32) / 255, {"do_rescale": False}
        yield torch.from_numpy(pixels).double(), {}
        yield pixels.astype(np.int64), {"resample": 2}
    for shape in [(81, 93, 4), (4, 81, 93)]:  # transparent
        pixels = generator.integers(0, 256, shape, dtype=np.uint8)
        yield pixels, {}
        yield torch.from_numpy(pixels).float() / 255, {"do_rescale": False}
    pixels = generator.integers(0, 256, (3, 81, 3), dtype=np.uint8)
    yield pixels, {"size": 30, "input_data_format": "channels_first"}
    yield pixels, {"size": 30, "input_data_format": "channels_last"}
    yield pixels, {"size": 30}
    many = generator.integers(0, 256, (5, 81, 93), dtype=np.uint8)
    yield many, {"do_normalize": False, "input_data_format": "channels_first"}


def test_arrays_tensors_and_lists(tmp_path: Path) -> None:
    theirs, ours = processors(tmp_path, {})
    for image, options in arrays():
        if image.ndim == 2:  # theirs takes these in nested lists only
            assert torch.equal(
                ours(image, return_tensors="pt", **options)["pixel_values"],
                theirs([[image]], return_tensors="pt", **options)["pixel_values"],
            )
            continue
        check(theirs, ours, image, **options)
        if image.ndim == 3:
            check(theirs, ours, [[image], [image, image]], **options)


def test_without_conversion_channels_stay(tmp_path: Path) -> None:
    theirs, ours = processors(tmp_path, {"do_convert_rgb": False})
    for mode in ("RGB", "YCbCr"):
        check(theirs, ours, picture(mode, 0))
    for mode in ("L", "LA", "P", "RGBA", "I;16"):
        check(theirs, ours, picture(mode, 0), image_mean=0.5, image_std=0.5)
        check(theirs, ours, picture(mode, 0), do_normalize=False, do_rescale=mode != "I;16")
    with pytest.raises(ConfigError, match="image_mean has 3 values, and an image 1 channels"):
        ours(picture("L", 0))


def test_files_are_read_upright(tmp_path: Path) -> None:
    """As Pillow's picture of the file. (transformers itself reads paths by a decoder of its own,
    whose libraries do not get along with those of every video decoder in one process.)"""
    theirs, ours = processors(tmp_path, {})
    image = picture("RGB", 1)
    exif = Image.Exif()
    exif[274] = 6
    for name in ("image.png", "image.jpg"):
        image.save(tmp_path / name, exif=exif, quality=95)
        path = str(tmp_path / name)
        upright = ImageOps.exif_transpose(Image.open(path))
        wanted = theirs(upright, return_tensors="pt")["pixel_values"]
        assert torch.equal(ours([path, path], return_tensors="pt")["pixel_values"][1:], wanted)
        assert torch.equal(ours(Path(path))["pixel_values"][0], ours(path)["pixel_values"][0])


def test_values_come_as_asked_for(tmp_path: Path) -> None:
    theirs, ours = processors(tmp_path, {})
    images = [picture("RGB", seed) for seed in (1, 2)]
    wanted = theirs(images, return_tensors="np")["pixel_values"]
    assert np.array_equal(ours(images, return_tensors="np")["pixel_values"], wanted)
    listed = ours(images=images).pixel_values
    assert isinstance(listed, list)
    assert np.array_equal(torch.stack(listed).numpy(), wanted)
    inputs = ours(images, return_tensors="pt").to(torch.float16)
    assert {name: value.dtype for name, value in inputs.items()} == {"pixel_values": torch.float16}
    assert ours(images, return_tensors="pt").to("meta")["pixel_values"].device.type == "meta"
    with pytest.raises(AttributeError, match="no attribute 'values_of_pixels'"):
        _ = inputs.values_of_pixels
    with pytest.raises(ConfigError, match="return_tensors=pt: values have several sizes"):
        ours(images, do_center_crop=False, return_tensors="pt")


def test_options_can_be_read(tmp_path: Path) -> None:
    theirs, ours = processors(tmp_path, {"size": 61})
    assert ours.size == dict(theirs.size) == {"shortest_edge": 61}
    assert list(ours.image_mean) == list(theirs.image_mean)
    with pytest.raises(AttributeError, match="no attribute 'image_median'"):
        _ = ours.image_median


WRONG = [
    ({"do_resiz": True}, "do_resiz: unknown key, did you mean do_resize?"),
    ({"do_resize": "yes"}, "do_resize: input should be a valid boolean, got 'yes'"),
    (
        {"size": {"longest_edge": 3}},
        "size has longest_edge; wanted one of height+width, shortest_edge, "
        "longest_edge+shortest_edge, max_height+max_width",
    ),
    ({"size": -1}, "size.shortest_edge: input should be greater than 0, got -1"),
    ({"crop_size": {"shortest_edge": 9}}, "crop_size has shortest_edge; wanted height and width"),
    (
        {"resample": 4},
        "resample: wanted one of 0 (nearest), 1 (lanczos), 2 (bilinear), 3 (bicubic), got 4",
    ),
    ({"rescale_factor": 0}, "rescale_factor is 0"),
    ({"image_mean": "grey"}, "image_mean: wanted a number, or one per channel, got 'grey'"),
    ({"image_std": [1, 0, 1]}, "image_std has a 0"),
    ({"do_pad": True}, "do_pad: input should be False, got True"),
    (
        {"input_data_format": "hwc"},
        "input_data_format: input should be 'channels_first' or 'channels_last', got 'hwc'",
    ),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=lambda x: str(x)[:30])
def test_an_option_that_cannot_be_is_refused(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    _, ours = processors(tmp_path, {})
    with pytest.raises(ConfigError) as caught:
        ours(picture("RGB", 0), **options)
    assert str(caught.value) == message
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps({**PUBLISHED, **options}))
    if "input_data_format" not in options:
        with pytest.raises(ConfigError) as caught:
            HieraProcessor.from_pretrained(tmp_path)
        assert str(caught.value) == f"{file}: {message}"


def test_what_cannot_be_processed_is_refused(tmp_path: Path) -> None:
    _, ours = processors(tmp_path, {})
    for images, message in [
        ([picture("RGB", 0), {}], "images[1]: wanted images, arrays, tensors, paths or lists"),
        (np.zeros((2, 7, 7), np.uint8), "images[0]: an array (2, 7, 7) has no axis of 1, 3 or 4"),
        (np.zeros(7, np.uint8), "images[0]: wanted 3 axes, or 4, got (7,)"),
        (np.full((7, 7, 3), "x"), "images[0]: an array of <U1"),
        (torch.full((4, 7, 7), 2.0), "images[0]: an image with transparency has values outside"),
        ([], "images: are none"),
        (None, "wanted images or videos, and one of the two"),
    ]:
        with pytest.raises(ConfigError) as caught:
            ours(images)
        assert str(caught.value).startswith(message)
    with pytest.raises(VideoError, match=r"gone\.png: no such file"):
        ours("gone.png")
    with pytest.raises(ConfigError, match="videos: the model takes images"):
        ours(videos="video.mp4")
    with pytest.raises(ConfigError, match="return_tensors=tf: wanted pt, np or nothing"):
        ours(picture("RGB", 0), return_tensors="tf")  # type: ignore[arg-type]
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps({**PUBLISHED, "image_processor_type": "ViTImageProcessor"}))
    with pytest.raises(ConfigError, match="=ViTImageProcessor: wanted BitImageProcessor"):
        HieraProcessor.from_pretrained(tmp_path)
