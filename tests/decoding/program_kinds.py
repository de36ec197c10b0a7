"""Kinds of files that are made by the ffmpeg program: older muxers, other encoders, its filters."""

from __future__ import annotations

from pathlib import Path

from tests.decoding import boxes
from tests.decoding.kind import Kind
from tests.decoding.making import Make, joined, patched, program

IN = "-i numbers.mkv"
LATER, LARGER = "-i later.mkv", "-i larger.mkv"

H264 = "-c:v libx264 -preset ultrafast -g 10 -bf 3 -x264-params b-adapt=0:scenecut=0"
H264_PLAIN = "-c:v libx264 -preset ultrafast -g 10 -bf 0 -x264-params scenecut=0"
HEVC = "-c:v libx265 -preset ultrafast -g 10 -x265-params log-level=none:bframes=3:pools=1"
VP8 = "-c:v libvpx -deadline good -cpu-used 4 -g 100 -b:v 200k"
VP9 = "-c:v libvpx-vp9 -deadline good -cpu-used 4 -g 100 -b:v 200k"
ALTREF = "-auto-alt-ref 1 -lag-in-frames 16"
AV1 = "-c:v libaom-av1 -cpu-used 8 -usage realtime -g 10"
XVID_B = "-c:v libxvid -bf 2 -g 10"
MPEG4_B = "-c:v mpeg4 -bf 2 -g 10 -q:v 4"
MPEG2_B = "-c:v mpeg2video -bf 2 -g 10 -q:v 4"
FIELDS = "-flags +ilme+ildct"
DROPPED = "-vf select='not(mod(n,3))+gt(n,20)' -fps_mode vfr"
STILL = "-vf loop=loop=4:size=1:start=9,setpts=N/25/TB"
TWICE = "-filter_complex [0:v][1:v]concat"
FRAGMENTED = "-movflags +frag_keyframe+empty_moov"
CIF = "-s 128x96"
QCIF = "-s 176x144"


def two_passes(arguments: str, file: str = "") -> tuple[str, str]:
    """Both commands of an encoder that looks at the video once before."""
    command = f"{IN} {arguments} -pass"
    return f"{command} 1 -f null /dev/null", f"{command} 2 {file}"


