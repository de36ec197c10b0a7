"""Kinds of files made by the ffmpeg program: web, editing and legacy codecs."""

from __future__ import annotations

from tests.decoding.kind import Kind
from tests.decoding.making import program
from tests.decoding.program_options import (
    ALTREF,
    AV1,
    DROPPED,
    IN,
    MPEG2_B,
    STILL,
    VP8,
    VP9,
    two_passes,
)

KINDS = [
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
    # Editing, lossless and legacy codecs
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
]
