"""Arguments of the ffmpeg program that many kinds of files share."""

from __future__ import annotations

IN = "-i numbers.mkv"
LATER, LARGER = "-i later.mkv", "-i larger.mkv"

H264 = "-c:v libx264 -preset ultrafast -g 10 -bf 3 -x264-params b-adapt=0:scenecut=0"
H264_PLAIN = "-c:v libx264 -preset ultrafast -g 10 -bf 0 -x264-params scenecut=0"
HEVC = "-c:v libx265 -preset ultrafast -g 10 -x265-params log-level=none:bframes=3:pools=1"
HEVC_FIVE = "-c:v libx265 -preset fast -g 10 -x265-params log-level=none:bframes=5:pools=1"
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
FRAGMENTED = "-movflags +frag_keyframe+empty_moov"
CIF = "-s 128x96"
QCIF = "-s 176x144"


def two_passes(arguments: str, file: str = "") -> tuple[str, str]:
    """The two commands of a two-pass encoding."""
    command = f"{IN} {arguments} -pass"
    return f"{command} 1 -f null /dev/null", f"{command} 2 {file}"
