"""How odd files are made: by PyAV, by the ffmpeg program, or by changing the bytes of others.

Axes: T frames, H rows, W columns.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from tests.support import HANG_SECONDS, numbered_frames, usual_scheduling

#: Makes the file at a path. What else it needs, it may write into the path's folder.
Make = Callable[[Path], None]
#: Takes packets in the order they are stored, and gives those to store instead.
Change = Callable[[list[Packet]], Iterable[Packet]]

os.environ.setdefault("SVT_LOG", "0")  # that encoder would print its settings

#: Options of encoders whose files depend on neither the number of processors nor on chance.
_ENCODER_OPTIONS = {
    "libx264": {"preset": "ultrafast", "threads": "1"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:frame-threads=1"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libsvtav1": {"preset": "12", "svtav1-params": "lp=1"},
}


@dataclass(frozen=True)
class Picture:
    """A video stream to encode, by default of frames that carry their numbers.

    ``timestamps``: when the frames are shown, in ``1 / rate`` seconds; 0, 1, ... if not given.
    ``gop``: the number of frames from keyframe to keyframe. ``options``: the encoder's, after the
    colon of ``x264-params`` and the like too. ``attributes``: of PyAV's codec context.
    """

    codec: str
    num_frames: int = 30
    height: int = 64
    width: int = 96
    pix_fmt: str = "yuv420p"
    rate: int | Fraction = 25
    gop: int = 10
    b_frames: int = 0
    timestamps: Sequence[int] = ()
    tag: str = ""
    first_number: int = 0
    options: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)

    def pixels(self) -> np.ndarray:
        """RGB frames ``(T, H, W, 3)``."""
        numbers = self.first_number + self.num_frames
        return numbered_frames(numbers, self.height, self.width)[self.first_number :]

    def open(self, container: OutputContainer) -> VideoStream:
        """A stream of ``container`` for it."""
        stream = container.add_stream(self.codec, rate=self.rate)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = self.height, self.width, self.pix_fmt
        context = stream.codec_context
        context.thread_count, context.gop_size, context.max_b_frames = 1, self.gop, self.b_frames
        context.time_base = 1 / Fraction(self.rate)
        if self.tag:
            context.codec_tag = self.tag
        for name, value in self.attributes.items():
            setattr(context, name, value)
        options = {"qscale": "4"} if self.codec not in _ENCODER_OPTIONS else {}
        stream.options = {**options, **_ENCODER_OPTIONS.get(self.codec, {}), **self.options}
        return stream

    def packets(self, stream: VideoStream) -> list[Packet]:
        """All packets of a stream that :meth:`open` gave."""
        packets = []
        for number, image in enumerate(self.pixels()):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if self.pix_fmt == "pal8":
                frame = _with_palette(image)
            frame.pts = self.timestamps[number] if self.timestamps else number
            frame.time_base = 1 / Fraction(self.rate)
            packets += stream.encode(frame)
        return packets + stream.encode(None)


def _with_palette(image: np.ndarray) -> av.VideoFrame:
    """A frame of 8-bit indices whose colours are none of the usual ones."""
    levels = (image // 64).astype(np.uint8)
    indices = levels[..., 0] * 16 + levels[..., 1] * 4 + levels[..., 2]
    palette = np.zeros((256, 4), np.uint8)
    for value in range(64):
        palette[value] = (255, 20 + 70 * (value // 16), 70 * (value // 4 % 4), 60 * (value % 4))
    return av.VideoFrame.from_ndarray((indices, palette), format="pal8")  # type: ignore[arg-type]


def encoded(
    *pictures: Picture,
    form: str | None = None,
    mux: dict[str, str] | None = None,
    change: Change | None = None,
    audio_seconds: float = 0,
) -> Make:
    """Encodes streams with PyAV. ``form``: FFmpeg's name of the container, if the suffix does not
    say it. ``mux``: options of the container. ``audio_seconds``: how long a sound beside it is."""

    def make(path: Path) -> None:
        with (
            usual_scheduling(),
            av.open(str(path), "w", format=form, options=mux or {}) as container,
        ):
            streams = [picture.open(container) for picture in pictures]
            sound = _open_sound(container) if audio_seconds else None
            packets = []
            for picture, stream in zip(pictures, streams, strict=True):
                own = picture.packets(stream)
                packets += list(change(own)) if change else own
            if sound is not None:
                packets += _sound(sound, audio_seconds)
            for packet in sorted(packets, key=_decoding_seconds):
                container.mux(packet)

    return make


def _decoding_seconds(packet: Packet) -> float:
    assert packet.dts is not None
    assert packet.time_base is not None
    return float(packet.dts * packet.time_base)


def _open_sound(container: OutputContainer) -> AudioStream:
    stream = container.add_stream("aac", rate=16000)
    assert isinstance(stream, AudioStream)
    stream.layout = "mono"
    return stream


def _sound(stream: AudioStream, seconds: float) -> list[Packet]:
    tone = np.sin(np.arange(int(seconds * 16000)) / 20).astype(np.float32)[None]
    frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
    frame.rate, frame.pts = 16000, 0
    return [*stream.encode(frame), *stream.encode(None)]


def copied(
    make_source: Make,
    suffix: str,
    *,
    change: Change | None = None,
    bitstream_filter: str = "",
    form: str | None = None,
    mux: dict[str, str] | None = None,
) -> Make:
    """Copies the packets of a file with PyAV. ``suffix``: the source's, which is made first."""

    def make(path: Path) -> None:
        source = path.with_name(f"{path.stem}_source{suffix}")
        make_source(source)
        copy(source, path, change, bitstream_filter, form, mux)

    return make


