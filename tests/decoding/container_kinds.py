"""Kinds of files made by the ffmpeg program: oddities of timestamps, cuts and containers."""

from __future__ import annotations

from pathlib import Path

from tests.decoding import boxes
from tests.decoding.kind import Kind
from tests.decoding.making import Make, joined, patched, program
from tests.decoding.program_options import (
    DROPPED,
    FRAGMENTED,
    H264,
    H264_PLAIN,
    HEVC,
    HEVC_FIVE,
    IN,
    LARGER,
    LATER,
    MPEG2_B,
    MPEG4_B,
    STILL,
    VP8,
)


def _listed(file: str) -> tuple[str, Make]:
    """Two H.264 files joined by the ffmpeg program's ``concat`` demuxer."""
    suffix = file.rpartition(".")[2]
    commands = (f"{IN} {H264} one.{suffix}", f"{LATER} {H264} two.{suffix}")

    def make(path: Path) -> None:
        path.with_name("list.txt").write_text(f"file one.{suffix}\nfile two.{suffix}\n")
        program(*commands, "-f concat -i list.txt -c copy")(path)

    return file, make


KINDS = [
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
        "33-bit timestamps that wrap around to 0",
        "wrapped.mpg",
        program(f"{IN} {MPEG2_B} -output_ts_offset 95442.9 -f mpeg"),
    ),
    Kind(
        "33-bit timestamps that wrap around to 0",
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
        "with sound and a title",
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
        "H.264, rotation in an SEI message",
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
        program(f"{IN} {HEVC_FIVE}"),
    ),
    Kind("MPEG-4, times of 1/15 s", "mpeg4_15.avi", program(f"{IN} {MPEG4_B} -r 15")),
]
