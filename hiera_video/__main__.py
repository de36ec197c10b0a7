"""``python -m hiera_video``: print the named variants and what they cost."""

from __future__ import annotations

from rich.console import Console

from hiera_video.models.table import variants_table

if __name__ == "__main__":
    Console().print(variants_table())