def copy(
    source: Path,
    path: Path,
    change: Change | None = None,
    bitstream_filter: str = "",
    form: str | None = None,
    mux: dict[str, str] | None = None,
) -> None:
    """Store the packets of the first video stream of ``source`` in another container."""
    with av.open(str(source)) as given, av.open(str(path), "w", format=form, options=mux) as taken:
        stream = given.streams.video[0]
        out = taken.add_stream_from_template(stream)
        packets = [packet for packet in given.demux(stream) if packet.size]
        if bitstream_filter:
            context = BitStreamFilterContext(bitstream_filter, stream)
            packets = [new for packet in [*packets, None] for new in context.filter(packet)]
        for packet in change(packets) if change else packets:
            packet.stream = out
            taken.mux_one(packet)


def packet_like(packet: Packet, data: bytes, **changes: Any) -> Packet:
    """A packet of the same stream and times with other data; ``changes`` name its attributes."""
    new = Packet(data)
    new.stream, new.time_base = packet.stream, packet.time_base
    for name in ("pts", "dts", "duration", "is_keyframe"):
        setattr(new, name, changes.get(name, getattr(packet, name)))
    return new


def joined(*makes: Make) -> Make:
    """Files of which one follows the other, byte by byte."""

    def make(path: Path) -> None:
        parts = [path.with_name(f"{path.stem}_{n}{path.suffix}") for n in range(len(makes))]
        for make_part, part in zip(makes, parts, strict=True):
            make_part(part)
        path.write_bytes(b"".join(part.read_bytes() for part in parts))

    return make


def patched(make_source: Make, *patches: Callable[[bytes], bytes]) -> Make:
    """A file whose bytes are changed."""

    def make(path: Path) -> None:
        make_source(path)
        data = path.read_bytes()
        for patch in patches:
            changed = patch(data)
            assert changed != data
            data = changed
        path.write_bytes(data)

    return make


#: What the ffmpeg program gets to read: 30 frames each, which are numbered from different ones on.
SOURCES = {
    "numbers.mkv": Picture("ffv1"),
    "later.mkv": Picture("ffv1", first_number=40),
    "larger.mkv": Picture("ffv1", height=96, width=128, first_number=80),
}


def program(*commands: str) -> Make:
    """Runs the ffmpeg program in the file's folder: once for each command, the last of which ends
    without the name of its output. The :data:`SOURCES` are there to read."""

    def make(path: Path) -> None:
        for name, picture in SOURCES.items():
            if any(name in command for command in commands):
                encoded(picture)(path.with_name(name))
        *before, last = commands
        for command in before:
            run_ffmpeg(*command.split(), folder=path.parent)
        run_ffmpeg(*last.split(), path.name, folder=path.parent)

    return make


def run_ffmpeg(*arguments: str, folder: Path) -> None:
    """Run the program.

    Raises:
        RuntimeError: with what it said, if it failed.
    """
    *others, output = arguments
    # Several threads of libvpx were seen to wait for each other for ever on a busy machine.
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *others, "-threads", "1", output]
    run = subprocess.run(
        command, capture_output=True, cwd=folder, timeout=HANG_SECONDS, check=False
    )
    if run.returncode:
        raise RuntimeError(f"{' '.join(command)}: {run.stderr.decode(errors='replace')}")
