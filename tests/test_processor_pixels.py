"""``HieraProcessor`` of our own checkpoints: the views of an evaluation, from files and memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from hiera_video import HieraProcessor, create_model, load_clips, load_model, open_video
from hiera_video.config.clip_groups import ClipSettings, EvaluateSettings, ImageSettings
from hiera_video.config.image_options import ImageOptions
from hiera_video.data.dataset import EvaluationClips
from hiera_video.data.manifest import rows_of_files
from hiera_video.decoding.options import DecodingOptions
from hiera_video.errors import CheckpointError, ConfigError, VideoError
from hiera_video.models.preprocessor import dump_preprocessor, load_preprocessor
from tests.integrations.small import small_model
from tests.support import write_video

RULES = ["hiera_video", "pyslowfast", "videomae", "mmaction2", "pytorchvideo", "segments"]
CLIP: dict[str, Any] = {
    "num_frames": 4,
    "stride": 3,
    "crop_size": 64,
    "short_side": 71,
    "mean": (0.4, 0.5, 0.45),
    "std": (0.2, 0.3, 0.225),
}
FRAMES = np.random.default_rng(0).integers(0, 255, (33, 70, 98, 3), dtype=np.uint8)


def save(folder: Path, clip: ClipSettings) -> Path:
    model = small_model(f"HieraFor{'Image' if clip.is_image else 'Video'}Classification")
    model.preprocessor = dump_preprocessor(clip)
    model.save_pretrained(folder)
    return folder


def evaluated(file: Path, clip: ClipSettings, **views: int) -> Tensor:
    """What an evaluation gives to a model."""
    rows = rows_of_files([file], clip)
    evaluate = EvaluateSettings.given(views.get("num_clips"), views.get("num_crops")).of(clip)
    dataset = EvaluationClips(rows, clip, evaluate, DecodingOptions("pyav"), seed=0)
    return dataset[0].normalized(torch.device("cpu"), clip.mean, clip.std)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    write_video(tmp_path / "video.mp4", frames=FRAMES)
    return tmp_path / "video.mp4"


def values(processor: HieraProcessor, **inputs: Any) -> Tensor:
    pixels = processor(return_tensors="pt", **inputs)["pixel_values"]
    assert isinstance(pixels, Tensor)
    return pixels


@pytest.mark.parametrize("sampling", RULES)
def test_videos_are_the_views_of_an_evaluation(sampling: Any, tmp_path: Path, video: Path) -> None:
    clip = ClipSettings(**CLIP, sampling=sampling)
    processor = HieraProcessor.from_pretrained(save(tmp_path / "model", clip))
    with open_video(video) as opened:
        frames = opened.frames(range(opened.num_frames))
    for views in ({"num_clips": 1, "num_crops": 1}, {"num_clips": 3, "num_crops": 3}):
        if clip.spans_video:
            views["num_clips"] = 1
        wanted = evaluated(video, clip, **views)
        assert torch.equal(values(processor, videos=str(video), **views), wanted)
        whole = {"do_sample_frames": True, **views}
        assert torch.equal(values(processor, videos=frames, **whole), wanted)
    centre = evaluated(video, clip, num_clips=1, num_crops=1)
    assert torch.equal(values(processor, videos=video), centre)
    assert torch.equal(values(processor, videos=[video, str(video)]), centre.repeat(2, 1, 1, 1, 1))
    assert torch.equal(
        load_clips(video, load_model(tmp_path / "model"), num_clips=1, num_crops=1), centre
    )


def test_frames_in_memory_are_the_clip(tmp_path: Path) -> None:
    clip = ClipSettings(**CLIP)
    processor = HieraProcessor.from_pretrained(save(tmp_path, clip))
    frames = FRAMES[:4]
    pictures = [Image.fromarray(frame) for frame in frames]
    wanted = values(processor, videos=frames)
    assert wanted.shape == (1, 3, 4, 64, 64)
    tensor = torch.from_numpy(frames)
    for given in (tensor, tensor.permute(0, 3, 1, 2), pictures, [pictures], list(frames), [tensor]):
        assert torch.equal(values(processor, videos=given), wanted)
    batch = values(processor, videos=[frames, pictures, torch.stack([tensor, tensor])])
    assert torch.equal(batch, wanted.repeat(4, 1, 1, 1, 1))
    crops = values(processor, videos=frames, num_crops=3)
    assert crops.shape[0] == 3
    assert torch.equal(crops[1:2], wanted)
    as_listed = processor(videos=[frames, frames]).pixel_values
    assert [tuple(one.shape) for one in as_listed] == [(3, 4, 64, 64)] * 2


MODES = ["RGB", "L", "P", "RGBA", "LA", "CMYK", "I;16", "1"]


@pytest.mark.parametrize("mode", MODES)
def test_images_are_the_views_of_an_evaluation(mode: str, tmp_path: Path) -> None:
    clip = ImageSettings(crop_size=64, short_side=73)
    processor = HieraProcessor.from_pretrained(save(tmp_path / "model", clip))
    pixels = np.random.default_rng(1).integers(0, 256, (81, 123, 4), dtype=np.uint8)
    image = Image.fromarray(pixels[..., :3])
    if mode == "I;16":
        image = Image.fromarray(pixels.view(np.uint16)[..., 0])
    elif mode == "RGBA":
        image = Image.fromarray(pixels)
    elif mode != "RGB":
        image = image.convert(mode)
    file = tmp_path / ("image.jpg" if mode == "CMYK" else "image.png")
    exif = Image.Exif()
    exif[274] = 6
    image.save(file, exif=exif)
    wanted = evaluated(file, clip)
    with Image.open(file) as opened:
        opened.load()
        assert opened.mode.startswith(mode)
        for given in (file, str(file), opened):
            assert torch.equal(values(processor, images=given), wanted)
    assert values(processor, images=[file, image], num_crops=3).shape == (6, 3, 64, 64)


def test_arrays_are_as_their_image(tmp_path: Path) -> None:
    processor = HieraProcessor.from_pretrained(save(tmp_path, ImageSettings(crop_size=64)))
    pixels = np.random.default_rng(1).integers(0, 256, (81, 123, 4), dtype=np.uint8)
    wanted = values(processor, images=Image.fromarray(pixels))
    tensor = torch.from_numpy(pixels)
    for given in (pixels, tensor, tensor.permute(2, 0, 1), pixels[..., :3], [[tensor]]):
        assert torch.equal(values(processor, images=given), wanted)
    grey = pixels[..., 0]
    wanted = values(processor, images=Image.fromarray(grey))
    for given in (grey, grey[None], grey[..., None], grey[None, None]):
        assert torch.equal(values(processor, images=given), wanted)


def test_options_are_clip_settings_by_either_name(tmp_path: Path) -> None:
    image = FRAMES[0]
    folder = save(tmp_path, ImageSettings(crop_size=64))
    processor = HieraProcessor.from_pretrained(folder)
    wanted = values(
        processor, images=image, short_side=80, mean=(0.1,) * 3, interpolation="bilinear"
    )
    options = {
        "size": {"shortest_edge": 80},
        "image_mean": [0.1] * 3,
        "resample": 2,
        "do_normalize": True,
    }
    assert torch.equal(values(processor, images=image, **options), wanted)
    changed = HieraProcessor.from_pretrained(folder, **options)
    assert torch.equal(values(changed, images=image), wanted)
    assert changed.image_mean == [0.1] * 3
    assert values(processor, images=image, crop_size=[32, 32]).shape == (1, 3, 32, 32)


def test_what_is_saved_counts_for_evaluations(tmp_path: Path, video: Path) -> None:
    folder = save(tmp_path / "model", ClipSettings(**CLIP))
    HieraProcessor.from_pretrained(folder, short_side=80).save_pretrained(folder)
    wanted = ClipSettings(**{**CLIP, "short_side": 80})
    assert load_preprocessor(load_model(folder)) == wanted
    for name in ("preprocessor_config.json", "video_preprocessor_config.json"):
        assert json.loads((folder / name).read_text())["size"] == {"shortest_edge": 80}
    assert torch.equal(
        values(HieraProcessor.from_pretrained(folder), videos=video),
        evaluated(video, wanted, num_clips=1, num_crops=1),
    )


def test_options_of_transformers_are_saved_as_clip_settings(tmp_path: Path) -> None:
    file = tmp_path / "preprocessor_config.json"
    options = {
        "image_processor_type": "BitImageProcessor",
        "size": {"shortest_edge": 77},
        "crop_size": {"height": 64, "width": 64},
        "image_mean": [0.1, 0.2, 0.3],
    }
    file.write_text(json.dumps(options))
    processor = HieraProcessor.from_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert json.loads(file.read_text()) == options
    saved = HieraProcessor.from_pretrained(tmp_path)  # where both exist, ours counts
    assert isinstance(saved.rules, ClipSettings)
    image = FRAMES[0]
    given = values(saved, images=image)
    torch.testing.assert_close(given, values(processor, images=image), rtol=0, atol=2e-6)
    assert isinstance(processor.rules, ImageOptions)
    refused: list[tuple[dict[str, Any], str]] = [
        ({"do_resize": False}, "do_resize=False: wanted True, as preprocessor.json has no other"),
        (
            {"rescale_factor": 1.0},
            "rescale_factor=1.0: wanted 1/255, as preprocessor.json has no other",
        ),
        (
            {"size": {"height": 7, "width": 7}},
            "size={'height': 7, 'width': 7}: wanted shortest_edge, as preprocessor.json has no "
            "other",
        ),
        (
            {"crop_size": [7, 8]},
            "crop_size={'height': 7, 'width': 8}: wanted height and width, the same, as "
            "preprocessor.json has no other",
        ),
        (
            {"resample": 1},
            "resample=1: wanted 2 (bilinear), 3 (bicubic), as preprocessor.json has no other",
        ),
    ]
    for changes, message in refused:
        changed = HieraProcessor(processor.rules.changed(changes))
        with pytest.raises(ConfigError) as caught:
            changed.save_pretrained(tmp_path / "other")
        assert str(caught.value) == message
    assert not (tmp_path / "other").exists()


def test_weights_without_settings_have_the_defaults(tmp_path: Path, video: Path) -> None:
    model = small_model("HieraForVideoClassification")
    model.save_pretrained(tmp_path)
    assert not (tmp_path / "preprocessor.json").exists()
    processor = HieraProcessor.from_pretrained(tmp_path)
    assert torch.equal(
        values(processor, videos=video), load_clips(video, model, num_clips=1, num_crops=1)
    )
    file = HieraProcessor.from_pretrained(tmp_path / "model.safetensors")
    assert file.rules == processor.rules


def test_a_checkpoint_without_pixels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere: no such file or directory"):
        HieraProcessor.from_pretrained(tmp_path / "nowhere")
    (tmp_path / "preprocessor.json").write_text("{}]")
    with pytest.raises(CheckpointError, match=r"preprocessor\.json: cannot be understood"):
        HieraProcessor.from_pretrained(tmp_path)
    create_model("hiera_tiny_224", image_size=[64, 96]).save_pretrained(tmp_path / "oblong")
    with pytest.raises(CheckpointError, match="views are square, and the model takes 64x96"):
        HieraProcessor.from_pretrained(tmp_path / "oblong")


def test_inputs_and_options_that_cannot_be_are_refused(tmp_path: Path, video: Path) -> None:
    processor = HieraProcessor(ClipSettings(**CLIP))
    images = HieraProcessor(ImageSettings(crop_size=64))
    frames = FRAMES[:4]
    for given, inputs, message in [
        (processor, {"images": frames[0]}, "images: the model takes videos (clips of 4 frames)"),
        (images, {"videos": frames}, "videos: the model takes images"),
        (images, {"images": frames[0] / 255}, "images[0]: wanted uint8, got torch.float64"),
        (images, {"images": frames[0], "num_clips": 2}, "evaluate.num_clips=2: the model takes"),
        (images, {"images": np.zeros((2, 9, 9), np.uint8)}, "images[0]: an array (2, 9, 9) has no"),
        (
            images,
            {"images": np.zeros((2, 9, 9), np.uint8), "input_data_format": "channels_first"},
            "images[0]: wanted 3 channels, got 2",
        ),
        (images, {"images": Image.new("F", (9, 9))}, "images[0]: an image cannot be read (32-bit"),
        (
            processor,
            {"videos": FRAMES},
            "videos[0]: 33 frames, and the model takes 4; do_sample_frames=True takes clips from a "
            "longer video",
        ),
        (processor, {"videos": frames, "num_clips": 2}, "videos[0]: num_clips=2: frames are one"),
        (processor, {"videos": [frames, 3]}, "videos[1]: wanted paths, arrays, tensors or lists"),
        (processor, {"videos": frames[0]}, "videos[0]: wanted frames (T, H, W, C) or (T, C, H, W)"),
        (
            processor,
            {"videos": [frames[0], frames[1][:50], frames[2], frames[3]]},
            "videos[0]: frames of one video have several sizes (H, W): [(50, 98), (70, 98)]",
        ),
        (
            processor,
            {"videos": FRAMES, "do_sample_frames": True, "frames_per_second": 5},
            "videos[0]: clip.frames_per_second=5: the rate of frames that are not in a file is not",
        ),
        (
            processor,
            {"videos": frames, "do_sample_frames": True, "short_video": "refuse"},
            "videos[0]: 4 frames are shorter than a clip, and short_video=refuse",
        ),
        (processor, {"videos": frames[:0], "do_sample_frames": True}, "videos[0]: a video has no"),
        (processor, {"videos": frames, "strid": 2}, "clip.strid: unknown key, did you mean stride"),
        (processor, {"videos": frames, "num_crops": 0}, "num_crops: input should be greater than"),
        (processor, {"videos": frames, "decoder": "decor"}, "decoder=decor: did you mean decord"),
        (processor, {"videos": frames, "do_rescale": False}, "do_rescale=False: wanted True, as"),
    ]:
        with pytest.raises(ConfigError) as caught:
            given(**inputs)
        assert str(caught.value).startswith(message)
    with pytest.raises(VideoError, match="image"):
        images(images=video)
    with pytest.raises(VideoError, match=r"gone\.mp4: no such file or directory"):
        processor(videos="gone.mp4")
