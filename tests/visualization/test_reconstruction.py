"""``scripts/visualize_mae.py``: what is hidden, what comes in its place, and how it is shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from matplotlib.image import imread
from PIL import Image
from torch import Tensor

from hiera_video import HieraConfig, HieraForPreTraining, create_model
from hiera_video.config.clip_groups import ClipSettings, ImageSettings
from hiera_video.errors import CheckpointError, ConfigError, VideoError
from hiera_video.models.outputs import HieraPreTrainingOutput
from hiera_video.models.preprocessor import dump_preprocessor
from hiera_video.visualization.reconstruction import (
    Reconstruction,
    VideoReconstruction,
    hidden_errors,
    load_autoencoder,
    reconstruct,
    reconstruct_videos,
)
from hiera_video.visualization.rendering import write_film, write_sheet
from tests.forked import run_forked
from tests.models.small import DECODER, IMAGE, VIDEO, clips, images
from tests.support import (
    TINY_CLIP,
    TINY_MODEL,
    TinyDataset,
    coloured_frames,
    error_line,
    files_below,
    read_manifest,
    succeed,
)

MEAN, STD = (0.5, 0.4, 0.6), (0.1, 0.2, 0.1)
CLIP = ClipSettings(mean=MEAN, std=STD)
KINDS = {"image": (IMAGE, images()), "clip": (VIDEO, clips())}


class Oracle(HieraForPreTraining):
    """Predicts the very targets of visible and hidden patches, plus ``self.error``."""

    error = 0.0

    def forward(self, pixel_values: Tensor, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(pixel_values, *args, **kwargs)
        assert isinstance(output, HieraPreTrainingOutput)
        everything = torch.arange(output.logits.shape[1]).expand(len(pixel_values), -1)
        output.logits = self.pixel_targets(pixel_values, everything) + self.error
        return output


def make_oracle(kind: str, **changes: Any) -> tuple[Oracle, Tensor]:
    """And pixels whose colours are within 0 to 1."""
    base, pixel_values = KINDS[kind]
    colours = torch.rand(pixel_values.shape, generator=torch.Generator().manual_seed(3))
    axes = (-1, *[1] * (pixel_values.ndim - 2))
    normalized = (colours - torch.tensor(MEAN).view(axes)) / torch.tensor(STD).view(axes)
    return Oracle(HieraConfig(**{**base, **DECODER, **changes})).eval(), normalized


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_true_targets_give_the_original_back(kind: str, normalize: bool) -> None:
    model, pixel_values = make_oracle(kind, normalize_pixel_loss=normalize)
    result = reconstruct(model, pixel_values, CLIP)
    frames = pixel_values.unsqueeze(2) if kind == "image" else pixel_values[:, :, ::2]
    scale, shift = (torch.tensor(v).view(-1, 1, 1, 1) for v in (STD, MEAN))
    torch.testing.assert_close(result.original, frames * scale + shift)
    torch.testing.assert_close(result.reconstructed, result.original, rtol=0, atol=1e-5)
    assert result.uses_original_statistics is normalize
    assert hidden_errors(result).reconstruction < 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_only_hidden_patches_are_replaced(kind: str) -> None:
    """Half of the units; 32 pixels each; a wrong prediction shows there and nowhere else."""
    model, pixel_values = make_oracle(kind, normalize_pixel_loss=False)
    model.error = 0.5
    units = 4 if kind == "image" else 8
    noise = torch.arange(units).expand(2, -1).float()  # the second half is hidden
    result = reconstruct(model, pixel_values, CLIP, noise)
    wanted = torch.zeros_like(result.hidden)
    if kind == "image":
        wanted[..., 32:, :] = True
    else:
        wanted[:, :, 1] = True
    assert result.hidden.equal(wanted)
    where = wanted.expand_as(result.original)
    assert result.masked[where].unique().tolist() == [0.5]
    assert result.masked[~where].equal(result.original[~where])
    assert result.reconstructed[~where].equal(result.original[~where])
    moved = (result.original + 0.5 * torch.tensor(STD).view(-1, 1, 1, 1)).clamp(0, 1)
    torch.testing.assert_close(result.reconstructed[where], moved[where])


def test_errors_of_the_reconstruction_and_of_plain_colours() -> None:
    """A visible patch of 0.2; a hidden one of two halves, 0.4 and 0.8, taken for 0.5."""
    original = torch.full((1, 3, 1, 4, 8), 0.2)
    original[..., 4:6], original[..., 6:] = 0.4, 0.8
    hidden = torch.zeros(1, 1, 1, 4, 8, dtype=torch.bool)
    hidden[..., 4:] = True
    guess = original.masked_fill(hidden, 0.5)
    result = Reconstruction(original, guess, guess, hidden, (4, 4), uses_original_statistics=True)
    errors = hidden_errors(result)
    assert errors.reconstruction == pytest.approx((0.1**2 + 0.3**2) / 2)
    assert errors.visible_colour == pytest.approx((0.2**2 + 0.6**2) / 2)
    assert errors.patch_colour == pytest.approx(0.2**2)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random autoencoder of clips with two by two mask units, that was trained on half of what it
    hides."""
    folder = tmp_path_factory.mktemp("model") / "checkpoint"
    clip = ClipSettings(**{**TINY_CLIP, "crop_size": 64})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = create_model(
            "mae_hiera_base_16x224",
            **TINY_MODEL,
            image_size=[4, 64, 64],
            mask_ratio=0.5,
            decoder_hidden_size=16,
            decoder_depth=1,
            decoder_num_heads=2,
            decoder_mask_ratio=0.5,
        )
    model.preprocessor = dump_preprocessor(clip)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def videos(tiny_dataset: TinyDataset) -> list[Path]:
    return [tiny_dataset.folder / path for path, _ in read_manifest(tiny_dataset.val)[:3]]


