"""The registry of decoders: PyAV, decord, torchcodec."""

from __future__ import annotations

from hiera_video.decoding.decoder import FrameDecoder, import_decoder
from hiera_video.decoding.decord_decoder import DecordDecoder
from hiera_video.decoding.pyav_decoder import PyAVDecoder
from hiera_video.decoding.torchcodec_decoder import TorchCodecDecoder
from hiera_video.errors import ConfigError, suggest

DECODERS: dict[str, type[FrameDecoder]] = {
    decoder.name: decoder for decoder in (PyAVDecoder, DecordDecoder, TorchCodecDecoder)
}


def check_decoder(decoder: str) -> None:
    """Check that a decoder is installed.

    Raises:
        ConfigError: if it is not, or is unknown; the message says what to install, or lists the
            decoders.
    """
    if decoder not in DECODERS:
        raise ConfigError(f"decoder={decoder}: {suggest(decoder, list(DECODERS))}")
    import_decoder(DECODERS[decoder].module)
