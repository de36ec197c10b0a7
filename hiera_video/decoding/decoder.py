"""What decoders have in common: numbers of frames -> pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from hiera_video.decoding.packet_source import PacketSource
from hiera_video.decoding.source import Source
from hiera_video.decoding.time_limit import TimeLimit
from hiera_video.decoding.video_index import VideoIndex
from hiera_video.errors import ConfigError

#: Frames that decoders which take lists of frames are given at a time.
BATCH_FRAMES = 16


class FrameDecoder(ABC):
    """Decodes frames of an open video by their numbers in its index.

    ``packets``: its container, to be opened by who needs it. ``stretch``: by how much pictures are
    made wider; PyAV alone is asked for that.
    """

    #: What users call the decoder, and the module that has it.
    name: ClassVar[str]
    module: ClassVar[str]

    def __init__(
        self,
        source: Source,
        index: VideoIndex,
        packets: PacketSource,
        limit: TimeLimit,
        stretch: Fraction = Fraction(1),
    ) -> None:
        self.source = source
        self.index = index
        self.packets = packets
        self.limit = limit
        self.stretch = stretch
        self.open()

    @abstractmethod
    def open(self) -> None:
        """Get ready to decode.

        Raises:
            ValueError: if this decoder cannot read the file.
        """

    @abstractmethod
    def decode(self, wanted: Sequence[int]) -> Iterator[np.ndarray]:
        """Frames at ascending ``wanted`` numbers, uint8 ``(H, W, C)`` each, upright."""

    @abstractmethod
    def close(self) -> None:
        """Give file handles back."""

    @staticmethod
    def misplaced(index: VideoIndex) -> str | None:
        """What a file is, if this decoder gives other frames of it than those asked for."""
        return None


def import_decoder(module: str) -> Any:
    """A decoder's module.

    Raises:
        ConfigError: saying what to install.
    """
    package = module.partition(".")[0]
    try:
        return __import__(module, fromlist=["_"])
    except (ImportError, RuntimeError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"data.decoder={package}: cannot be imported ({reason}); install it, or use pyav"
        ) from None