def test_what_is_hidden_follows_from_the_seed(checkpoint: Path, videos: list[Path]) -> None:
    def hidden(**options: Any) -> list[Tensor]:
        results = reconstruct_videos(str(checkpoint), videos, **options)
        return [result.frames.hidden for result in results]

    first, again, other = hidden(), hidden(), hidden(seed=1)
    assert all(one.equal(two) for one, two in zip(first, again, strict=True))
    assert not all(one.equal(two) for one, two in zip(first, other, strict=True))
    assert not first[0].equal(first[1])
    assert [mask.float().mean().item() for mask in first] == [0.5] * 3
    assert hidden(mask_ratio=0.75)[0].float().mean().item() == 0.75


def test_a_clip_and_its_times(checkpoint: Path, videos: list[Path]) -> None:
    """Videos have 12 frames, 12 a second, clips 4 with stride 2, patches two of these."""
    result = next(iter(reconstruct_videos(str(checkpoint), videos)))
    assert result.frames.original.shape == (1, 3, 2, 64, 64)
    assert (result.start_seconds, result.frame_seconds) == pytest.approx((2 / 12, 4 / 12))


def coloured_video(name: str, num_frames: int, colours: list[float]) -> VideoReconstruction:
    """Frames of 6 x 10 pixels, whose rows on a sheet have one grey each."""
    shape = (1, 3, num_frames, 6, 10)
    original, masked, reconstructed = (torch.full(shape, colour) for colour in colours)
    hidden = torch.ones(1, 1, num_frames, 6, 10, dtype=torch.bool)
    frames = Reconstruction(
        original, masked, reconstructed, hidden, (2, 2), uses_original_statistics=True
    )
    return VideoReconstruction(Path("folder") / name, frames, 0.0, 0.25)


GREYS = [51 / 255, 119 / 255, 187 / 255]


def test_a_sheet_shows_every_pixel_of_the_frames_asked_for(tmp_path: Path) -> None:
    shown = [coloured_video("a.mp4", 5, GREYS), coloured_video("b$.mp4", 5, GREYS[::-1])]
    write_sheet(shown, tmp_path / "sheet.png", num_frames=3)
    sheet = (torch.from_numpy(imread(tmp_path / "sheet.png"))[..., :3] * 255).round()
    scale = round(128 / 6)
    per_row = 3 * (6 * scale) * (10 * scale)
    # 51 and 187 are each in two rows, 119 too; letters may have a few pixels of any grey.
    for grey in (51, 119, 187):
        count = int((sheet == grey).all(-1).sum())
        assert 2 * per_row <= count < 2 * per_row + 200
    lines = (sheet[..., 0] == 51).sum(1) >= 3 * 10 * scale
    assert (
        int(lines.sum()) == 2 * 6 * scale
    )  # originals of the first, reconstructions of the second
    assert (sheet.amin(-1) < 40).any()  # labels


