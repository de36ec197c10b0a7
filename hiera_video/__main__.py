"""``python -m hiera_video``: print the named variants and what they cost."""

from __future__ import annotations

import argparse

from rich.console import Console

from hiera_video.models.costs import variants_table

if __name__ == "__main__":
    argparse.ArgumentParser(
        prog="python -m hiera_video",
        description="Print the named variants and what they cost.",
        epilog="The commands are in scripts/: python scripts/train.py --help, and so on.",
    ).parse_args()
    Console().print(variants_table())
