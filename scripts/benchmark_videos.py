"""Videos that benchmarks of reading make for themselves; no command.

Like those of Kinetics: 10 s, 340x256, 28 frames per second, H.264 with B-frames and few keyframes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import torch
import torch.nn.functional as F
from av.video.frame import PictureType
from av.video.stream import VideoStream
from torch import Tensor

RATE, NUM_FRAMES, HEIGHT, WIDTH = 28, 280, 256, 340


def write_video(path: Path, seed: int) -> None:
    """Textures that wander over each other, with noise and a cut: 0.6 MB, as real ones have."""
    generator = torch.Generator().manual_seed(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        # x264's own 3 B-frames and keyframes every 250 frames. The bias makes as many B-frames that
        # no other frame refers to as there are in real videos: two in five.
        stream.options = {"crf": "20", "x264-params": "b-bias=-16"}
        for shot in range(2):
            layers = [_texture(generator) for _ in range(3)]
            for number, places in enumerate(_wander(generator, NUM_FRAMES // 2)):
                ground, shape, figure = (
                    layer[:, row : row + HEIGHT, column : column + WIDTH]
                    for layer, (row, column) in zip(layers, places, strict=True)
                )
                picture = torch.where(shape[:1] > 150, figure, ground)
                picture = picture + torch.randn(picture.shape, generator=generator) * 2
                image = picture.clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = shot * NUM_FRAMES // 2 + number, Fraction(1, RATE)
                container.mux(stream.encode(frame))
        container.mux(stream.encode())


def transcode(source: Path, target: Path, encoder: str, options: dict[str, object]) -> None:
    """The same frames by another codec."""
    with av.open(str(source)) as original, av.open(str(target), "w") as container:
        stream = container.add_stream(encoder, rate=RATE)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = options
        for frame in original.decode(video=0):
            frame.pict_type = PictureType.NONE  # the encoder decides
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def seconds_of(call: Callable[[], object]) -> float:
    """Of processor time: what is on one thread need not suffer from others on the machine."""
    begin = time.process_time()
    call()
    return time.process_time() - begin


def _texture(generator: torch.Generator) -> Tensor:
    """Noise of several sizes, ``(3, 512, 512)``, 0 to 255."""
    total = torch.zeros(3, 512, 512)
    for cells, strength in ((4, 1.0), (16, 0.5), (64, 0.2), (256, 0.05)):
        noise = torch.randn(1, 3, cells, cells, generator=generator)
        total += F.interpolate(noise, (512, 512), mode="bicubic")[0] * strength
    return (total * 50 + 128).clamp(0, 255)


def _wander(generator: torch.Generator, num_frames: int) -> list[list[list[int]]]:
    """Rows and columns at which each of three textures is cut out, frame by frame."""
    steps = torch.randn(num_frames, 3, 2, generator=generator)
    speeds = steps.cumsum(0) * 0.15 + torch.randn(3, 2, generator=generator)
    places = (speeds + 0.5 * steps).cumsum(0)
    reach = torch.tensor([512 - HEIGHT, 512 - WIDTH])
    turned = (places + reach / 2) % (2 * reach)  # back where the texture ends
    return torch.where(turned < reach, turned, 2 * reach - turned - 1).int().tolist()
