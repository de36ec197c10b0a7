"""Kinds of files that PyAV can make: the core, tested wherever the package is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
from av.packet import Packet

from tests.decoding import boxes
from tests.decoding.kind import Kind
from tests.decoding.making import (
    Change,
    Make,
    Picture,
    copied,
    encoded,
    joined,
    packet_like,
    patched,
)
from tests.decoding.mpeg4_packing import packed, renumbered, with_chunks

# Pictures, by codec. Three B-frames at least, so that the order of storage differs a lot.
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
MJPEG = Picture("mjpeg", pix_fmt="yuvj420p")
ALTREF = {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "good"}
VP8 = Picture("libvpx", 50, gop=100, options={"b": "200k"})
VP8_ALTREF = Picture("libvpx", 50, gop=100, options={**ALTREF, "b": "200k", "arnr-maxframes": "7"})
VP9 = Picture("libvpx-vp9", 30, gop=100, options={"b": "200k"})
VP9_ALTREF = Picture("libvpx-vp9", 50, gop=100, options={**ALTREF, "b": "200k"})
AV1 = Picture("libsvtav1", gop=10)

# Files that others are made of.
MPEG4_B_AVI = copied(encoded(MPEG4_B), ".avi", change=renumbered)
PACKED_AVI = copied(encoded(MPEG4_B), ".avi", change=packed())
PACKED_PAIRS_AVI = copied(encoded(replace(MPEG4_B, b_frames=1)), ".avi", change=packed())
H264_MP4 = encoded(H264)
H264_PLAIN_MP4 = encoded(H264_PLAIN)
MPEG4_MP4 = encoded(replace(MPEG4, tag=""))
MPEG4_B_MP4 = encoded(replace(MPEG4_B, tag=""))


def shifted(ticks_of_90000: int) -> Change:
    """All times later by so much."""

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
    """From the keyframe before frame ``number`` on, which is to be shown at 0: MP4 and MOV then
    have an edit list that leaves out what stands before it."""

    def change(packets: list[Packet]) -> Iterable[Packet]:
        shown = sorted(packet.pts for packet in packets if packet.pts is not None)
        start = shown[number]
        keys = [
            place
            for place, packet in enumerate(packets)
            if packet.is_keyframe and packet.pts is not None and packet.pts <= start
        ]
        for packet in packets[keys[-1] :]:
            assert packet.pts is not None
            assert packet.dts is not None
            packet.pts, packet.dts = packet.pts - start, packet.dts - start
            yield packet

    return change


def same_time_twice(packets: list[Packet]) -> Iterable[Packet]:
    """Frame 12 has the time of frame 11."""
    for number, packet in enumerate(packets):
        if number == 12:
            packet.pts, packet.dts = packets[11].pts, packets[11].dts
        yield packet


def without_keys(packets: list[Packet]) -> Iterable[Packet]:
    """No packet but the first is called a keyframe."""
    for number, packet in enumerate(packets):
        packet.is_keyframe = number == 0
        yield packet


def all_keys(packets: list[Packet]) -> Iterable[Packet]:
    """Each packet is called a keyframe."""
    for packet in packets:
        packet.is_keyframe = True
        yield packet


def lasting(last: int) -> Change:
    """The last frame is shown for ``last`` times the unit of its stream."""

    def change(packets: list[Packet]) -> Iterable[Packet]:
        for packet in packets:
            packet.duration = 1
        packets[-1].duration = last
        yield from packets

    return change


def without_tables(packets: list[Packet]) -> Iterable[Packet]:
    """JPEG pictures without their Huffman tables."""
    for packet in packets:
        yield packet_like(packet, boxes.without_jpeg_tables(bytes(packet)))


def annex_b(make_source: Make, suffix: str = ".mp4") -> Make:
    """A raw stream of H.264, without any times."""
    return copied(make_source, suffix, bitstream_filter="h264_mp4toannexb")


def cut_off(make_source: Make, share: float) -> Make:
    """The first part of a file."""

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
    with av.open(str(source)) as given, av.open(str(path), "w") as taken:
        picture = cover.open(taken)
        picture.disposition = av.stream.Disposition.attached_pic
        film = given.streams.video[0]
        out = taken.add_stream_from_template(film)
        taken.mux(cover.packets(picture))
        for packet in given.demux(film):
            if packet.size:
                packet.stream = out
                taken.mux(packet)


FRAGMENTS = {"movflags": "+frag_keyframe+empty_moov+default_base_moof"}

KINDS = [
    Kind("H.264 with B-frames", "h264.mp4", H264_MP4),
    Kind("H.264 with B-frames", "h264.mkv", encoded(H264)),
    Kind("H.264 with B-frames", "h264.avi", encoded(H264)),
    Kind("H.264 with B-frames", "h264.ts", encoded(H264)),
    Kind("H.264 with B-frames", "h264.flv", encoded(H264)),
    Kind("H.264 with B-frames", "h264.wmv", encoded(H264, form="asf")),
    Kind("H.264 without times", "h264.h264", annex_b(H264_MP4)),
    Kind("H.264, B-frames that others refer to", "h264_pyramid.mp4", encoded(H264_PYRAMID)),
    Kind("H.264, B-frames that others refer to", "h264_pyramid.avi", encoded(H264_PYRAMID)),
    Kind("H.264, open groups", "h264_open.mp4", encoded(H264_OPEN)),
    Kind("H.264, open groups", "h264_open.ts", encoded(H264_OPEN)),
    Kind("H.264, open groups", "h264_open.flv", encoded(H264_OPEN)),
    Kind("H.264, pictures refreshed bit by bit", "h264_refreshed.mp4", encoded(H264_REFRESHED)),
    Kind("H.264, one keyframe in 120 frames", "h264_long_group.mp4", encoded(H264_LONG)),
    Kind("H.264, one frame", "h264_one_frame.mp4", encoded(Picture("libx264", 1))),
    Kind("H.264 in fragments", "h264_fragments.mp4", encoded(H264, mux=FRAGMENTS)),
    Kind("H.264, fields", "h264_fields.ts", encoded(H264_FIELDS)),
    Kind("H.265", "hevc.mp4", encoded(HEVC)),
    Kind("H.265, open groups", "hevc_open.mkv", encoded(HEVC_OPEN)),
    Kind("H.265, open groups", "hevc_open.ts", encoded(HEVC_OPEN)),
    # MPEG-4 part 2 as it stands in UCF101, HMDB51 and UT-Interaction.
    Kind("MPEG-4", "mpeg4.avi", encoded(MPEG4)),
    Kind("MPEG-4, B-frames and empty chunks", "mpeg4_b.avi", encoded(MPEG4_B)),
    Kind("MPEG-4, B-frames in the order they are stored", "mpeg4_stored.avi", MPEG4_B_AVI),
    Kind("MPEG-4, packed B-frames", "packed.avi", PACKED_AVI),
    Kind("the same, copied", "packed.mp4", copied(PACKED_AVI, ".avi")),
    Kind("the same, copied", "packed.mkv", copied(PACKED_AVI, ".avi")),
    Kind(
        "MPEG-4, packed, placeholders of 6 bytes called keyframes",
        "packed_keys.avi",
        copied(encoded(MPEG4_B), ".avi", change=packed(keys=True)),
    ),
    Kind(
        "MPEG-4, packed, placeholders of 1 byte called keyframes",
        "packed_bytes.avi",
        copied(encoded(MPEG4_B), ".avi", change=packed(placeholder=b"\x7f", keys=True)),
    ),
    Kind(
        "MPEG-4, a chunk of 1 byte after the first frame",
        "one_byte_chunk.avi",
        copied(PACKED_PAIRS_AVI, ".avi", change=with_chunks({1: b"\x7f"})),
    ),
    Kind(
        "MPEG-4, chunks of 1 byte called keyframes after the first frame",
        "one_byte_keys.avi",
        copied(PACKED_AVI, ".avi", change=with_chunks({1: b"\x7f", 2: b"\x7f"}, keys=True)),
    ),
    Kind(
        "MPEG-4, dropped frames",
        "mpeg4_dropped.avi",
        encoded(Picture("mpeg4", timestamps=[n * 3 for n in range(30)])),
    ),
    Kind(
        "Motion JPEG, dropped frames",
        "mjpeg_dropped.avi",
        encoded(Picture("mjpeg", pix_fmt="yuvj420p", timestamps=[n * 3 for n in range(30)])),
    ),
    Kind(
        "MPEG-4, each chunk called a keyframe",
        "mpeg4_all_keys.avi",
        patched(encoded(MPEG4), boxes.key_flags_of_avi(lambda number, flag: True)),
    ),
    Kind(
        "MPEG-4, no chunk called a keyframe",
        "mpeg4_no_keys.avi",
        patched(encoded(MPEG4), boxes.key_flags_of_avi(lambda number, flag: False)),
    ),
    Kind(
        "MPEG-4 without an index",
        "mpeg4_no_index.avi",
        patched(encoded(MPEG4), boxes.without_avi_index),
    ),
    Kind(
        "MPEG-4, half an index",
        "mpeg4_half_index.avi",
        patched(encoded(MPEG4), boxes.with_short_avi_index),
    ),
    Kind("MPEG-4 without times", "mpeg4.m4v", encoded(replace(MPEG4_B, tag=""), form="m4v")),
    Kind("MS MPEG-4 v3 (DivX 3)", "msmpeg4.avi", encoded(Picture("msmpeg4"))),
    Kind("WMV 2", "wmv2.wmv", encoded(Picture("wmv2"))),
    Kind("Sorenson H.263", "flv1.flv", encoded(Picture("flv"))),
    Kind("H.263", "h263.3gp", encoded(Picture("h263", height=96, width=128))),
    Kind("MPEG-1", "mpeg1.mpg", encoded(Picture("mpeg1video", b_frames=2))),
    Kind("MPEG-2, B-frames", "mpeg2.vob", encoded(MPEG2_B)),
    Kind("MPEG-2, B-frames", "mpeg2.wmv", encoded(MPEG2_B, form="asf")),
    Kind("MPEG-2, B-frames", "mpeg2.avi", encoded(MPEG2_B)),
    Kind("MPEG-2, B-frames", "mpeg2.mxf", encoded(MPEG2_B)),
    Kind("Motion JPEG", "mjpeg.mov", encoded(MJPEG)),
    Kind("Motion JPEG without a container", "mjpeg.mjpeg", encoded(MJPEG)),
    Kind("VP8", "vp8.webm", encoded(VP8)),
    Kind("VP8, frames that are not shown", "vp8_altref.webm", encoded(VP8_ALTREF)),
    Kind("VP8, frames that are not shown", "vp8_altref.ivf", encoded(VP8_ALTREF)),
    Kind("VP9, frames that are not shown", "vp9_altref.webm", encoded(VP9_ALTREF)),
    Kind(
        "VP9, frames that are not shown in packets of their own",
        "vp9_split.mkv",
        copied(encoded(VP9_ALTREF), ".webm", bitstream_filter="vp9_superframe_split"),
    ),
    Kind("AV1", "av1.mp4", encoded(AV1)),
    Kind("AV1", "av1.webm", encoded(AV1)),
    Kind("AV1", "av1.obu", encoded(AV1)),
    Kind(
        "VC-2 (Dirac)",
        "vc2.mkv",
        encoded(Picture("vc2", 8, pix_fmt="yuv422p", options={"b": "60M"})),
    ),
    Kind("8-bit palette", "palette.avi", encoded(Picture("rawvideo", 8, pix_fmt="pal8"))),
    Kind("8-bit palette", "palette.mov", encoded(Picture("rawvideo", 8, pix_fmt="pal8"))),
    Kind("8-bit palette", "palette.gif", encoded(Picture("gif", pix_fmt="rgb8"))),
    Kind("alpha", "alpha.mov", encoded(Picture("qtrle", 8, pix_fmt="argb"))),
    Kind("gray", "gray.avi", encoded(Picture("ffv1", pix_fmt="gray"))),
    Kind("4:4:4", "chroma_444.mkv", encoded(Picture("ffv1", 8, pix_fmt="yuv444p"))),
    Kind("10 bits", "ten_bits.mkv", encoded(Picture("ffv1", 8, pix_fmt="yuv420p10le"))),
    Kind("odd size", "odd_size.webm", encoded(Picture("libvpx-vp9", 12, height=63, width=95))),
    Kind(
        "varying rate",
        "varying.mkv",
        encoded(Picture("mpeg4", timestamps=[n + 3 * (n // 7) for n in range(30)])),
    ),
    Kind(
        "varying rate, a last frame of 6.5 s",
        "slides.mp4",
        encoded(Picture("libx264", 4, rate=2, gop=2, timestamps=[0, 2, 4, 5]), change=lasting(13)),
        duration_seconds=9.0,
    ),
    Kind(
        "one frame a minute",
        "minutes.mkv",
        encoded(Picture("libx264", 8, rate=Fraction(1, 60))),
    ),
    Kind(
        "60000/1001 frames a second",
        "ntsc.mp4",
        encoded(Picture("libx264", rate=Fraction(60000, 1001), b_frames=2)),
    ),
    Kind("times that start late", "late.mkv", copied(H264_MP4, ".mp4", change=shifted(900_000))),
    Kind("an edit list", "edit_list.mp4", copied(H264_MP4, ".mp4", change=cut_to_frame(17))),
    Kind(
        "an edit list over open groups",
        "edit_list_open.mov",
        copied(encoded(H264_OPEN), ".mp4", change=cut_to_frame(17)),
    ),
    Kind(
        "times of 33 bits that start again from 0",
        "wrapped.ts",
        copied(
            H264_MP4,
            ".mp4",
            change=shifted(2**33 - 50_000),
            bitstream_filter="h264_mp4toannexb",
            mux={"mpegts_copyts": "1"},
        ),
    ),
    Kind(
        "two transmissions, joined",
        "joined.ts",
        joined(encoded(H264), encoded(Picture("libx264", b_frames=3, first_number=40))),
    ),
    Kind(
        "a size that changes",
        "two_sizes.ts",
        joined(encoded(H264_PLAIN), encoded(Picture("libx264", height=96, width=128))),
        refused="frame size changes",
    ),
    Kind(
        "a frame with the time of another",
        "same_time.mkv",
        copied(encoded(MPEG4), ".mkv", change=same_time_twice),
    ),
    Kind("times that start again", "joined.mkv", joined(encoded(MPEG4), encoded(MPEG4_LATER))),
    Kind(
        "the first frame not called a keyframe",
        "first_not_key.mp4",
        patched(encoded(H264_PLAIN), boxes.without_first_sync_sample),
    ),
    Kind(
        "each frame called a keyframe",
        "all_keys.mp4",
        patched(H264_MP4, boxes.all_sync_samples),
    ),
    Kind("each frame called a keyframe", "all_keys.mkv", copied(H264_MP4, ".mp4", change=all_keys)),
    Kind(
        "no frame called a keyframe",
        "no_keys.mp4",
        patched(H264_MP4, boxes.without_sync_samples),
    ),
    Kind(
        "only the first frame called a keyframe",
        "no_keys.mkv",
        copied(H264_MP4, ".mp4", change=without_keys),
    ),
    Kind(
        "turned by 90 degrees",
        "turned.mp4",
        patched(H264_MP4, boxes.display_matrix(0, 1, -1, 0)),
    ),
    Kind("mirrored", "mirrored.mov", patched(H264_MP4, boxes.display_matrix(-1, 0, 0, 1))),
    Kind("sound longer than the video", "long_sound.mp4", encoded(H264, audio_seconds=3)),
    Kind(
        "two video streams",
        "two_streams.mkv",
        encoded(H264, Picture("libx264", height=96, width=128, first_number=50)),
    ),
    Kind("a cover picture", "cover.mp4", with_cover),
    Kind(
        "live: no length, no index",
        "live.webm",
        encoded(VP8, mux={"live": "1"}),
    ),
    # What containers say that is not so.
    Kind(
        "MPEG-4, each frame called a keyframe",
        "mpeg4_keys.mp4",
        patched(MPEG4_MP4, boxes.all_sync_samples),
    ),
    Kind(
        "MPEG-4, each frame called a keyframe",
        "mpeg4_keys.mkv",
        copied(MPEG4_MP4, ".mp4", change=all_keys),
    ),
    Kind(
        "MPEG-4 with B-frames, each frame called a keyframe",
        "mpeg4_b_keys.mkv",
        copied(MPEG4_B_MP4, ".mp4", change=all_keys),
    ),
    Kind(
        "MPEG-2, each frame called a keyframe",
        "mpeg2_keys.mkv",
        copied(encoded(MPEG2_B), ".mkv", change=all_keys),
    ),
    Kind(
        "VP8, each frame called a keyframe",
        "vp8_keys.webm",
        copied(encoded(VP8), ".webm", change=all_keys),
    ),
    Kind(
        "VP9, each frame called a keyframe",
        "vp9_keys.webm",
        copied(encoded(VP9), ".webm", change=all_keys),
    ),
    Kind(
        "H.265, each frame called a keyframe",
        "hevc_keys.mkv",
        copied(encoded(HEVC), ".mkv", change=all_keys),
    ),
    Kind(
        "FLV, each frame called a keyframe",
        "flv1_keys.flv",
        copied(encoded(Picture("flv")), ".flv", change=all_keys),
    ),
    Kind(
        "MPEG-4, others than the keyframes called so",
        "mpeg4_other_keys.mp4",
        patched(MPEG4_MP4, boxes.sync_samples((1, 13, 25))),
    ),
    Kind(
        "MPEG-4, no frame called a keyframe",
        "mpeg4_none.mp4",
        patched(MPEG4_MP4, boxes.without_sync_samples),
    ),
    Kind(
        "MPEG-4, the first frame not called a keyframe",
        "mpeg4_first.mp4",
        patched(MPEG4_MP4, boxes.without_first_sync_sample),
    ),
    Kind(
        "H.264, others than the keyframes called so",
        "h264_other_keys.mp4",
        patched(H264_PLAIN_MP4, boxes.sync_samples((1, 13, 25))),
    ),
    Kind(
        "VP9, others than the keyframes called so",
        "vp9_other_keys.mp4",
        patched(encoded(replace(VP9, gop=10)), boxes.sync_samples((1, 13, 25))),
    ),
    Kind(
        "H.264 with B-frames, only times of decoding",
        "no_times.mp4",
        patched(H264_MP4, boxes.without_composition_times),
    ),
    Kind(
        "MPEG-4 with B-frames, only times of decoding",
        "mpeg4_no_times.mp4",
        patched(MPEG4_B_MP4, boxes.without_composition_times),
    ),
    Kind(
        "an edit list of two parts",
        "two_parts.mp4",
        patched(H264_MP4, boxes.edit_list((320, 1024), (320, 10240))),
    ),
    Kind(
        "an edit list that shows a part twice",
        "part_twice.mp4",
        patched(H264_MP4, boxes.edit_list((320, 1024), (320, 1024))),
    ),
    Kind(
        "an edit list with a pause",
        "pause.mp4",
        patched(H264_MP4, boxes.edit_list((320, 1024), (500, -1), (320, 6144))),
    ),
    Kind(
        "an edit list that starts with a pause",
        "late_edit.mp4",
        patched(H264_MP4, boxes.edit_list((500, -1), (1200, 1024))),
    ),
    Kind(
        "an edit list that leaves out the end",
        "early_end.mp4",
        patched(H264_MP4, boxes.edit_list((700, 1024))),
    ),
    Kind(
        "an edit list of MPEG-4 with B-frames",
        "edit_mpeg4.mp4",
        copied(MPEG4_B_MP4, ".mp4", change=cut_to_frame(17)),
    ),
    Kind("2000 frames a second, times in ms", "fast.mkv", encoded(replace(H264, rate=2000))),
    Kind(
        "Motion JPEG without tables",
        "no_tables.avi",
        copied(encoded(MJPEG), ".avi", change=without_tables),
    ),
    Kind("16x16 pixels", "tiny.mkv", encoded(Picture("ffv1", 8, height=16, width=16))),
]
