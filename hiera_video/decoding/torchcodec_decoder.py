"""torchcodec: an optional extra. It needs FFmpeg's shared libraries on the system."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hiera_video.decoding.decoder import BATCH_FRAMES, FrameDecoder, import_decoder
from hiera_video.decoding.source import ffmpeg_input
from hiera_video.decoding.stream_facts import MATROSKA, MP4
from hiera_video.decoding.video_index import VideoIndex


class TorchCodecDecoder(FrameDecoder):
    """Decodes with torchcodec."""

    name, module = "torchcodec", "torchcodec.decoders"

    def open(self) -> None:
        decoders = import_decoder(self.module)
        source = self.source
        file = ffmpeg_input(source) if isinstance(source, Path) else source.data
        try:
            self._decoder = decoders.VideoDecoder(
                file, dimension_order="NHWC", num_ffmpeg_threads=1
            )
        except (RuntimeError, ValueError) as error:
            raise ValueError(_reason(error)) from None

    @staticmethod
    def misplaced(index: VideoIndex) -> str | None:
        """Containers other than MP4 and Matroska; open groups of pictures in H.264 or under an edit
        list."""
        facts = index.facts
        if facts.container not in (MP4, MATROSKA):
            return f"{facts.codec} in {facts.container}"
        if index.has_open_gops and (facts.codec == "h264" or index.has_hidden_frames):
            return f"{facts.codec} with open groups of pictures"
        return None

    def decode(self, wanted: Sequence[int]) -> Iterator[np.ndarray]:
        for begin in range(0, len(wanted), BATCH_FRAMES):
            self.limit.check()
            indices = list(wanted[begin : begin + BATCH_FRAMES])
            try:
                yield from self._decoder.get_frames_at(indices).data.numpy()
            except (RuntimeError, IndexError) as error:
                raise ValueError(_reason(error)) from None

    def close(self) -> None:
        del self._decoder


def _reason(error: Exception) -> str:
    """torchcodec's message without the source position at its start."""
    text = re.sub(r"^\w+, \S+:\d+, ", "", str(error).partition("\n")[0])
    return f"torchcodec cannot decode it ({text.rstrip('.')})"
