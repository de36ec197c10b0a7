"""Processors and pipelines: the pixels of our evaluation's centre view, and the model's scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from transformers.video_utils import VideoMetadata

import hiera_video.integrations.transformers as integration
from hiera_video import HieraProcessor, load_clips, load_model, open_video
from hiera_video.config.clip_groups import ClipSettings, ImageSettings
from hiera_video.errors import ConfigError
from hiera_video.models.preprocessor import dump_preprocessor, load_preprocessor
from tests.integrations.small import small_model
from tests.support import write_video

RULES = ["hiera_video", "pyslowfast", "videomae", "mmaction2", "segments"]


def save(folder: Path, name: str, clip: ClipSettings) -> Path:
    model = small_model(name)
    model.preprocessor = dump_preprocessor(clip)
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def video(tmp_path: Path) -> Path:
    frames = np.random.default_rng(0).integers(0, 255, (33, 70, 98, 3), dtype=np.uint8)
    write_video(tmp_path / "video.mp4", frames=frames)
    return tmp_path / "video.mp4"


@pytest.mark.parametrize("sampling", RULES)
@pytest.mark.parametrize("changes", [{}, {"short_side": 71, "interpolation": "bicubic"}])
def test_a_clip_is_the_centre_view_of_an_evaluation(
    sampling: Any, changes: dict[str, Any], tmp_path: Path, video: Path
) -> None:
    values = {"num_frames": 4, "stride": 3, "crop_size": 64, "sampling": sampling, **changes}
    clip = ClipSettings(**values, mean=(0.4, 0.5, 0.45), std=(0.2, 0.3, 0.225))
    checkpoint = save(tmp_path / "model", "HieraForVideoClassification", clip)
    processor = transformers.AutoProcessor.from_pretrained(checkpoint)
    assert type(processor) is integration.HieraVideoVideoProcessor
    wanted = load_clips(video, load_model(checkpoint), num_clips=1, num_crops=1)
    given = processor(str(video), return_tensors="pt")["pixel_values"]
    assert torch.equal(given, wanted)
    with open_video(video) as opened:
        frames = opened.frames(range(opened.num_frames))
        metadata = VideoMetadata(opened.num_frames, opened.frames_per_second)
    numbers = processor.sample_frames(metadata)
    for chosen in (frames[numbers], frames[numbers].permute(0, 2, 3, 1).numpy()):
        assert torch.equal(processor([chosen], return_tensors="pt")["pixel_values"], wanted)
    sampled = processor(
        [frames], video_metadata=[metadata], do_sample_frames=True, return_tensors="np"
    )
    assert np.array_equal(sampled["pixel_values"], wanted.numpy())


def test_the_pipeline_of_videos_gives_the_model_s_scores(tmp_path: Path, video: Path) -> None:
    clip = ClipSettings(num_frames=4, stride=2, crop_size=64, frames_per_second=12.5)
    checkpoint = save(tmp_path / "model", "HieraForVideoClassification", clip)
    model = load_model(checkpoint)
    with torch.no_grad():
        logits = model(load_clips(video, model, num_clips=1, num_crops=1)).logits
    classify = transformers.pipeline("video-classification", model=str(checkpoint))
    scores = {entry["label"]: entry["score"] for entry in classify(str(video))}
    names = model.config.id2label or {}
    wanted = {names[i]: p for i, p in enumerate(logits[0].softmax(-1).tolist())}
    assert scores == pytest.approx(wanted, abs=1e-6)


def test_the_pipeline_of_images_gives_the_model_s_scores(tmp_path: Path) -> None:
    checkpoint = save(
        tmp_path / "model",
        "HieraForImageClassification",
        ImageSettings(crop_size=64, short_side=73),
    )
    pixels = np.random.default_rng(0).integers(0, 255, (80, 123, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    model = load_model(checkpoint)
    inputs = load_clips(tmp_path / "picture.png", model)
    processor = transformers.AutoProcessor.from_pretrained(checkpoint)
    assert type(processor) is integration.HieraVideoImageProcessor
    for picture in (Image.fromarray(pixels), pixels, torch.from_numpy(pixels).permute(2, 0, 1)):
        assert torch.equal(processor(picture, return_tensors="pt")["pixel_values"], inputs)
    classify = transformers.pipeline("image-classification", model=str(checkpoint))
    with torch.no_grad():
        wanted = model(inputs).logits[0].softmax(-1)
    scores = {entry["label"]: entry["score"] for entry in classify(str(tmp_path / "picture.png"))}
    assert scores == pytest.approx({f"LABEL_{i}": float(p) for i, p in enumerate(wanted)}, abs=1e-6)


def test_options_of_transformers_count(tmp_path: Path) -> None:
    processor = integration.HieraVideoVideoProcessor(size={"shortest_edge": 32}, do_normalize=False)
    frames = torch.randint(0, 256, (2, 3, 50, 40), dtype=torch.uint8)
    output = processor([frames], crop_size={"height": 16, "width": 48}, return_tensors="pt")
    assert output["pixel_values"].shape == (1, 3, 2, 16, 48)  # wider than the frames: padded
    assert 0 <= output["pixel_values"].min() <= output["pixel_values"].max() <= 1
    raw = processor([frames], do_resize=False, do_center_crop=False, do_rescale=False)
    assert torch.equal(raw["pixel_values"][0], frames.transpose(0, 1))


def test_a_saved_processor_is_what_this_package_reads(tmp_path: Path) -> None:
    clip = ClipSettings(num_frames=4, stride=7, crop_size=64, sampling="videomae", short_side=80)
    checkpoint = save(tmp_path / "one", "HieraForVideoClassification", clip)
    processor = transformers.AutoVideoProcessor.from_pretrained(
        checkpoint, image_mean=[0.1, 0.2, 0.3]
    )
    transformers.AutoModelForVideoClassification.from_pretrained(checkpoint).save_pretrained(
        tmp_path / "two"
    )
    processor.save_pretrained(tmp_path / "two")
    wanted = ClipSettings(**{**clip.model_dump(), "mean": (0.1, 0.2, 0.3)})
    assert load_preprocessor(load_model(tmp_path / "two")) == wanted
    processor.crop_size = {"height": 32, "width": 64}
    with pytest.raises(ConfigError, match="crop_size"):
        processor.save_pretrained(tmp_path / "three")


def test_sampling_options() -> None:
    processor = integration.HieraVideoVideoProcessor()
    metadata = VideoMetadata(300, fps=29.97)
    assert processor.sample_frames(metadata).tolist() == [*range(118, 182, 4)]
    assert processor.sample_frames(metadata, num_frames=2).tolist() == [146, 150]
    assert np.diff(processor.sample_frames(metadata, num_frames=3, fps=10)).tolist() == [2, 3]


def test_files_for_transformers_say_what_ours_says(tmp_path: Path) -> None:
    clip = ClipSettings(num_frames=4, crop_size=64, short_side=80, mean=(0.1, 0.2, 0.3))
    save(tmp_path, "HieraForVideoClassification", clip)
    for name in ("preprocessor_config.json", "video_preprocessor_config.json"):
        values = json.loads((tmp_path / name).read_text())
        assert values["size"] == {"shortest_edge": 80}
        assert values["crop_size"] == {"height": 64, "width": 64}
        assert values["image_mean"] == [0.1, 0.2, 0.3]
        assert values["resample"] == 2
        assert ClipSettings(**values["clip"]) == clip
    frame = torch.zeros(3, 90, 90, dtype=torch.uint8)
    images = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    assert images(frame, return_tensors="pt")["pixel_values"].shape == (1, 3, 64, 64)


@pytest.mark.parametrize("mode", ["RGBA", "I;16", "L"])
def test_images_of_pillow_have_the_bytes_of_their_files(mode: str, tmp_path: Path) -> None:
    checkpoint = save(tmp_path, "HieraForImageClassification", ImageSettings(crop_size=64))
    pixels = np.random.default_rng(0).integers(0, 255, (80, 123, 4), dtype=np.uint8)
    image = Image.fromarray(pixels)
    image = (
        Image.fromarray(pixels.view(np.uint16)[..., 0]) if mode == "I;16" else image.convert(mode)
    )
    image.save(tmp_path / "picture.png")
    processor = transformers.AutoImageProcessor.from_pretrained(checkpoint)
    wanted = load_clips(tmp_path / "picture.png", load_model(checkpoint))
    assert torch.equal(processor(image, return_tensors="pt")["pixel_values"], wanted)
    ours = HieraProcessor.from_pretrained(checkpoint)
    assert torch.equal(ours(image, return_tensors="pt")["pixel_values"], wanted)
