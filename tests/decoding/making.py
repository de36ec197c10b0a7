"""Makers of odd files: with PyAV, with the ffmpeg program, or by changing bytes of other files.

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

#: Writes the file at a path. It may write auxiliary files into the same folder.
Make = Callable[[Path], None]
#: Takes packets in stored order, and returns those to store instead.
Change = Callable[[list[Packet]], Iterable[Packet]]

os.environ.setdefault("SVT_LOG", "0")  # else the SVT-AV1 encoder prints its settings

#: Encoder options that make the files independent of the number of processors, and repeatable.
_ENCODER_OPTIONS = {
    "libx264": {"preset": "ultrafast", "threads": "1"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:frame-threads=1"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libsvtav1": {"preset": "12", "svtav1-params": "lp=1"},
}


@dataclass(frozen=True)
class Picture:
    """A video stream to encode, whose frames show their own numbers.

    ``timestamps``: when the frames are shown, in units of ``1 / rate`` seconds; default 0, 1, ...
    ``gop``: the number of frames from keyframe to keyframe. ``options``: encoder options, such as
    ``x264-params``. ``attributes``: attributes to set on PyAV's codec context.
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
        """Add a stream for this picture to ``container``."""
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
        """Encode all frames into ``stream``, which :meth:`open` returned; return the packets."""
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
    """A frame of 8-bit indices with an unusual palette, which no decoder can guess."""
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
    """Encode streams with PyAV. ``form``: FFmpeg's name of the container, if the suffix does not
    determine it. ``mux``: options of the muxer. ``audio_seconds``: length of an added sound
    track; 0 adds none."""

    def make(path: Path) -> None:
        with (
            usual_scheduling(),
            av.open(str(path), "w", format=form, options=mux or {}) as container,
        ):
            streams = [picture.open(container) for picture in pictures]
            sound = _open_sound(container) if audio_seconds else None
            packets = []
            for picture, stream in zip(pictures, streams, strict=True):
                encoded_packets = picture.packets(stream)
                packets += list(change(encoded_packets)) if change else encoded_packets
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
    """Make a source file with the suffix ``suffix``, and copy its packets with PyAV."""

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
    with (
        av.open(str(source)) as input_file,
        av.open(str(path), "w", format=form, options=mux) as output_file,
    ):
        stream = input_file.streams.video[0]
        output_stream = output_file.add_stream_from_template(stream)
        packets = [packet for packet in input_file.demux(stream) if packet.size]
        if bitstream_filter:
            context = BitStreamFilterContext(bitstream_filter, stream)
            packets = [new for packet in [*packets, None] for new in context.filter(packet)]
        for packet in change(packets) if change else packets:
            packet.stream = output_stream
            output_file.mux_one(packet)


def packet_like(packet: Packet, data: bytes, **changes: Any) -> Packet:
    """A copy of a packet with other ``data``; ``changes`` override its attributes."""
    new = Packet(data)
    new.stream, new.time_base = packet.stream, packet.time_base
    for name in ("pts", "dts", "duration", "is_keyframe"):
        setattr(new, name, changes.get(name, getattr(packet, name)))
    return new


def joined(*makes: Make) -> Make:
    """Concatenate files byte by byte."""

    def make(path: Path) -> None:
        parts = [path.with_name(f"{path.stem}_{n}{path.suffix}") for n in range(len(makes))]
        for make_part, part in zip(makes, parts, strict=True):
            make_part(part)
        path.write_bytes(b"".join(part.read_bytes() for part in parts))

    return make


def patched(make_source: Make, *patches: Callable[[bytes], bytes]) -> Make:
    """Make a file, and apply ``patches`` to its bytes."""

    def make(path: Path) -> None:
        make_source(path)
        data = path.read_bytes()
        for patch in patches:
            changed = patch(data)
            assert changed != data
            data = changed
        path.write_bytes(data)

    return make


#: Input files for the ffmpeg program: 30 frames each, numbered from different numbers on.
SOURCES = {
    "numbers.mkv": Picture("ffv1"),
    "later.mkv": Picture("ffv1", first_number=40),
    "larger.mkv": Picture("ffv1", height=96, width=128, first_number=80),
}


def program(*commands: str) -> Make:
    """Run the ffmpeg program in the file's folder, once per command. The last command omits its
    output, which is the file. Commands may read the :data:`SOURCES`."""

    def make(path: Path) -> None:
        for name, picture in SOURCES.items():
            if any(name in command for command in commands):
                encoded(picture)(path.with_name(name))
        *preparations, last = commands
        for command in preparations:
            run_ffmpeg(*command.split(), folder=path.parent)
        run_ffmpeg(*last.split(), path.name, folder=path.parent)

    return make


def run_ffmpeg(*arguments: str, folder: Path) -> None:
    """Run the ffmpeg program; the last argument is its output.

    Raises:
        RuntimeError: if it fails; with its error output.
    """
    *others, output = arguments
    # One thread: several threads of libvpx have deadlocked on a busy machine.
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *others, "-threads", "1", output]
    run = subprocess.run(
        command, capture_output=True, cwd=folder, timeout=HANG_SECONDS, check=False
    )
    if run.returncode:
        raise RuntimeError(f"{' '.join(command)}: {run.stderr.decode(errors='replace')}")
