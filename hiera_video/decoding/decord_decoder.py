"""decord: the second decoder. It bundles an old FFmpeg."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from hiera_video.decoding.decoder import BATCH_FRAMES, FrameDecoder, import_decoder
from hiera_video.decoding.source import ffmpeg_input
from hiera_video.decoding.stream_facts import MATROSKA, MP4
from hiera_video.decoding.video_index import VideoIndex


class DecordDecoder(FrameDecoder):
    """Decodes with decord, which lacks newer codecs."""

    name = module = "decord"

    def open(self) -> None:
        decord = import_decoder(self.module)
        decord.logging.set_level(decord.logging.QUIET)
        try:
            self._reader = decord.VideoReader(ffmpeg_input(self.source), num_threads=1)
        except decord.DECORDError as error:
            raise ValueError(_reason(error)) from None
        self._error = decord.DECORDError
        if len(self._reader) != self.index.num_frames:
            raise ValueError(
                f"decord finds {len(self._reader)} frames where the container has "
                f"{self.index.num_frames}"
            )

    @staticmethod
    def misplaced(index: VideoIndex) -> str | None:
        """Containers without an index of their frames; MPEG-4 part 2 with B-frames and open groups
        of pictures, where a seek to a keyframe ends at the frames shown before it; several streams,
        of which decord may choose another one; edit lists, whose hidden frames decord shows."""
        facts = index.facts
        if facts.container not in (MP4, MATROSKA):
            return f"{facts.codec} in {facts.container}"
        if facts.num_video_streams > 1:
            return "a file with several video streams"
        if index.has_hidden_frames:
            return "a file with an edit list"
        if facts.codec == "mpeg4" and facts.has_b_frames:
            return "mpeg4 with B-frames"
        return f"{facts.codec} with open groups of pictures" if index.has_open_gops else None

    def decode(self, wanted: Sequence[int]) -> Iterator[np.ndarray]:
        for begin in range(0, len(wanted), BATCH_FRAMES):
            self.limit.check()
            try:
                yield from self._reader.get_batch(wanted[begin : begin + BATCH_FRAMES]).asnumpy()
            except self._error as error:
                raise ValueError(_reason(error)) from None

    def close(self) -> None:
        del self._reader


def _reason(error: Exception) -> str:
    """The last part of decord's message, which follows source positions and failed conditions."""
    text = re.sub(r"^(.*(\] |vs\. 0\) ))?(\S+:\d+: )?", "", str(error).partition("\n")[0])
    return f"decord cannot decode it ({text.rstrip('.')})"
