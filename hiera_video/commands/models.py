"""Print the named variants and what they cost.

hiera-video models
"""

from __future__ import annotations

from hiera_video.config.machinery import Settings


class ModelsRun(Settings):
    """The table of variants: nothing to set."""


SETTINGS = ModelsRun


def start(_: ModelsRun) -> None:
    """Print the table."""
    from rich.console import Console

    from hiera_video.models.costs import variants_table

    Console().print(variants_table())
