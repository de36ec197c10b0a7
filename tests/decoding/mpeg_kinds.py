"""Kinds of files made by the ffmpeg program: MPEG-1, -2, -4 and their relatives."""

from __future__ import annotations

from tests.decoding.kind import Kind
from tests.decoding.making import program
from tests.decoding.program_options import CIF, FIELDS, IN, MPEG2_B, MPEG4_B, QCIF, XVID_B

KINDS = [
    # MPEG-4 part 2 and its relatives
    Kind("XviD, B-frames", "xvid.avi", program(f"{IN} {XVID_B}")),
    Kind(
        "XviD, B-frames, stored in order",
        "xvid_stored.avi",
        program(f"{IN} {XVID_B} delayed.avi", "-i delayed.avi -c copy -bsf:v setts=ts=N"),
    ),
    Kind(
        "XviD, B-frames, stored in order, copied",
        "xvid_stored.mp4",
        program(
            f"{IN} {XVID_B} delayed.avi",
            "-i delayed.avi -c copy -bsf:v setts=ts=N packed.avi",
            "-i packed.avi -c copy",
        ),
    ),
    Kind(
        "XviD, B-frames, stored in order, copied",
        "xvid_stored.mkv",
        program(
            f"{IN} {XVID_B} delayed.avi",
            "-i delayed.avi -c copy -bsf:v setts=ts=N packed.avi",
            "-fflags +genpts -i packed.avi -c copy",
        ),
    ),
    Kind("XviD, B-frames", "xvid.mp4", program(f"{IN} {XVID_B}")),
    Kind("XviD, B-frames", "xvid.mkv", program(f"{IN} {XVID_B}")),
    Kind("XviD, raw", "xvid.m4v", program(f"{IN} {XVID_B} -f m4v")),
    Kind("MPEG-4, B-frames", "mpeg4.mp4", program(f"{IN} {MPEG4_B}")),
    Kind("MPEG-4, B-frames", "mpeg4.mkv", program(f"{IN} {MPEG4_B}")),
    Kind("MPEG-4, B-frames", "mpeg4.ts", program(f"{IN} {MPEG4_B}")),
    Kind("MPEG-4, B-frames", "mpeg4.nut", program(f"{IN} {MPEG4_B}")),
    Kind("MPEG-4, B-frames", "mpeg4.wmv", program(f"{IN} {MPEG4_B} -f asf")),
    Kind("MPEG-4, fields", "mpeg4_fields.avi", program(f"{IN} {MPEG4_B} {FIELDS}")),
    Kind(
        "MPEG-4, quarter pixels, global motion",
        "mpeg4_asp.avi",
        program(f"{IN} -c:v libxvid -bf 2 -g 10 -flags +qpel -gmc 1"),
    ),
    Kind(
        "MPEG-4, 5 frames a second stored as 25",
        "mpeg4_empty.avi",
        program(f"{IN} -vf setpts=5*PTS -r 25 -fps_mode passthrough -c:v mpeg4 -q:v 4"),
    ),
    Kind(
        "MPEG-4, each frame a keyframe", "mpeg4_intra.avi", program(f"{IN} -c:v mpeg4 -g 1 -q:v 4")
    ),
    Kind(
        "MPEG-4, one keyframe",
        "mpeg4_long.avi",
        program(f"{IN} -c:v mpeg4 -g 300 -sc_threshold 1000000000 -q:v 4"),
    ),
    Kind("MS MPEG-4 v2", "msmpeg4v2.avi", program(f"{IN} -c:v msmpeg4v2 -q:v 4")),
    Kind("MS MPEG-4 v3", "msmpeg4.asf", program(f"{IN} -c:v msmpeg4 -q:v 4")),
    Kind("WMV 1", "wmv1.wmv", program(f"{IN} -c:v wmv1 -q:v 4")),
    Kind("WMV 2", "wmv2.avi", program(f"{IN} -c:v wmv2 -q:v 4")),
    Kind("WMV 2", "wmv2.mkv", program(f"{IN} -c:v wmv2 -q:v 4")),
    Kind("Sorenson H.263", "flv1.avi", program(f"{IN} -c:v flv -q:v 4")),
    Kind("H.263", "h263.avi", program(f"{IN} -c:v h263 {CIF} -q:v 4")),
    Kind("H.263+", "h263p.avi", program(f"{IN} -c:v h263p {CIF} -q:v 4")),
    Kind("H.263", "h263.mov", program(f"{IN} -c:v h263 {QCIF} -q:v 4")),
    Kind("H.261", "h261.avi", program(f"{IN} -c:v h261 {QCIF} -q:v 4")),
    Kind("RealVideo 1", "rv10.rm", program(f"{IN} -c:v rv10 -s 128x96 -q:v 4")),
    Kind("RealVideo 2", "rv20.rm", program(f"{IN} -c:v rv20 -s 128x96 -q:v 4")),
    # MPEG-1 and -2
    Kind(
        "MPEG-1, B-frames", "mpeg1_program.mpg", program(f"{IN} -c:v mpeg1video -bf 2 -g 10 -q:v 4")
    ),
    Kind("MPEG-1, B-frames", "mpeg1.avi", program(f"{IN} -c:v mpeg1video -bf 2 -g 10 -q:v 4")),
    Kind(
        "MPEG-1, without a container",
        "mpeg1.m1v",
        program(f"{IN} -c:v mpeg1video -bf 2 -g 10 -q:v 4"),
    ),
    Kind("MPEG-2, B-frames", "mpeg2.ts", program(f"{IN} {MPEG2_B}")),
    Kind("MPEG-2, B-frames", "mpeg2.mpg", program(f"{IN} {MPEG2_B} -f svcd")),
    Kind("MPEG-2, B-frames", "mpeg2.mkv", program(f"{IN} {MPEG2_B}")),
    Kind("MPEG-2, B-frames", "mpeg2.mp4", program(f"{IN} {MPEG2_B}")),
    Kind("MPEG-2, B-frames", "mpeg2.mov", program(f"{IN} {MPEG2_B}")),
    Kind("MPEG-2, B-frames", "mpeg2.nut", program(f"{IN} {MPEG2_B}")),
    Kind("MPEG-2, without a container", "mpeg2.m2v", program(f"{IN} {MPEG2_B}")),
    Kind(
        "MPEG-2, fields, top first",
        "mpeg2_tff.vob",
        program(f"{IN} {MPEG2_B} {FIELDS} -top 1 -f vob"),
    ),
    Kind(
        "MPEG-2, fields, bottom first", "mpeg2_bff.ts", program(f"{IN} {MPEG2_B} {FIELDS} -top 0")
    ),
    Kind("MPEG-2, 4:2:2", "mpeg2_422.mxf", program(f"{IN} {MPEG2_B} -pix_fmt yuv422p")),
    Kind(
        "MPEG-2, closed groups",
        "mpeg2_closed.ts",
        program(f"{IN} {MPEG2_B} -flags +cgop -sc_threshold 1000000000"),
    ),
    Kind(
        "MPEG-2, with sound",
        "mpeg2_sound.vob",
        program(f"{IN} -f lavfi -i sine=d=1.2 {MPEG2_B} -c:a mp2 -f vob"),
    ),
]
