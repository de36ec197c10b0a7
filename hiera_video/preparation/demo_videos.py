"""Drawing and encoding the videos of the demo.

Eight classes in four opposite pairs: moving left / right, moving up / down, rotating clockwise /
counterclockwise, approaching / receding. One textured object is in front of a textured background.

The pose of the object has four coordinates: x, y, angle and log size. The coordinate of the class
sweeps in one direction through a span of its range; the others keep a random value. Opposite
classes are exact time reversals of each other, and every coordinate has the same distribution over
all frames of every class: no single frame shows the class, and frames without their order do not
distinguish a class from its opposite.

With two motions, two of the coordinates sweep at once, and a video has the labels of both.

Shape, texture, colours, background, speeds and starting points are random, as are small
disturbances: drift of background and brightness, and sensor noise. A video's randomness is a
function of (seed, split, index) only, so the number of workers changes nothing and the same seed
gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from hiera_video.files import atomic_path

FloatArray = NDArray[np.float32]

# Raise this when the videos drawn for a seed change, so that old and new are never mixed.
GENERATOR_VERSION = 1

SPLITS = ("train", "val")
# Class -> the coordinate that changes, and its direction (y points down, as in images).
CLASSES = {
    "moving_left": ("x", -1),
    "moving_right": ("x", 1),
    "moving_up": ("y", -1),
    "moving_down": ("y", 1),
    "rotating_clockwise": ("angle", 1),
    "rotating_counterclockwise": ("angle", -1),
    "approaching": ("log_size", 1),
    "receding": ("log_size", -1),
}
# Pairs of classes that two motions at once can be; of each four in a row, every class is in one.
PAIRS = (
    ("moving_left", "moving_up"),
    ("moving_right", "moving_down"),
    ("rotating_clockwise", "approaching"),
    ("rotating_counterclockwise", "receding"),
    ("moving_left", "rotating_counterclockwise"),
    ("moving_right", "rotating_clockwise"),
    ("moving_up", "receding"),
    ("moving_down", "approaching"),
    ("moving_left", "approaching"),
    ("moving_right", "receding"),
    ("moving_up", "rotating_clockwise"),
    ("moving_down", "rotating_counterclockwise"),
    ("moving_left", "moving_down"),
    ("moving_right", "moving_up"),
    ("rotating_clockwise", "receding"),
    ("rotating_counterclockwise", "approaching"),
    ("moving_left", "rotating_clockwise"),
    ("moving_right", "rotating_counterclockwise"),
    ("moving_up", "approaching"),
    ("moving_down", "receding"),
    ("moving_left", "receding"),
    ("moving_right", "approaching"),
    ("moving_up", "rotating_counterclockwise"),
    ("moving_down", "rotating_clockwise"),
)
# Coordinate -> (lowest, highest value; shortest, longest span swept in a video). x and y are
# fractions of the frame; size is the object's radius over the frame's side. At 24 frames seen at
# 64 x 64 this is 1.3 to 1.7 pixels or 8 to 13 degrees a frame, or a factor of 1.6 to 1.8 in 16.
COORDINATES = {
    "x": (0.14, 0.86, 0.50, 0.65),
    "y": (0.14, 0.86, 0.50, 0.65),
    "angle": (0.0, 2 * math.pi, math.radians(200), math.radians(300)),
    "log_size": (math.log(0.11), math.log(0.32), math.log(2.1), math.log(2.6)),
}
TEXTURE_SIZE = 128
SUPERSAMPLING = 2
BACKGROUND_MARGIN = 0.05
# A fixed pattern of B-frames, and two key frames in a default video: decoders that seek wrongly
# fail on these videos as they do on real ones. One thread and no macroblock tree: on frames this
# small, x264's vectorised tree gives different bytes from run to run.
X264_PARAMETERS = "bframes=2:b-adapt=0:keyint=12:scenecut=0:threads=1:mbtree=0:log-level=none"


@dataclass(frozen=True)
class DemoSettings:
    """Settings that determine every byte of the dataset."""

    num_train: int
    num_val: int
    seed: int
    size: int
    num_frames: int
    frame_rate: int
    generator_version: int = GENERATOR_VERSION
    motions: int = 1

    def recorded(self) -> dict[str, int]:
        """The settings by name, as ``dataset.json`` has them; one motion is not mentioned, as it
        was not before there could be two."""
        values = asdict(self)
        return values if self.motions > 1 else {k: v for k, v in values.items() if k != "motions"}

    def clips(self) -> list[Clip]:
        """Every video of the dataset, in the order of the manifests."""
        counts = zip(SPLITS, (self.num_train, self.num_val), strict=True)
        return [
            Clip(split, index, self.motions) for split, count in counts for index in range(count)
        ]


@dataclass(frozen=True)
class Clip:
    """One video of the dataset; the classes, or their pairs, take turns along the index."""

    split: str
    index: int
    motions: int = 1

    @property
    def classes(self) -> tuple[str, ...]:
        choices = PAIRS if self.motions > 1 else [(name,) for name in CLASSES]
        return choices[self.index % len(choices)]

    @property
    def label(self) -> str:
        """The classes as a manifest has them."""
        return "|".join(self.classes)

    @property
    def path(self) -> Path:
        folder = "+".join(self.classes)
        return Path("videos", self.split, folder, f"{self.index:05d}.mp4")


def draw_trajectory(
    rng: np.random.Generator, classes: Sequence[str], num_frames: int
) -> dict[str, NDArray[np.float64]]:
    """The four coordinates of the object's pose, each of shape (T,)."""
    directions = dict(CLASSES[name] for name in classes)
    forward = (np.arange(num_frames) + 0.5) / num_frames
    trajectory = {}
    for name, (low, high, shortest, longest) in COORDINATES.items():
        span = rng.uniform(shortest, longest)
        start = rng.uniform(low, high - span)
        if name in directions:
            progress = forward if directions[name] > 0 else 1 - forward
        else:
            progress = np.full_like(forward, rng.random())
        trajectory[name] = start + span * progress
    return trajectory


