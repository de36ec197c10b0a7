"""Core kinds whose containers state wrong facts, or hide frames by edit lists."""

from __future__ import annotations

from dataclasses import replace

from tests.decoding import boxes
from tests.decoding.core_pictures import (
    H264,
    H264_MP4,
    H264_PLAIN_MP4,
    HEVC,
    MJPEG,
    MPEG2_B,
    MPEG4_B_MP4,
    MPEG4_MP4,
    VP8,
    VP9,
    all_keys,
    cut_to_frame,
    without_tables,
)
from tests.decoding.kind import Kind
from tests.decoding.making import (
    Picture,
    copied,
    encoded,
    patched,
)

KINDS = [
    Kind(
        "MPEG-4, each frame flagged as a keyframe",
        "mpeg4_keys.mp4",
        patched(MPEG4_MP4, boxes.all_sync_samples),
    ),
    Kind(
        "MPEG-4, each frame flagged as a keyframe",
        "mpeg4_keys.mkv",
        copied(MPEG4_MP4, ".mp4", change=all_keys),
    ),
    Kind(
        "MPEG-4 with B-frames, each frame flagged as a keyframe",
        "mpeg4_b_keys.mkv",
        copied(MPEG4_B_MP4, ".mp4", change=all_keys),
    ),
    Kind(
        "MPEG-2, each frame flagged as a keyframe",
        "mpeg2_keys.mkv",
        copied(encoded(MPEG2_B), ".mkv", change=all_keys),
    ),
    Kind(
        "VP8, each frame flagged as a keyframe",
        "vp8_keys.webm",
        copied(encoded(VP8), ".webm", change=all_keys),
    ),
    Kind(
        "VP9, each frame flagged as a keyframe",
        "vp9_keys.webm",
        copied(encoded(VP9), ".webm", change=all_keys),
    ),
    Kind(
        "H.265, each frame flagged as a keyframe",
        "hevc_keys.mkv",
        copied(encoded(HEVC), ".mkv", change=all_keys),
    ),
    Kind(
        "FLV, each frame flagged as a keyframe",
        "flv1_keys.flv",
        copied(encoded(Picture("flv")), ".flv", change=all_keys),
    ),
    Kind(
        "MPEG-4, keyframe flags on the wrong frames",
        "mpeg4_other_keys.mp4",
        patched(MPEG4_MP4, boxes.sync_samples((1, 13, 25))),
    ),
    Kind(
        "MPEG-4, no frame flagged as a keyframe",
        "mpeg4_none.mp4",
        patched(MPEG4_MP4, boxes.without_sync_samples),
    ),
    Kind(
        "MPEG-4, the first frame not flagged as a keyframe",
        "mpeg4_first.mp4",
        patched(MPEG4_MP4, boxes.without_first_sync_sample),
    ),
    Kind(
        "H.264, keyframe flags on the wrong frames",
        "h264_other_keys.mp4",
        patched(H264_PLAIN_MP4, boxes.sync_samples((1, 13, 25))),
    ),
    Kind(
        "VP9, keyframe flags on the wrong frames",
        "vp9_other_keys.mp4",
        patched(encoded(replace(VP9, gop=10)), boxes.sync_samples((1, 13, 25))),
    ),
    Kind(
        "H.264 with B-frames, only decoding times",
        "no_times.mp4",
        patched(H264_MP4, boxes.without_composition_times),
    ),
    Kind(
        "MPEG-4 with B-frames, only decoding times",
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