def test_too_many_videos_for_one_sheet(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the picture would have .* show fewer videos"):
        write_sheet([coloured_video("a.mp4", 1, GREYS)] * 200, tmp_path / "sheet.png")
    assert not files_below(tmp_path)


def test_a_film_that_every_player_knows(tmp_path: Path) -> None:
    """Two frames of a quarter of a second, until three seconds are over, of each video."""
    shown = [coloured_video("a.mp4", 2, GREYS), coloured_video("b.mp4", 2, GREYS)]
    write_film(shown, tmp_path / "film.mp4")
    with av.open(str(tmp_path / "film.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert float(stream.average_rate or 0) == 30
    assert len(frames) == 2 * 3 * 30
    height, width, _ = frames[0].shape
    assert height % 2 == width % 2 == 0
    for place, grey in zip((1, 3, 5), (51, 119, 187), strict=True):
        assert abs(int(frames[40][height * 2 // 3, width * place // 6, 1]) - grey) < 6


def test_the_script_writes_both_and_prints_the_errors(
    checkpoint: Path, videos: list[Path], tmp_path: Path
) -> None:
    arguments = ["--checkpoint", checkpoint, "--output", tmp_path / "out", "--num-videos", 2]
    output = succeed(run_forked("visualize_mae", *arguments, *videos))
    assert files_below(tmp_path / "out") == ["reconstruction.mp4", "reconstruction.png"]
    assert "over the hidden patches of 3 videos" in output
    for name in ("reconstruction", "of the visible patches", "of each hidden patch"):
        assert re.search(rf"{name} +0\.\d{{4}}\n", output)


def test_a_bad_video_ends_the_script_with_one_line(
    checkpoint: Path, videos: list[Path], tmp_path: Path
) -> None:
    missing = tmp_path / "missing.mp4"
    arguments = ["--checkpoint", checkpoint, "--output", tmp_path / "out", videos[0], missing]
    line = error_line(run_forked("visualize_mae", *arguments))
    assert line == f"{missing}: no such file or directory"
    assert files_below(tmp_path / "out") == []


def test_numbers_out_of_range(checkpoint: Path, videos: list[Path], tmp_path: Path) -> None:
    arguments = ["--checkpoint", checkpoint, "--output", tmp_path / "out", "--num-videos", 0]
    line = error_line(run_forked("visualize_mae", *arguments, *videos))
    assert line == "--num-videos=0: wanted at least 1"


def test_images_are_reconstructed(videos: list[Path], tmp_path: Path) -> None:
    model = HieraForPreTraining(HieraConfig(**IMAGE, **DECODER))
    model.preprocessor = dump_preprocessor(ImageSettings(crop_size=64))
    model.save_pretrained(tmp_path / "model")
    image = tmp_path / "image.png"
    Image.fromarray(coloured_frames("red", 0, num_frames=1, side=80)[0]).save(image)
    (result,) = reconstruct_videos(str(tmp_path / "model"), [image])
    assert result.frames.original.shape == (1, 3, 1, 64, 64)
    assert result.frames.hidden.float().mean() == 0.5
    write_sheet([result], tmp_path / "sheet.png")
    write_film([result], tmp_path / "film.mp4")
    with pytest.raises(VideoError, match=r"wanted an image \("):
        next(reconstruct_videos(str(tmp_path / "model"), videos))


def test_what_cannot_be_reconstructed(
    checkpoint: Path, tiny_checkpoint: Path, videos: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="holds a HieraForVideoClassification, wanted a"):
        load_autoencoder(str(tiny_checkpoint))
    with pytest.raises(ConfigError, match=r"mask_ratio=0\.0 hides none of an input's 8 mask units"):
        load_autoencoder(str(checkpoint), mask_ratio=0.0)
    with pytest.raises(ConfigError, match=r"mask_ratio=0\.99 hides all of an input's"):
        list(reconstruct_videos(str(checkpoint), videos, mask_ratio=0.99))
    with pytest.raises(VideoError, match="no such file"):
        list(reconstruct_videos(str(checkpoint), [tmp_path / "missing.mp4"]))