def sample_bilinear(image: FloatArray, rows: FloatArray, columns: FloatArray) -> FloatArray:
    """Values of an (H, W, ...) image at fractional positions, clamped to its border."""
    rows = np.clip(rows, 0, image.shape[0] - 1.001)
    columns = np.clip(columns, 0, image.shape[1] - 1.001)
    top, left = rows.astype(np.intp), columns.astype(np.intp)
    extra = (1,) * (image.ndim - 2)
    down = (rows - top).reshape(*rows.shape, *extra)
    right = (columns - left).reshape(*columns.shape, *extra)
    upper = image[top, left] * (1 - right) + image[top, left + 1] * right
    lower = image[top + 1, left] * (1 - right) + image[top + 1, left + 1] * right
    return (upper * (1 - down) + lower * down).astype(np.float32)


def smooth_noise(rng: np.random.Generator, size: int, cells: int) -> FloatArray:
    """A (size, size) field in [0, 1] with about `cells` bumps along a side."""
    knots = rng.random((cells + 1, cells + 1), dtype=np.float32)
    position = np.linspace(0, cells, size, dtype=np.float32)
    whole = np.floor(position)
    fraction = position - whole
    eased = whole + fraction * fraction * (3 - 2 * fraction)
    return sample_bilinear(knots, *np.meshgrid(eased, eased, indexing="ij"))


def draw_pattern(rng: np.random.Generator, size: int, cycles: tuple[float, float]) -> FloatArray:
    """A (size, size) pattern in [0, 1]: noise, stripes or checks, with some noise in each."""
    kind = rng.choice(["noise", "stripes", "checks"])
    frequency = rng.uniform(*cycles)
    direction = rng.uniform(0, 2 * math.pi)
    phases = rng.uniform(0, 2 * math.pi, 2)
    noise = smooth_noise(rng, size, max(2, round(2 * frequency)))
    if kind == "noise":
        return np.clip(0.5 + 2 * (noise - 0.5), 0, 1)
    v, u = np.mgrid[0:size, 0:size].astype(np.float32) / size * (2 * math.pi * frequency)
    wave = np.sin(u * math.cos(direction) + v * math.sin(direction) + phases[0])
    if kind == "checks":
        wave *= np.sin(v * math.cos(direction) - u * math.sin(direction) + phases[1])
    pattern = np.clip(0.5 + 1.5 * wave, 0, 1)
    return (0.75 * pattern + 0.25 * noise).astype(np.float32)


def draw_outline(rng: np.random.Generator, angle: FloatArray) -> NDArray[np.floating]:
    """Distance from the centre to the edge along each angle, at most 1: the object's shape."""
    kind = rng.choice(["disc", "ellipse", "rectangle", "polygon", "star"])
    aspect = rng.uniform(0.55, 0.8)
    corners = int(rng.integers(3, 7))
    angle = angle + np.float32(rng.uniform(0, 2 * math.pi))
    if kind == "ellipse":
        return 1 / np.hypot(np.cos(angle), np.sin(angle) / aspect)
    if kind == "rectangle":
        steepness = np.maximum(np.abs(np.cos(angle)), np.abs(np.sin(angle)) / aspect)
        return 1 / (steepness * math.hypot(1, aspect))
    from_edge_middle = angle % (2 * math.pi / corners) - math.pi / corners
    if kind == "polygon":
        return math.cos(math.pi / corners) / np.cos(from_edge_middle)
    if kind == "star":
        return 0.6 + 0.4 * np.abs(from_edge_middle) * corners / math.pi
    return np.ones_like(angle)


