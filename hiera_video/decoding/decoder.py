"""The interface of decoders: frame numbers in, images out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from hiera_video.decoding.source import Source
from hiera_video.decoding.time_limit import TimeLimit
from hiera_video.decoding.video_index import VideoIndex
from hiera_video.errors import ConfigError, reason_of

#: Decoders that accept lists of frame numbers get this many at a time.
BATCH_FRAMES = 16


class FrameDecoder(ABC):
    """Decodes frames of a video by their numbers in its index."""

    #: The value of ``data.decoder`` that selects this decoder, and the module it needs.
    name: ClassVar[str]
    module: ClassVar[str]

    def __init__(self, source: Source, index: VideoIndex, limit: TimeLimit) -> None:
        self.source = source
        self.index = index
        self.limit = limit
        self.open()

    @abstractmethod
    def open(self) -> None:
        """Prepare for decoding.

        Raises:
            ValueError: if this decoder cannot read the file.
        """

    @abstractmethod
    def decode(self, wanted: Sequence[int]) -> Iterator[np.ndarray]:
        """Frames at ascending ``wanted`` numbers, uint8 ``(H, W, C)`` each, upright."""

    @abstractmethod
    def close(self) -> None:
        """Close open files."""

    @staticmethod
    def misplaced(index: VideoIndex) -> str | None:
        """If this decoder would return wrong frames of the file: the property of the file that
        causes it."""
        return None


def import_decoder(module: str) -> Any:
    """Import a decoder's module.

    Raises:
        ConfigError: if that fails; the message says what to install.
    """
    package = module.partition(".")[0]
    try:
        return __import__(module, fromlist=["_"])
    except (ImportError, RuntimeError, OSError) as error:
        raise ConfigError(
            f"data.decoder={package}: cannot be imported ({reason_of(error)}); install it, or use "
            "pyav"
        ) from None
