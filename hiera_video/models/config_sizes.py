"""Checks of sizes that a configuration needs."""

from __future__ import annotations

from collections.abc import Sequence

from hiera_video.errors import ConfigError

#: Names of the axes of an image and of a clip.
AXES = {2: "HW", 3: "THW"}


def check_units(size: Sequence[int], units: Sequence[int], name: str) -> None:
    """Check that a pixel size splits into whole mask units of ``units`` pixels per axis.

    Raises:
        ConfigError: if not; the message names the nearest sizes that do.
    """
    if len(size) != len(units):
        raise ConfigError(f"{name}={list(size)}: wanted {len(units)} values, like {list(units)}")
    faults = [
        f"{length} on axis {axis} (nearest: {nearest(length, unit)})"
        for axis, length, unit in zip(AXES[len(units)], size, units, strict=True)
        if length < unit or length % unit
    ]
    if faults:
        raise ConfigError(
            f"{name}={list(size)}: mask units span {'x'.join(map(str, units))} pixels "
            f"(patch_stride x masked_unit_size), which does not divide {', '.join(faults)}"
        )


def check_decoder(width: int | None, depth: int | None, num_heads: int | None) -> None:
    """Check that a decoder is described in full, or not at all.

    Raises:
        ValueError: if not, or if the heads do not divide the width.
    """
    decoder = {
        "decoder_hidden_size": width,
        "decoder_depth": depth,
        "decoder_num_heads": num_heads,
    }
    missing = [name for name, value in decoder.items() if value is None]
    if missing and len(missing) < len(decoder):
        raise ValueError(f"a decoder needs {', '.join(missing)} too")
    if width is not None and num_heads is not None and width % num_heads:
        raise ValueError(
            f"decoder_num_heads={num_heads} does not divide decoder_hidden_size={width}"
        )


def nearest(value: int, step: int) -> str:
    """The positive multiples of ``step`` just below and above ``value``, for a message."""
    below = value // step * step
    return " or ".join(str(n) for n in (below, below + step) if n > 0)
