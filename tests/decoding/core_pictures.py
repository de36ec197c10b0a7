"""The video streams of the core kinds, and the changes to their packets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
from av.packet import Packet

from tests.decoding import boxes
from tests.decoding.making import (
    Change,
    Make,
    Picture,
    copied,
    encoded,
    packet_like,
)
from tests.decoding.mpeg4_packing import packed, renumbered

# Streams, by codec. Mostly three B-frames or more, so that stored and display order differ much.
H264 = Picture("libx264", b_frames=3, options={"x264-params": "b-adapt=0:scenecut=0"})
H264_PLAIN = Picture("libx264", options={"x264-params": "scenecut=0"})
H264_OPEN = Picture(
    "libx264", b_frames=3, options={"x264-params": "b-adapt=0:scenecut=0:open-gop=1:bframes=3"}
)
H264_PYRAMID = Picture(
    "libx264", b_frames=5, options={"x264-params": "b-adapt=0:b-pyramid=normal:bframes=5:ref=4"}
)
H264_REFRESHED = Picture(
    "libx264", options={"x264-params": "intra-refresh=1:keyint=10:bframes=0:scenecut=0"}
)
H264_LONG = Picture("libx264", 120, gop=1000, options={"x264-params": "scenecut=0"})
H264_FIELDS = Picture("libx264", b_frames=2, options={"x264-params": "tff=1:b-adapt=0"})
HEVC_PARAMS = "log-level=none:pools=1:frame-threads=1:bframes=3:keyint=10:min-keyint=10:scenecut=0"
HEVC = Picture("libx265", b_frames=3, options={"x265-params": f"{HEVC_PARAMS}:open-gop=0"})
HEVC_OPEN = Picture("libx265", b_frames=3, options={"x265-params": f"{HEVC_PARAMS}:open-gop=1"})
MPEG4 = Picture("mpeg4", tag="XVID")
MPEG4_B = Picture("mpeg4", b_frames=2, tag="XVID")
MPEG4_LATER = replace(MPEG4, first_number=40)
MPEG2_B = Picture("mpeg2video", b_frames=2)
MJPEG = Picture("mjpeg", pix_fmt="yuvj420p", options={"huffman": "default"})
ALTREF = {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "good"}
VP8 = Picture("libvpx", 50, gop=100, options={"b": "200k"})
VP8_ALTREF = Picture("libvpx", 50, gop=100, options={**ALTREF, "b": "200k", "arnr-maxframes": "7"})
VP9 = Picture("libvpx-vp9", 30, gop=100, options={"b": "200k"})
VP9_ALTREF = Picture("libvpx-vp9", 50, gop=100, options={**ALTREF, "b": "200k"})
AV1 = Picture("libsvtav1", gop=10)

# Files from which others are made.
MPEG4_B_AVI = copied(encoded(MPEG4_B), ".avi", change=renumbered)
PACKED_AVI = copied(encoded(MPEG4_B), ".avi", change=packed())
PACKED_PAIRS_AVI = copied(encoded(replace(MPEG4_B, b_frames=1)), ".avi", change=packed())
H264_MP4 = encoded(H264)
H264_PLAIN_MP4 = encoded(H264_PLAIN)
MPEG4_MP4 = encoded(replace(MPEG4, tag=""))
MPEG4_B_MP4 = encoded(replace(MPEG4_B, tag=""))


def shifted(ticks_of_90000: int) -> Change:
    """Shift all timestamps by ``ticks_of_90000`` / 90000 s."""

    def change(packets: list[Packet]) -> Iterable[Packet]:
        for packet in packets:
            assert packet.time_base is not None
            assert packet.pts is not None
            assert packet.dts is not None
            steps = int(Fraction(ticks_of_90000, 90000) / packet.time_base)
            packet.pts, packet.dts = packet.pts + steps, packet.dts + steps
            yield packet

    return change


def cut_to_frame(number: int) -> Change:
    """Keep the packets from the keyframe before frame ``number`` on, with this frame shown at 0:
    MP4 and MOV muxers then write an edit list that hides the frames before it."""

    def change(packets: list[Packet]) -> Iterable[Packet]:
        shown = sorted(packet.pts for packet in packets if packet.pts is not None)
        start = shown[number]
        keyframes = [
            position
            for position, packet in enumerate(packets)
            if packet.is_keyframe and packet.pts is not None and packet.pts <= start
        ]
        for packet in packets[keyframes[-1] :]:
            assert packet.pts is not None
            assert packet.dts is not None
            packet.pts, packet.dts = packet.pts - start, packet.dts - start
            yield packet

    return change


def same_time_twice(packets: list[Packet]) -> Iterable[Packet]:
    """Give frame 12 the timestamps of frame 11."""
    for number, packet in enumerate(packets):
        if number == 12:
            packet.pts, packet.dts = packets[11].pts, packets[11].dts
        yield packet


def without_keys(packets: list[Packet]) -> Iterable[Packet]:
    """Flag only the first packet as a keyframe."""
    for number, packet in enumerate(packets):
        packet.is_keyframe = number == 0
        yield packet


def all_keys(packets: list[Packet]) -> Iterable[Packet]:
    """Flag every packet as a keyframe."""
    for packet in packets:
        packet.is_keyframe = True
        yield packet


def lasting(last: int) -> Change:
    """Set the duration of the last frame to ``last`` ticks, and that of the others to 1."""

    def change(packets: list[Packet]) -> Iterable[Packet]:
        for packet in packets:
            packet.duration = 1
        packets[-1].duration = last
        yield from packets

    return change


def without_tables(packets: list[Packet]) -> Iterable[Packet]:
    """Remove the Huffman tables from JPEG pictures."""
    for packet in packets:
        yield packet_like(packet, boxes.without_jpeg_tables(bytes(packet)))


def annex_b(make_source: Make, suffix: str = ".mp4") -> Make:
    """A raw H.264 stream, which stores no timestamps."""
    return copied(make_source, suffix, bitstream_filter="h264_mp4toannexb")


def cut_off(make_source: Make, share: float) -> Make:
    """The first ``share`` of a file's bytes."""

    def make(path: Path) -> None:
        make_source(path)
        data = path.read_bytes()
        path.write_bytes(data[: int(share * len(data))])

    return make


def with_cover(path: Path) -> None:
    """A film in MP4 with a cover picture, which is stored as a video stream before the film."""
    source = path.with_name("film.mp4")
    H264_MP4(source)
    cover = Picture("mjpeg", 1, pix_fmt="yuvj420p")
    with av.open(str(source)) as film, av.open(str(path), "w") as output:
        picture = cover.open(output)
        picture.disposition = av.stream.Disposition.attached_pic
        source_stream = film.streams.video[0]
        output_stream = output.add_stream_from_template(source_stream)
        output.mux(cover.packets(picture))
        for packet in film.demux(source_stream):
            if packet.size:
                packet.stream = output_stream
                output.mux(packet)
