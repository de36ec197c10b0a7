"""The decoders by name: PyAV, decord, torchcodec."""

from __future__ import annotations

from hiera_video.data.decord_reader import DecordReader
from hiera_video.data.pyav_reader import PyAVReader
from hiera_video.data.reader import VideoReader, import_decoder
from hiera_video.data.torchcodec_reader import TorchCodecReader
from hiera_video.errors import ConfigError
from hiera_video.settings import suggest

READERS: dict[str, type[VideoReader]] = {
    reader.name: reader for reader in (PyAVReader, DecordReader, TorchCodecReader)
}


def check_decoder(decoder: str) -> None:
    """Make sure that a decoder is installed.

    Raises:
        ConfigError: saying what to install, or which decoders there are.
    """
    if decoder not in READERS:
        raise ConfigError(f"decoder={decoder}: {suggest(decoder, list(READERS))}")
    import_decoder(READERS[decoder].module)
