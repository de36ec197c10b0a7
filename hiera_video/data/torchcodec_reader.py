"""torchcodec: an optional extra. It needs FFmpeg's shared libraries on the system."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from hiera_video.data.reader import BATCH_FRAMES, VideoReader, import_decoder
from hiera_video.data.source import ffmpeg_input
from hiera_video.data.video_index import VideoIndex

#: FFmpeg's names of containers in which its seeks were seen to be exact.
_CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")


class TorchCodecReader(VideoReader):
    """torchcodec."""

    name, module = "torchcodec", "torchcodec.decoders"

    def _open(self, container: InputContainer, stream: VideoStream) -> None:
        container.close()
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
    def _misplaced(index: VideoIndex) -> str | None:
        if index.container not in _CONTAINERS:
            return f"{index.codec} in {index.container}"
        if index.has_open_gops and (index.codec == "h264" or index.has_hidden_frames):
            return f"{index.codec} with open groups of pictures"
        return None

    def _decode(self, wanted: Sequence[int]) -> Iterator[np.ndarray]:
        for begin in range(0, len(wanted), BATCH_FRAMES):
            self._limit.check()
            indices = list(wanted[begin : begin + BATCH_FRAMES])
            try:
                yield from self._decoder.get_frames_at(indices).data.numpy()
            except (RuntimeError, IndexError) as error:
                raise ValueError(_reason(error)) from None

    def close(self) -> None:
        del self._decoder


def _reason(error: Exception) -> str:
    """What torchcodec's message says after the place in its source."""
    text = re.sub(r"^\w+, \S+:\d+, ", "", str(error).partition("\n")[0])
    return f"torchcodec cannot decode it ({text.rstrip('.')})"
