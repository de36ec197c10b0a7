"""What a container states about its video stream."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

#: FFmpeg's names of the two families of containers that most files belong to.
MP4, MATROSKA = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"


@dataclass(frozen=True)
class StreamFacts:
    """What a container states about a video stream before any packet is read.

    ``container`` and ``codec``: FFmpeg's names. ``has_b_frames``: whether the stream declares that
    frames are stored out of order. ``num_video_streams``: all of the file's, cover pictures
    included. ``is_plain``: whether frames have 8 bits and an even height, so that all decoders
    convert them to the same colours. ``pixel_aspect_ratio``: width of a pixel divided by its
    height.
    """

    container: str
    codec: str
    has_b_frames: bool
    num_video_streams: int
    is_plain: bool
    pixel_aspect_ratio: Fraction
