"""Kinds of files made by the ffmpeg program: H.264 and H.265."""

from __future__ import annotations

from tests.decoding.kind import Kind
from tests.decoding.making import program
from tests.decoding.program_options import FIELDS, H264, H264_PLAIN, HEVC, IN

KINDS = [
    # H.264 and H.265
    Kind("H.264 with B-frames", "h264.mov", program(f"{IN} {H264}")),
    Kind("H.264 with B-frames", "h264.3gp", program(f"{IN} {H264}")),
    Kind("H.264 with B-frames", "h264.f4v", program(f"{IN} {H264} -f f4v")),
    Kind("H.264 with B-frames", "h264.nut", program(f"{IN} {H264}")),
    Kind("H.264 with B-frames", "h264.mxf", program(f"{IN} {H264} -pix_fmt yuv420p")),
    Kind("H.264 with B-frames", "h264.m2ts", program(f"{IN} {H264}")),
    Kind("H.264 with B-frames", "h264.vob", program(f"{IN} {H264} -f vob")),
    Kind("H.264 with B-frames", "h264.asf", program(f"{IN} {H264}")),
    Kind(
        "H.264 with B-frames, with sound",
        "h264_sound.avi",
        program(f"{IN} -f lavfi -i sine=d=1.2 {H264} -c:a mp3"),
    ),
    Kind(
        "H.264 with B-frames, with sound",
        "h264_sound.ts",
        program(f"{IN} -f lavfi -i sine=d=1.2 {H264} -c:a mp2"),
    ),
    Kind(
        "H.264 with B-frames, with sound",
        "h264_sound.mp4",
        program(f"{IN} -f lavfi -i sine=d=1.2 {H264}"),
    ),
    Kind(
        "H.264, sound that starts later",
        "late_sound.mp4",
        program(f"{IN} -itsoffset 0.5 -f lavfi -i sine=d=2 {H264}"),
    ),
    Kind(
        "H.264, video that starts later than sound",
        "late_video.mp4",
        program(f"-itsoffset 0.7 {IN} -f lavfi -i sine=d=2 {H264}"),
    ),
    Kind(
        "H.264, video that starts later than sound",
        "late_video.mkv",
        program(f"-itsoffset 0.7 {IN} -f lavfi -i sine=d=2 {H264}"),
    ),
    Kind("H.264, no B-frames", "h264_plain.avi", program(f"{IN} {H264_PLAIN}")),
    Kind(
        "H.264, no B-frames, copied from a raw stream",
        "h264_from_raw.mp4",
        program(f"{IN} {H264_PLAIN} raw.h264", "-i raw.h264 -c copy"),
    ),
    Kind(
        "H.264 with B-frames, copied from a raw stream",
        "h264_b_from_raw.avi",
        program(f"{IN} {H264} raw.h264", "-i raw.h264 -c copy"),
    ),
    Kind(
        "H.264 with B-frames, copied from AVI",
        "h264_from_avi.mp4",
        program(f"{IN} {H264} source.avi", "-i source.avi -c copy"),
    ),
    Kind(
        "H.264 with B-frames, copied from AVI",
        "h264_from_avi.mkv",
        program(f"{IN} {H264} source.avi", "-fflags +genpts -i source.avi -c copy"),
    ),
    Kind("H.264, open groups", "h264_open.mkv", program(f"{IN} {H264}:open-gop=1")),
    Kind("H.264, open groups", "h264_open.avi", program(f"{IN} {H264}:open-gop=1")),
    Kind("H.264, open groups", "h264_open.h264", program(f"{IN} {H264}:open-gop=1")),
    Kind(
        "H.264, intra refresh",
        "h264_refreshed.ts",
        program(f"{IN} {H264_PLAIN}:intra-refresh=1"),
    ),
    Kind(
        "H.264, intra refresh, with B-frames",
        "h264_refreshed_b.mkv",
        program(f"{IN} {H264}:intra-refresh=1"),
    ),
    Kind("H.264, several slices", "h264_slices.ts", program(f"{IN} {H264}:slices=4")),
    Kind("H.264, all keyframes", "h264_intra.mp4", program(f"{IN} {H264_PLAIN} -g 1")),
    Kind("H.264, lossless", "h264_lossless.mp4", program(f"{IN} {H264} -qp 0")),
    Kind(
        "H.264, RGB", "h264_rgb.mkv", program(f"{IN} -c:v libx264rgb -preset ultrafast -g 10 -bf 2")
    ),
    Kind("H.264, 10 bits", "h264_ten_bits.mp4", program(f"{IN} {H264} -pix_fmt yuv420p10le")),
    Kind("H.264, 4:2:2", "h264_422.mp4", program(f"{IN} {H264} -pix_fmt yuv422p")),
    Kind("H.264, 4:4:4", "h264_444.mp4", program(f"{IN} {H264} -pix_fmt yuv444p")),
    Kind("H.264, gray", "h264_gray.mp4", program(f"{IN} {H264} -pix_fmt gray")),
    Kind(
        "H.264, full range",
        "h264_full.mp4",
        program(f"{IN} {H264} -vf scale=out_range=full -color_range pc"),
    ),
    Kind(
        "H.264, BT.709",
        "h264_709.mp4",
        program(f"{IN} {H264} -vf scale=out_color_matrix=bt709 -colorspace bt709"),
    ),
    Kind(
        "H.264, odd size",
        "h264_odd.mp4",
        program(f"{IN} {H264} -vf scale=95:63:flags=neighbor -pix_fmt yuv444p"),
    ),
    Kind(
        "H.264, pixels that are not square",
        "h264_pixels.mp4",
        program(f"{IN} {H264} -vf setsar=16/11"),
    ),
    Kind(
        "H.264, fields (MBAFF), top first", "h264_mbaff.mp4", program(f"{IN} {H264}:tff=1 {FIELDS}")
    ),
    Kind(
        "H.264, fields (MBAFF), bottom first",
        "h264_mbaff.mkv",
        program(f"{IN} {H264}:bff=1 {FIELDS}"),
    ),
    Kind("H.264, fake fields", "h264_fake_fields.ts", program(f"{IN} {H264}:fake-interlaced=1")),
    Kind(
        "H.264, pictures flagged as lasting three fields",
        "h264_pulldown.ts",
        program(f"{IN} {H264_PLAIN}:pic-struct=1 -vf telecine,setfield=tff"),
    ),
    Kind(
        "H.264, times in SEI messages",
        "h264_sei.ts",
        program(
            f"{IN} {H264} -x264-params nal-hrd=vbr:vbv-maxrate=900:vbv-bufsize=900:b-adapt=0:aud=1"
        ),
    ),
    Kind("H.265, open groups", "hevc_program.mp4", program(f"{IN} {HEVC}")),
    Kind("H.265, open groups", "hevc.avi", program(f"{IN} {HEVC} -vtag HEVC")),
    Kind("H.265, open groups", "hevc.hevc", program(f"{IN} {HEVC}")),
    Kind("H.265, open groups", "hevc.nut", program(f"{IN} {HEVC}")),
    Kind("H.265, 10 bits", "hevc_ten_bits.mkv", program(f"{IN} {HEVC} -pix_fmt yuv420p10le")),
    Kind("H.265, intra refresh", "hevc_refreshed.mp4", program(f"{IN} {HEVC}:intra-refresh=1")),
    Kind(
        "H.265, a long group of temporal layers",
        "hevc_layers.mp4",
        program(f"{IN} {HEVC}:temporal-layers=2 -g 100"),
    ),
]