def _listed(file: str) -> tuple[str, Make]:
    """Two H.264 files one after the other, stored by the program's ``concat`` reader."""
    suffix = file.rpartition(".")[2]
    commands = (f"{IN} {H264} one.{suffix}", f"{LATER} {H264} two.{suffix}")

    def make(path: Path) -> None:
        path.with_name("list.txt").write_text(f"file one.{suffix}\nfile two.{suffix}\n")
        program(*commands, "-f concat -i list.txt -c copy")(path)

    return file, make


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
        "H.264, refreshed bit by bit",
        "h264_refreshed.ts",
        program(f"{IN} {H264_PLAIN}:intra-refresh=1"),
    ),
    Kind(
        "H.264, refreshed bit by bit, with B-frames",
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
        "H.264, pictures said to last three fields",
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
    Kind(
        "H.265, refreshed bit by bit", "hevc_refreshed.mp4", program(f"{IN} {HEVC}:intra-refresh=1")
    ),
    Kind(
        "H.265, a long group of temporal layers",
        "hevc_layers.mp4",
        program(f"{IN} {HEVC}:temporal-layers=2 -g 100"),
    ),
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
    # VP8, VP9, AV1, Theora
    Kind(
        "VP8, frames that are not shown, two passes",
        "vp8_program.webm",
        program(*two_passes(f"{VP8} {ALTREF} -arnr-maxframes 7")),
    ),
    Kind(
        "VP8, frames that are not shown, two passes",
        "vp8.avi",
        program(*two_passes(f"{VP8} {ALTREF} -arnr-maxframes 7")),
    ),
    Kind("VP8", "vp8.ogg", program(f"{IN} {VP8}")),
    Kind(
        "VP8 with alpha",
        "vp8_alpha.webm",
        program(f"{IN} -vf format=yuva420p {VP8} -auto-alt-ref 0"),
    ),
    Kind(
        "VP9, frames that are not shown, two passes",
        "vp9.webm",
        program(*two_passes(f"{VP9} {ALTREF}")),
    ),
    Kind("VP9, frames that are not shown", "vp9.mp4", program(f"{IN} {VP9} {ALTREF}")),
    Kind("VP9, frames that are not shown", "vp9.ivf", program(f"{IN} {VP9} {ALTREF}")),
    Kind(
        "VP9, frames that are not shown, in packets of their own",
        "vp9_split.mp4",
        program(
            *two_passes(f"{VP9} {ALTREF}", "whole.webm"),
            "-i whole.webm -c copy -bsf:v vp9_superframe_split",
        ),
    ),
    Kind(
        "VP9, split and put into order",
        "vp9_reordered.mkv",
        program(
            *two_passes(f"{VP9} {ALTREF}", "whole.webm"),
            "-i whole.webm -c copy -bsf:v vp9_superframe_split,vp9_raw_reorder,vp9_superframe",
        ),
    ),
    Kind("VP9, 10 bits, 4:4:4", "vp9_ten_bits.webm", program(f"{IN} {VP9} -pix_fmt yuv444p10le")),
    Kind(
        "VP9, lossless, odd size",
        "vp9_odd.mkv",
        program(f"{IN} {VP9} -lossless 1 -vf scale=95:63:flags=neighbor"),
    ),
    Kind("AV1", "av1.mkv", program(f"{IN} {AV1}")),
    Kind("AV1", "av1.ivf", program(f"{IN} {AV1}")),
    Kind(
        "AV1, frames that are not shown",
        "av1_hidden.mp4",
        program(f"{IN} -c:v libaom-av1 -cpu-used 8 -g 30 -lag-in-frames 16 -b:v 200k"),
    ),
    Kind(
        "AV1, frames that are not shown",
        "av1_hidden.obu",
        program(f"{IN} -c:v libaom-av1 -cpu-used 8 -g 30 -lag-in-frames 16 -b:v 200k"),
    ),
    Kind(
        "AV1 in packets of one frame",
        "av1_split.mkv",
        program(
            f"{IN} -c:v libaom-av1 -cpu-used 8 -g 30 -lag-in-frames 16 -b:v 200k whole.mp4",
            "-i whole.mp4 -c copy -bsf:v av1_frame_split",
        ),
    ),
    Kind(
        "AV1, open groups (SVT)", "av1_svt.webm", program(f"{IN} -c:v libsvtav1 -preset 12 -g 10")
    ),
    Kind("Theora", "theora.ogv", program(f"{IN} -c:v libtheora -g 10")),
    Kind("Theora", "theora.mkv", program(f"{IN} -c:v libtheora -g 10")),
    Kind(
        "Theora, dropped frames",
        "theora_dropped.ogv",
        program(f"{IN} {STILL} -c:v libtheora -g 10"),
    ),
    # For editing, lossless, of the past
    Kind("Motion JPEG", "mjpeg.avi", program(f"{IN} -c:v mjpeg -q:v 4")),
    Kind("Motion JPEG", "mjpeg.mkv", program(f"{IN} -c:v mjpeg -q:v 4")),
    Kind("Motion JPEG", "mjpeg.mp4", program(f"{IN} -c:v mjpeg -q:v 4")),
    Kind(
        "Motion JPEG, 5 frames a second stored as 25",
        "mjpeg_empty.avi",
        program(f"{IN} -vf setpts=5*PTS -r 25 -fps_mode passthrough -c:v mjpeg -q:v 4"),
    ),
    Kind("JPEG 2000", "jpeg2000.mov", program(f"{IN} -c:v jpeg2000 -frames:v 8")),
    Kind("ProRes", "prores.mov", program(f"{IN} -c:v prores_ks -frames:v 8")),
    Kind(
        "ProRes 4444 with alpha",
        "prores_alpha.mov",
        program(f"{IN} -c:v prores_ks -pix_fmt yuva444p10le -frames:v 8"),
    ),
    Kind(
        "DNxHR",
        "dnxhr.mov",
        program(f"{IN} -c:v dnxhd -profile:v dnxhr_sq -pix_fmt yuv422p -s 256x128 -frames:v 8"),
    ),
    Kind("CineForm", "cfhd.mov", program(f"{IN} -c:v cfhd -frames:v 8")),
    Kind(
        "DV, fields", "dv.dv", program(f"{IN} -c:v dvvideo -pix_fmt yuv420p -s 720x576 -frames:v 6")
    ),
    Kind(
        "DV, fields",
        "dv.avi",
        program(f"{IN} -c:v dvvideo -pix_fmt yuv420p -s 720x576 -frames:v 6"),
    ),
    Kind(
        "DV, fields",
        "dv.mov",
        program(f"{IN} -c:v dvvideo -pix_fmt yuv411p -s 720x480 -r 30000/1001 -frames:v 6"),
    ),
    Kind("FFV1", "ffv1.avi", program(f"{IN} -c:v ffv1 -frames:v 10")),
    Kind(
        "FFV1, groups of pictures",
        "ffv1_groups.mkv",
        program(f"{IN} -c:v ffv1 -level 1 -g 10 -coder 1 -context 1"),
    ),
    Kind(
        "FFV1, 16 bits of gray",
        "ffv1_gray16.mkv",
        program(f"{IN} -c:v ffv1 -pix_fmt gray16le -frames:v 10"),
    ),
    Kind(
        "FFV1 with alpha", "ffv1_alpha.mkv", program(f"{IN} -c:v ffv1 -pix_fmt bgra -frames:v 10")
    ),
    Kind("HuffYUV", "huffyuv.avi", program(f"{IN} -c:v huffyuv -pix_fmt yuv422p -frames:v 10")),
    Kind(
        "HuffYUV, RGB", "huffyuv_rgb.avi", program(f"{IN} -c:v huffyuv -pix_fmt rgb24 -frames:v 10")
    ),
    Kind("Ut Video", "utvideo.avi", program(f"{IN} -c:v utvideo -pix_fmt gbrp -frames:v 10")),
    Kind("MagicYUV", "magicyuv.avi", program(f"{IN} -c:v magicyuv -frames:v 10")),
    Kind("ZMBV (DOSBox)", "zmbv.avi", program(f"{IN} -c:v zmbv -pix_fmt bgr0")),
    Kind("ZMBV, 8-bit palette", "zmbv_palette.avi", program(f"{IN} -c:v zmbv -pix_fmt pal8")),
    Kind("uncompressed", "raw.avi", program(f"{IN} -c:v rawvideo -pix_fmt bgr24 -frames:v 8")),
    Kind(
        "uncompressed", "raw_yuv.avi", program(f"{IN} -c:v rawvideo -pix_fmt yuyv422 -frames:v 8")
    ),
    Kind(
        "uncompressed, 8-bit palette",
        "raw_palette.avi",
        program(f"{IN} -c:v rawvideo -pix_fmt pal8 -frames:v 8"),
    ),
    Kind(
        "uncompressed, 8-bit palette",
        "raw_palette.mov",
        program(f"{IN} -c:v rawvideo -pix_fmt pal8 -frames:v 8"),
    ),
    Kind(
        "uncompressed, 8-bit palette",
        "raw_palette.mkv",
        program(f"{IN} -c:v rawvideo -pix_fmt pal8 -frames:v 8 -allow_raw_vfw 1"),
    ),
    Kind(
        "uncompressed, 8-bit palette",
        "raw_palette.nut",
        program(f"{IN} -c:v rawvideo -pix_fmt pal8 -frames:v 8"),
    ),
    Kind(
        "uncompressed, gray",
        "raw_gray.avi",
        program(f"{IN} -c:v rawvideo -pix_fmt gray -frames:v 8"),
    ),
    Kind(
        "uncompressed, 15 bits",
        "raw_15_bits.avi",
        program(f"{IN} -c:v rawvideo -pix_fmt rgb555le -frames:v 8"),
    ),
    Kind(
        "uncompressed, black and white",
        "raw_bits.avi",
        program(f"{IN} -c:v rawvideo -pix_fmt monow -frames:v 8"),
    ),
    Kind("uncompressed (YUV4MPEG2)", "raw.y4m", program(f"{IN} -pix_fmt yuv420p -frames:v 8")),
    Kind("uncompressed, 10 bits", "v210.mov", program(f"{IN} -c:v v210 -frames:v 8")),
    Kind("QuickTime Animation", "qtrle.mov", program(f"{IN} -c:v qtrle -frames:v 10")),
    Kind(
        "QuickTime Animation, gray",
        "qtrle_gray.mov",
        program(f"{IN} -c:v qtrle -pix_fmt gray -frames:v 10"),
    ),
    Kind(
        "QuickTime Graphics, 8-bit palette",
        "smc.mov",
        program(f"{IN} -c:v smc -pix_fmt pal8 -frames:v 10"),
    ),
    Kind("PNG", "png.mov", program(f"{IN} -c:v png -frames:v 10")),
    Kind(
        "PNG, 8-bit palette",
        "png_palette.mov",
        program(f"{IN} -c:v png -pix_fmt pal8 -frames:v 10"),
    ),
    Kind("PNG with alpha", "png_alpha.mov", program(f"{IN} -c:v png -pix_fmt rgba -frames:v 10")),
    Kind("PNG", "png.avi", program(f"{IN} -c:v png -frames:v 10")),
    Kind("animated PNG", "animation.apng", program(f"{IN} -f apng -frames:v 10")),
    Kind("animated GIF", "animation.gif", program(f"{IN}")),
    Kind("animated GIF, varying rate", "varying.gif", program(f"{IN} {DROPPED}")),
    Kind(
        "animated GIF, only what changes",
        "changes.gif",
        program(f"{IN} -vf split[a][b];[a]palettegen[p];[b][p]paletteuse=diff_mode=rectangle"),
    ),
    Kind("Cinepak", "cinepak.avi", program(f"{IN} -c:v cinepak")),
    Kind("Cinepak", "cinepak.mov", program(f"{IN} -c:v cinepak")),
    Kind("Sorenson Video 1", "svq1.mov", program(f"{IN} -c:v svq1")),
    Kind("Snow", "snow.avi", program(f"{IN} -c:v snow -strict experimental -q:v 4")),
    Kind("VC-2 (Dirac)", "vc2.mov", program(f"{IN} -c:v vc2 -frames:v 8")),
    Kind("VC-2 (Dirac), raw", "vc2.drc", program(f"{IN} -c:v vc2 -frames:v 8")),
    Kind("Microsoft Video 1", "msvideo1.avi", program(f"{IN} -c:v msvideo1")),
    Kind("Flash screen video", "flashsv.flv", program(f"{IN} -c:v flashsv")),
    Kind("Flash screen video 2", "flashsv2.flv", program(f"{IN} -c:v flashsv2")),
    Kind("Id RoQ", "roq.roq", program(f"{IN} -c:v roqvideo -s 128x64 -r 30 -f roq")),
    Kind("ASUS V2", "asv2.avi", program(f"{IN} -c:v asv2")),
    Kind(
        "AMV",
        "amv.amv",
        program(
            f"{IN} -f lavfi -i sine=d=1.2:r=22050 -c:v amv -pix_fmt yuvj420p "
            "-c:a adpcm_ima_amv -ac 1 -block_size 882 -f amv"
        ),
    ),
    Kind("SWF", "flash.swf", program(f"{IN} -c:v flv -q:v 4")),
    Kind("GXF", "mpeg2.gxf", program(f"{IN} {MPEG2_B} -s 720x480 -r 30000/1001 -frames:v 8")),
    # Times, edit lists, cuts
    Kind("varying rate", "varying.mp4", program(f"{IN} {DROPPED} {H264}")),
    Kind("varying rate", "varying.webm", program(f"{IN} {DROPPED} {VP8}")),
    Kind("varying rate", "varying.flv", program(f"{IN} {DROPPED} -c:v flv -q:v 4")),
    Kind("varying rate", "varying.avi", program(f"{IN} {DROPPED} {MPEG4_B}")),
    Kind(
        "varying rate, H.264 with B-frames", "varying_h264.avi", program(f"{IN} {DROPPED} {H264}")
    ),
    Kind("varying rate", "varying.ts", program(f"{IN} {DROPPED} {H264}")),
    Kind("varying rate", "varying.wmv", program(f"{IN} {DROPPED} -c:v wmv2 -q:v 4")),
    Kind("a frame repeated five times", "repeated.mp4", program(f"{IN} {STILL} {H264}")),
    Kind("a frame repeated five times", "repeated.avi", program(f"{IN} {STILL} {MPEG4_B}")),
    Kind(
        "a last frame of 3 s",
        "last_long.mkv",
        program(f"{IN} {H264} -bsf:v setts=duration=if(eq(N\\,29)\\,3000\\,40)"),
    ),
    Kind(
        "negative times",
        "negative.mp4",
        program(f"{IN} {H264} -output_ts_offset -0.5 -avoid_negative_ts disabled"),
    ),
    Kind(
        "negative times",
        "negative.mkv",
        program(f"{IN} {H264} -output_ts_offset -0.5 -avoid_negative_ts disabled"),
    ),
    Kind(
        "times that start at five hours",
        "hours.mp4",
        program(f"{IN} {H264} -output_ts_offset 18000"),
    ),
    Kind(
        "times that start at five hours",
        "hours.mkv",
        program(f"{IN} {H264} -output_ts_offset 18000"),
    ),
    Kind(
        "times that start at five hours",
        "hours.ts",
        program(f"{IN} {H264} -output_ts_offset 18000"),
    ),
    Kind(
        "times that start at five hours",
        "hours.avi",
        program(f"{IN} {MPEG4_B} -output_ts_offset 2"),
    ),
    Kind(
        "times of 33 bits that start again from 0",
        "wrapped.mpg",
        program(f"{IN} {MPEG2_B} -output_ts_offset 95442.9 -f mpeg"),
    ),
    Kind(
        "times of 33 bits that start again from 0",
        "wrapped_program.ts",
        program(f"{IN} {MPEG2_B} -output_ts_offset 95441.9 -mpegts_copyts 1"),
    ),
    Kind("1000 frames a second", "fast.mp4", program(f"{IN} {H264} -vf setpts=PTS/40 -r 1000")),
    Kind(
        "60000/1001 frames a second",
        "ntsc.mkv",
        program(f"{IN} {H264} -vf setpts=N/(60000/1001)/TB -r 60000/1001"),
    ),
    Kind("one frame a minute", "minutes.mp4", program(f"{IN} {H264} -vf setpts=N*60/TB -r 1/60")),
    Kind(
        "one frame a minute",
        "minutes.avi",
        program(f"{IN} -c:v mpeg4 -q:v 4 -vf setpts=N*60/TB -r 1/60"),
    ),
    Kind(
        "an edit list",
        "cut.mp4",
        program(f"{IN} {H264} whole.mp4", "-ss 0.5 -i whole.mp4 -t 0.5 -c copy"),
    ),
    Kind(
        "an edit list",
        "cut.mov",
        program(f"{IN} {H264} whole.mov", "-ss 0.5 -i whole.mov -t 0.5 -c copy"),
    ),
    Kind(
        "an edit list, sound too",
        "cut_sound.mp4",
        program(
            f"{IN} -f lavfi -i sine=d=1.2 {H264} whole.mp4", "-ss 0.5 -i whole.mp4 -t 0.5 -c copy"
        ),
    ),
    Kind(
        "an edit list, open groups of H.265",
        "cut_hevc.mp4",
        program(f"{IN} {HEVC} whole.mp4", "-ss 0.5 -i whole.mp4 -t 0.5 -c copy"),
    ),
    Kind(
        "an edit list over open groups",
        "cut_open.mp4",
        program(f"{IN} {H264}:open-gop=1 whole.mp4", "-ss 0.5 -i whole.mp4 -t 0.5 -c copy"),
    ),
    Kind(
        "an edit list, MPEG-4 with B-frames",
        "cut_mpeg4.mp4",
        program(f"{IN} {MPEG4_B} whole.mp4", "-ss 0.5 -i whole.mp4 -t 0.5 -c copy"),
    ),
    Kind(
        "an edit list that starts after a pause",
        "pause_program.mp4",
        program(f"{IN} -f lavfi -i sine=d=2 -filter_complex [0:v]setpts=PTS+0.6/TB {H264}"),
    ),
    Kind(
        "cut between keyframes",
        "cut.ts",
        program(f"{IN} {H264} whole.ts", "-ss 0.57 -i whole.ts -c copy"),
    ),
    Kind(
        "cut between keyframes",
        "cut.mkv",
        program(f"{IN} {H264} whole.mkv", "-ss 0.57 -i whole.mkv -c copy"),
    ),
    Kind(
        "cut between keyframes",
        "cut.avi",
        program(f"{IN} {MPEG4_B} whole.avi", "-ss 0.57 -i whole.avi -c copy"),
    ),
    Kind(
        "cut between keyframes",
        "cut.mpg",
        program(f"{IN} {MPEG2_B} whole.mpg", "-ss 0.57 -i whole.mpg -c copy"),
    ),
    Kind(
        "cut between keyframes",
        "cut.flv",
        program(f"{IN} {H264} whole.flv", "-ss 0.57 -i whole.flv -c copy"),
    ),
    Kind(
        "cut within a group, keyframe missing",
        "cut_inside.ts",
        program(f"{IN} {H264} whole.ts", "-i whole.ts -c copy -copyinkf -ss 0.5"),
    ),
    Kind(
        "open groups, the beginning missing",
        "cut_open.ts",
        program(f"{IN} {H264}:open-gop=1 whole.ts", "-ss 0.57 -i whole.ts -c copy"),
    ),
    Kind(
        "open groups of H.265, the beginning missing",
        "cut_hevc.ts",
        program(f"{IN} {HEVC} whole.ts", "-ss 0.57 -i whole.ts -c copy"),
    ),
    Kind(
        "open groups, the beginning missing",
        "cut_open.mkv",
        program(f"{IN} {H264}:open-gop=1 whole.mkv", "-ss 0.57 -i whole.mkv -c copy"),
    ),
    Kind(
        "open groups, the beginning missing",
        "cut_mpeg2.mpg",
        program(f"{IN} {MPEG2_B} whole.mpg", "-ss 0.57 -i whole.mpg -c copy"),
    ),
    Kind(
        "packets lost on the way",
        "lost.mkv",
        program(
            f"{IN} {H264_PLAIN} whole.mkv", "-i whole.mkv -c copy -bsf:v noise=drop=eq(n\\,19)"
        ),
    ),
    # Containers
    Kind("in fragments", "fragments.mp4", program(f"{IN} {H264} {FRAGMENTED}")),
    Kind(
        "in fragments, with sound",
        "fragments_sound.mp4",
        program(f"{IN} -f lavfi -i sine=d=1.2 {H264} {FRAGMENTED}"),
    ),
    Kind(
        "in fragments of one frame each",
        "fragments_frames.mp4",
        program(f"{IN} {H264} -movflags +frag_every_frame+empty_moov"),
    ),
    Kind(
        "in fragments, DASH",
        "dash.mp4",
        program(f"{IN} {H264} -movflags +dash+empty_moov+delay_moov"),
    ),
    Kind(
        "in fragments, without an edit list",
        "fragments_shift.mp4",
        program(f"{IN} {H264} -movflags +frag_keyframe+empty_moov+negative_cts_offsets"),
    ),
    Kind("without an edit list", "no_edit.mp4", program(f"{IN} {H264} -use_editlist 0")),
    Kind("header at the front", "faststart.mp4", program(f"{IN} {H264} -movflags +faststart")),
    Kind("live: no length, no index", "live.mkv", program(f"{IN} {H264} -live 1")),
    Kind("live: no length, no index", "live_program.webm", program(f"{IN} {VP8} -live 1")),
    Kind(
        "to a pipe: no length, no index",
        "piped.mkv",
        program(f"{IN} {H264} -f matroska -seekable 0"),
    ),
    Kind("index at the front", "cues.mkv", program(f"{IN} {H264} -reserve_index_space 4096")),
    Kind("clusters of one frame", "clusters.mkv", program(f"{IN} {H264} -cluster_time_limit 1")),
    Kind("two streams", "two.mp4", program(f"{IN} {LARGER} -map 0 -map 1 {H264}")),
    Kind(
        "two streams, the second the default",
        "second.mkv",
        program(f"{IN} {LARGER} -map 0 -map 1 {H264} -disposition:0 0 -disposition:1 default"),
    ),
    Kind("two streams", "two.avi", program(f"{IN} {LARGER} -map 0 -map 1 {MPEG4_B}")),
    Kind("two streams", "two.ts", program(f"{IN} {LARGER} -map 0 -map 1 {H264}")),
    Kind(
        "a cover picture",
        "cover.mkv",
        program(
            f"{IN} {H264} film.mkv",
            f"{LARGER} -frames:v 1 cover.png",
            "-i film.mkv -c copy -attach cover.png -metadata:s:t mimetype=image/png",
        ),
    ),
    Kind(
        "a cover picture",
        "cover.m4v",
        program(
            f"{IN} {H264} film.mp4",
            f"{LARGER} -frames:v 1 cover.png",
            "-i film.mp4 -i cover.png -map 0 -map 1 -c copy -disposition:1 attached_pic -f mp4",
        ),
    ),
    Kind(
        "subtitles beside",
        "subtitles.mkv",
        program(
            f"{IN} -f lavfi -i sine=d=1.2 {H264} film.mkv",
            "-i film.mkv -c copy -metadata title=film",
        ),
    ),
    Kind(
        "turned by 180 degrees",
        "turned_180.mp4",
        program(f"{IN} {H264} film.mp4", "-i film.mp4 -c copy -metadata:s:v rotate=180"),
    ),
    Kind(
        "turned by 270 degrees",
        "turned_270.mov",
        program(f"{IN} {H264} film.mov", "-i film.mov -c copy -metadata:s:v rotate=270"),
    ),
    Kind(
        "sound longer than the video",
        "long_sound.mkv",
        program(f"{IN} -f lavfi -i sine=d=4 {H264}"),
    ),
    Kind(
        "sound longer than the video",
        "long_sound.avi",
        program(f"{IN} -f lavfi -i sine=d=4 {MPEG4_B} -c:a mp3"),
    ),
    Kind(
        "sound longer than the video",
        "long_sound.flv",
        program(f"{IN} -f lavfi -i sine=d=4 {H264} -c:a mp3 -ar 22050"),
    ),
    Kind(
        "sound longer than the video",
        "long_sound.wmv",
        program(f"{IN} -f lavfi -i sine=d=4 -c:v wmv2 -q:v 4 -c:a wmav2"),
    ),
    Kind(
        "sound longer than the video",
        "long_sound.mpg",
        program(f"{IN} -f lavfi -i sine=d=4 {MPEG2_B} -c:a mp2"),
    ),
    Kind("one frame", "one.mp4", program(f"{IN} -frames:v 1 {H264}")),
    Kind("one frame", "one.avi", program(f"{IN} -frames:v 1 {MPEG4_B}")),
    Kind("one frame", "one.mkv", program(f"{IN} -frames:v 1 {H264}")),
    Kind("one frame", "one.ts", program(f"{IN} -frames:v 1 {H264}")),
    Kind("one frame", "one.gif", program(f"{IN} -frames:v 1")),
    Kind("one frame", "one.flv", program(f"{IN} -frames:v 1 {H264}")),
    Kind("two frames", "two_frames.avi", program(f"{IN} -frames:v 2 {H264}")),
    Kind("two files, one after the other", *_listed("listed.mp4")),
    Kind("two files, one after the other", *_listed("listed.mkv")),
    Kind("two files, one after the other", *_listed("listed.ts")),
    Kind("two files, one after the other", *_listed("listed.avi")),
    Kind(
        "two transmissions, joined",
        "joined.mpg",
        joined(program(f"{IN} {MPEG2_B}"), program(f"{LATER} {MPEG2_B}")),
    ),
    Kind(
        "two transmissions, joined",
        "joined_hevc.ts",
        joined(program(f"{IN} {HEVC}"), program(f"{LATER} {HEVC}")),
    ),
    Kind(
        "two streams, joined",
        "joined.h264",
        joined(program(f"{IN} {H264}"), program(f"{LATER} {H264}")),
    ),
    Kind(
        "two files, joined",
        "joined.flv",
        joined(program(f"{IN} {H264}"), program(f"{LATER} {H264}")),
    ),
    Kind(
        "mirrored and turned",
        "mirrored_turned.mp4",
        patched(program(f"{IN} {H264}"), boxes.display_matrix(0, 1, 1, 0)),
    ),
    Kind(
        "cut between keyframes, H.264",
        "cut_h264.avi",
        program(f"{IN} {H264} whole.avi", "-ss 0.5 -i whole.avi -c copy"),
    ),
    Kind(
        "H.264 turned by a message within",
        "turned_sei.ts",
        program(
            f"{IN} {H264_PLAIN} whole.ts", "-i whole.ts -c copy -bsf:v h264_metadata=rotate=90"
        ),
    ),
    Kind("a track of timecodes", "timecode.mov", program(f"{IN} {H264} -timecode 01:00:00:00")),
    Kind(
        "sound first",
        "sound_first.mp4",
        program(f"-f lavfi -i sine=d=1.2 {IN} -map 0 -map 1 {H264}"),
    ),
    Kind(
        "H.264, times in milliseconds",
        "milliseconds.mp4",
        program(f"{IN} {H264} -video_track_timescale 1000 -vf setpts=N*1.001/30/TB -r 30000/1001"),
    ),
    Kind("FLV with an index", "indexed.flv", program(f"{IN} {H264} -flvflags add_keyframe_index")),
    Kind(
        "MPEG-TS in packets of 192 bytes",
        "m2ts.m2ts",
        program(f"{IN} {MPEG2_B} -mpegts_m2ts_mode 1"),
    ),
    Kind(
        "MPEG-TS, two programs",
        "programs.ts",
        program(f"{IN} {LARGER} -map 0 -map 1 {MPEG2_B} -program st=0 -program st=1"),
    ),
    Kind(
        "H.263, NTSC rate",
        "h263_ntsc.avi",
        program(f"{IN} -c:v h263 -s 128x96 -q:v 4 -r 30000/1001"),
    ),
    Kind("uncompressed NV12", "nv12.nut", program(f"{IN} -c:v rawvideo -pix_fmt nv12 -frames:v 8")),
    Kind(
        "uncompressed, 16 bits RGB",
        "rgb48.nut",
        program(f"{IN} -c:v rawvideo -pix_fmt rgb48le -frames:v 8"),
    ),
    Kind(
        "uncompressed 4:1:0",
        "yuv410.nut",
        program(f"{IN} -c:v rawvideo -pix_fmt yuv410p -frames:v 8"),
    ),
    Kind(
        "uncompressed 4:4:0",
        "yuv440.nut",
        program(f"{IN} -c:v rawvideo -pix_fmt yuv440p -frames:v 8"),
    ),
    Kind(
        "uncompressed, gray with alpha",
        "ya8.nut",
        program(f"{IN} -c:v rawvideo -pix_fmt ya8 -frames:v 8"),
    ),
    Kind(
        "uncompressed, 10 bits of gray",
        "gray10.nut",
        program(f"{IN} -c:v rawvideo -pix_fmt gray10le -frames:v 8"),
    ),
    Kind(
        "uncompressed, planar float RGB",
        "float.nut",
        program(f"{IN} -c:v rawvideo -pix_fmt gbrpf32le -frames:v 8"),
    ),
    Kind(
        "HDR (PQ), 10 bits",
        "hdr.mp4",
        program(
            f"{IN} {HEVC} -pix_fmt yuv420p10le -color_trc smpte2084 "
            "-color_primaries bt2020 -colorspace bt2020nc"
        ),
    ),
    Kind("HD size without a colour tag", "hd.mp4", program(f"{IN} {H264} -s 1280x720 -frames:v 6")),
    Kind(
        "a frame dropped in AVI at the start",
        "first_dropped.avi",
        program(f"-itsoffset 0.2 {IN} {MPEG4_B}"),
    ),
    Kind(
        "H.264, many references",
        "refs.mkv",
        program(f"{IN} {H264}:ref=6:b-pyramid=strict:weightp=2"),
    ),
    Kind(
        "H.264, keyframes that are not IDR",
        "i_frames.mp4",
        program(
            f"{IN} {H264_PLAIN} -force_key_frames expr:gte(t,n_forced*0.2) -forced-idr 0 -g 100"
        ),
    ),
    Kind(
        "H.265, five B-frames",
        "hevc_five.mkv",
        program(f"{IN} {HEVC}:bframes=5:b-adapt=0:ref=4"),
    ),
    Kind("MPEG-4, times of 1/15 s", "mpeg4_15.avi", program(f"{IN} {MPEG4_B} -r 15")),
]