def draw_colours(rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Two dull colours for the background, two bright ones for the object.

    A small model learns to find such an object within a minute; with any colours it takes hours.
    """
    background = rng.uniform(0.1, 0.3) + rng.uniform(-0.08, 0.08, (2, 3))
    colours = rng.uniform(0.6, 1, (2, 3))
    return background.astype(np.float32), colours.astype(np.float32)


def draw_object(rng: np.random.Generator, colours: FloatArray) -> FloatArray:
    """The object as premultiplied RGBA (S, S, 4), filling a disc of radius 1 in [-1.1, 1.1]^2."""
    v, u = np.mgrid[-1.1 : 1.1 : TEXTURE_SIZE * 1j, -1.1 : 1.1 : TEXTURE_SIZE * 1j]
    angle = np.arctan2(v, u).astype(np.float32)
    softness = TEXTURE_SIZE / 4
    alpha = np.clip(0.5 + softness * (draw_outline(rng, angle) - np.hypot(u, v)), 0, 1)
    pattern = draw_pattern(rng, TEXTURE_SIZE, (1.2, 3.0))[..., None]
    rgb = colours[0] + (colours[1] - colours[0]) * pattern
    # Light from one side of the object, turning with it: no texture is rotation symmetric.
    light = rng.uniform(0, 2 * math.pi)
    rgb *= (0.7 + 0.5 * (u * math.cos(light) + v * math.sin(light)))[..., None]
    return np.concatenate([rgb * alpha[..., None], alpha[..., None]], axis=-1).astype(np.float32)


def draw_background(
    rng: np.random.Generator, colours: FloatArray, settings: DemoSettings
) -> FloatArray:
    """The background of every frame, (T, H, W, 3): a texture that drifts slowly in a direction."""
    size = settings.size
    pattern = draw_pattern(rng, round(size * (1 + 2 * BACKGROUND_MARGIN)), (2.0, 6.0))[..., None]
    texture = colours[0] + (colours[1] - colours[0]) * pattern
    seconds = np.linspace(-0.5, 0.5, settings.num_frames)[:, None]
    offsets = size * BACKGROUND_MARGIN * (1 + seconds * rng.uniform(-0.8, 0.8, 2))
    grid = np.arange(size, dtype=np.float32)
    return np.stack(
        [
            sample_bilinear(texture, *np.meshgrid(grid + row, grid + column, indexing="ij"))
            for row, column in offsets.astype(np.float32)
        ]
    )


def paste_object(frame: FloatArray, sprite: FloatArray, pose: dict[str, float]) -> None:
    """Draw the object into an (H, W, 3) frame: inverse affine mapping, supersampled, blended."""
    size = frame.shape[0]
    radius = math.exp(pose["log_size"]) * size
    x, y = pose["x"] * size, pose["y"] * size
    top, bottom = max(0, math.floor(y - radius) - 1), min(size, math.ceil(y + radius) + 1)
    left, right = max(0, math.floor(x - radius) - 1), min(size, math.ceil(x + radius) + 1)
    step = 1 / SUPERSAMPLING
    down = (np.arange(top, bottom, step, dtype=np.float32) + step / 2 - y)[:, None] / radius
    across = (np.arange(left, right, step, dtype=np.float32) + step / 2 - x)[None] / radius
    cosine, sine = math.cos(pose["angle"]), math.sin(pose["angle"])
    scale = (TEXTURE_SIZE - 1) / 2.2
    columns = (across * cosine + down * sine + 1.1) * scale
    rows = (down * cosine - across * sine + 1.1) * scale
    rgba = sample_bilinear(sprite, rows, columns)
    rgba = rgba.reshape(bottom - top, SUPERSAMPLING, right - left, SUPERSAMPLING, 4).mean((1, 3))
    window = frame[top:bottom, left:right]
    window *= 1 - rgba[..., 3:]
    window += rgba[..., :3]


def render(clip: Clip, settings: DemoSettings) -> NDArray[np.uint8]:
    """The frames of one video, (T, H, W, 3) RGB."""
    rng = np.random.default_rng([settings.seed, SPLITS.index(clip.split), clip.index])
    trajectory = draw_trajectory(rng, clip.classes, settings.num_frames)
    background_colours, object_colours = draw_colours(rng)
    sprite = draw_object(rng, object_colours)
    frames = draw_background(rng, background_colours, settings)
    for number, frame in enumerate(frames):
        paste_object(frame, sprite, {name: float(v[number]) for name, v in trajectory.items()})
    drift = rng.uniform(-0.05, 0.05) * np.linspace(-1, 1, settings.num_frames, dtype=np.float32)
    frames *= (1 + drift)[:, None, None, None]
    noise = rng.standard_normal((*frames.shape[:3], 1), dtype=np.float32)
    frames += np.float32(rng.uniform(0.002, 0.01)) * noise
    return np.clip(frames * 255 + 0.5, 0, 255).astype(np.uint8)


def write_video(clip: Clip, settings: DemoSettings, output_dir: Path) -> None:
    """Render and encode one video, H.264 with B-frames, and write it atomically."""
    target = output_dir / clip.path
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic_path(target, durable=False) as temporary,
        av.open(str(temporary), "w", format="mp4") as container,
    ):
        options = {"preset": "veryfast", "crf": "18", "x264-params": X264_PARAMETERS}
        stream = container.add_stream("libx264", rate=settings.frame_rate, options=options)
        stream.width = stream.height = settings.size
        stream.pix_fmt = "yuv420p"
        for image in render(clip, settings):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
